"""How well a model of texts and pictures knows faces: zero-shot attributes, and how often what a text finds is what it says."""

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
from thcli.editors.clip.vocabulary import caption, holds
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import planes
from thcli.editors.shared.text_image import TextImage
from thcli.evaluate.datasets.labelled_images import Labelled, pixels
from thcli.evaluate.metrics.attribute_scores import auc

SIDE = 128  # pixels at which pictures are given to the model
BATCH = 64
FOUND = 10  # pictures that a text finds
# What says that a face has an attribute, and what says that it has not.
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
class Knowledge:
    """areas: AUC of each attribute by a pair of texts.  found: share of the 10 pictures that a text finds of which it is true; chance: of all."""

    areas: dict[str, float]
    found: float
    chance: float
    pictures: int

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pictures": self.pictures,
            "auc": round(float(np.nanmean(list(self.areas.values()))), 4),
            "found": round(self.found, 4),
            "chance": round(self.chance, 4),
            "attributes": {name: round(area, 4) for name, area in self.areas.items()},
        }


def text_model(name: str, weights: Path | None, run: RunOptions) -> TextImage:
    """The backend of that name ("auto": the stage's default), or clip-s with weights of one's own. Raises UsageError, WeightsError."""
    if weights is not None:
        from thcli.editors.clip.small import load_own

        return load_own(weights, run)
    picked = TEXT_MODELS.resolve(name, run)
    if not picked:
        raise UsageError(
            "No model of words may be used with --licence free by itself.",
            "Give --text-model clip-b16 (thcli weights pull clip-vit-b16).",
        )
    model: TextImage = TEXT_MODELS.backend(picked).load(run)
    return model


def rows_of(model: TextImage, faces: Labelled) -> Tensor:
    """(N, D) of all pictures."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(faces), BATCH):
            x = planes(pixels(faces.paths[start : start + BATCH], SIDE))
            out.append(model.encode_image(x))
    return torch.cat(out)


def knowledge(model: TextImage, faces: Labelled, texts: int = 300, seed: int = 0) -> Knowledge:
    """What a model knows of labelled faces. texts: how many are written of pictures drawn from them, each true of its own."""
    seen = rows_of(model, faces)
    areas = {}
    for name, (yes, no) in PROMPTS.items():
        direction = text_row(model, yes) - text_row(model, no)
        areas[name] = auc(
            np.asarray((seen @ direction).cpu().numpy(), np.float64),
            faces.labels[:, CELEBA.index(name)],
        )
    dice = np.random.default_rng(seed)
    rarity = np.maximum(faces.labels.mean(0), 0.01) ** -0.5
    said = [caption(faces.labels[row], dice, rarity) for row in dice.integers(0, len(faces), texts)]
    said = [one for one in said if one.says]
    truth = holds([one.says for one in said], faces.labels)
    cosines = (seen @ torch.stack([text_row(model, one.text) for one in said]).T).cpu().numpy()
    return Knowledge(areas, precision(cosines, truth), float(truth.mean()), len(faces))


def text_row(model: TextImage, text: str) -> Tensor:
    """(D,) of a text, the mean over the model's templates."""
    return model.encode_text([template.format(text) for template in model.templates]).mean(0)


def precision(cosines: Array32, truth: npt.NDArray[np.bool_]) -> float:
    """Of each text's (column's) ten nearest pictures, the share of which it is true; the mean over texts."""
    most = min(FOUND, len(cosines))
    best = np.argpartition(-cosines, most - 1, axis=0)[:most]
    return float(np.take_along_axis(truth, best, 0).mean())
