"""`thcli eval words`: zero-shot attributes and retrieval by texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.core.types import Array32
from thcli.editors.backends import TEXT_MODELS
from thcli.editors.clip.captions import make_caption, match_labels
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import images_to_tensor
from thcli.editors.shared.text_image import TextImageModel
from thcli.evaluate.datasets.labelled_images import LabelledImages, load_images
from thcli.evaluate.metrics.attribute_scores import roc_auc

SIDE = 128  # pixels of the model's input
BATCH = 64
NEAREST = 10  # images that a text retrieves
# Texts that affirm and that deny an attribute.
PROMPTS = {
    "5_o_Clock_Shadow": ("a man with stubble", "a man without stubble"),
    "Arched_Eyebrows": ("a person with arched eyebrows", "a person without arched eyebrows"),
    "Attractive": ("an attractive person", "a person"),
    "Bags_Under_Eyes": (
        "a person with bags under the eyes",
        "a person without bags under the eyes",
    ),
    "Bald": ("a bald person", "a person who is not bald"),
    "Bangs": ("a person with bangs", "a person without bangs"),
    "Big_Lips": ("a person with big lips", "a person with small lips"),
    "Big_Nose": ("a person with a big nose", "a person with a small nose"),
    "Black_Hair": ("a person with black hair", "a person with blond hair"),
    "Blond_Hair": ("a person with blond hair", "a person with black hair"),
    "Blurry": ("a blurry face", "a face"),
    "Brown_Hair": ("a person with brown hair", "a person"),
    "Bushy_Eyebrows": ("a person with bushy eyebrows", "a person without bushy eyebrows"),
    "Chubby": ("a chubby person", "a thin person"),
    "Double_Chin": ("a person with a double chin", "a person without a double chin"),
    "Eyeglasses": ("a person with eyeglasses", "a person without eyeglasses"),
    "Goatee": ("a man with a goatee", "a man without a goatee"),
    "Gray_Hair": ("a person with gray hair", "a person with black hair"),
    "Heavy_Makeup": ("a person with makeup", "a person without makeup"),
    "High_Cheekbones": ("a person with high cheekbones", "a person without high cheekbones"),
    "Male": ("a man", "a woman"),
    "Mouth_Slightly_Open": ("a person with an open mouth", "a person with a closed mouth"),
    "Mustache": ("a man with a moustache", "a man without a moustache"),
    "Narrow_Eyes": ("a person with narrow eyes", "a person"),
    "No_Beard": ("a person without a beard", "a person with a beard"),
    "Oval_Face": ("a person with an oval face", "a person"),
    "Pale_Skin": ("a pale person", "a person"),
    "Pointy_Nose": ("a person with a pointy nose", "a person"),
    "Receding_Hairline": (
        "a person with a receding hairline",
        "a person without a receding hairline",
    ),
    "Rosy_Cheeks": ("a person with rosy cheeks", "a person without rosy cheeks"),
    "Sideburns": ("a man with sideburns", "a man without sideburns"),
    "Smiling": ("a smiling person", "a serious person"),
    "Straight_Hair": ("a person with straight hair", "a person with wavy hair"),
    "Wavy_Hair": ("a person with wavy hair", "a person with straight hair"),
    "Wearing_Earrings": ("a person wearing earrings", "a person without earrings"),
    "Wearing_Hat": ("a person wearing a hat", "a person without a hat"),
    "Wearing_Lipstick": ("a person with lipstick", "a person without lipstick"),
    "Wearing_Necklace": ("a person with a necklace", "a person without a necklace"),
    "Wearing_Necktie": ("a person wearing a necktie", "a person without a necktie"),
    "Young": ("a young person", "an old person"),
}


@dataclass(frozen=True, slots=True)
class ZeroShotScores:
    """Scores of a joint text and image model.

    areas: AUC of each attribute by a pair of texts.
    found: share of matching images among the 10 nearest of a text.
    chance: share of matching images among all.
    images: number of images.
    """

    areas: dict[str, float]
    found: float
    chance: float
    images: int

    def report(self) -> dict[str, Any]:
        """Return all values for JSON."""
        return {
            "pictures": self.images,
            "auc": round(float(np.nanmean(list(self.areas.values()))), 4),
            "found": round(self.found, 4),
            "chance": round(self.chance, 4),
            "attributes": {name: round(area, 4) for name, area in self.areas.items()},
        }


def load_text_model(name: str, weights: Path | None, run: RunOptions) -> TextImageModel:
    """Load a backend ("auto": the stage's default), or clip-s with a file's weights.

    Raises UsageError, WeightsError.
    """
    if weights is not None:
        from thcli.editors.clip.small import load_file

        return load_file(weights, run)
    picked = TEXT_MODELS.resolve(name, run)
    if not picked:
        raise UsageError(
            "No text model is the default with --licence free.",
            "Use --text-model clip-b16 (thcli weights pull clip-vit-b16).",
        )
    model: TextImageModel = TEXT_MODELS.backend(picked).load(run)
    return model


def encode_images(model: TextImageModel, faces: LabelledImages) -> Tensor:
    """Return the embeddings (N, D) of all images."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(faces), BATCH):
            x = images_to_tensor(load_images(faces.paths[start : start + BATCH], SIDE))
            out.append(model.encode_image(x))
    return torch.cat(out)


def evaluate_text_model(
    model: TextImageModel, faces: LabelledImages, texts: int = 300, seed: int = 0
) -> ZeroShotScores:
    """Evaluate a model on labelled images.

    Args:
        model: joint text and image model.
        faces: labelled images.
        texts: number of captions written of randomly drawn images.
        seed: of the drawing.
    """
    image_rows = encode_images(model, faces)
    areas = {}
    for name, (affirmed, denied) in PROMPTS.items():
        direction = encode_text_mean(model, affirmed) - encode_text_mean(model, denied)
        scores = np.asarray((image_rows @ direction).cpu().numpy(), np.float64)
        areas[name] = roc_auc(scores, faces.labels[:, CELEBA.index(name)])
    rng = np.random.default_rng(seed)
    rarity = np.maximum(faces.labels.mean(0), 0.01) ** -0.5
    drawn = rng.integers(0, len(faces), texts)
    captions = [make_caption(faces.labels[row], rng, rarity) for row in drawn]
    captions = [caption for caption in captions if caption.label_values]
    truth = match_labels([caption.label_values for caption in captions], faces.labels)
    text_rows = torch.stack([encode_text_mean(model, caption.text) for caption in captions])
    cosines = (image_rows @ text_rows.T).cpu().numpy()
    return ZeroShotScores(areas, precision_at_k(cosines, truth), float(truth.mean()), len(faces))


def encode_text_mean(model: TextImageModel, text: str) -> Tensor:
    """Return the embedding (D,) of a text, the mean over the model's templates."""
    return model.encode_text([template.format(text) for template in model.templates]).mean(0)


def precision_at_k(cosines: Array32, truth: npt.NDArray[np.bool_]) -> float:
    """Return the share of matching images among each text's nearest ones, averaged over texts.

    Args:
        cosines: (N, C) of images and texts.
        truth: (N, C) bool.
    """
    count = min(NEAREST, len(cosines))
    best = np.argpartition(-cosines, count - 1, axis=0)[:count]
    return float(np.take_along_axis(truth, best, 0).mean())
