"""Classifier of facial attributes that measures edits; no editor learns from it.

`thcli train judge` trains it on persons that neither an editor nor clip-s has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from thcli.core.device import prepare_device
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import SIDE, FaceCnn, images_to_tensor
from thcli.evaluate.datasets.labelled_images import LabelledImages, load_images
from thcli.faces.crops.align import ffhq
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.weights import check_licence
from thcli.weights.layout import Checkpoint
from thcli.weights.loading import load_state
from thcli.weights.tensors import load_tensors

WEIGHTS = "attributes-judge"
WIDTHS, COUNTS = (32, 48, 96, 160), (1, 2, 2)
BATCH = 64
CROP_SIDE = 2 * SIDE  # pixels of a crop, before it is resized to the network's input


def face_crop(image: Image | npt.NDArray[np.uint16], face: Face) -> Image:
    """Return the crop of a face that is judged, (CROP_SIDE, CROP_SIDE, 3) uint8.

    Args:
        image: (H, W, 3) uint8 or uint16.
        face: in its pixels.

    Raises:
        NoFaceError: it has no landmarks.
    """
    return to_uint8(crop(image, ffhq(landmarks_of(face), CROP_SIDE)))


class AttributeClassifier:
    """Classifier with 40 probabilities per face, in the order of `names`."""

    names: tuple[str, ...] = CELEBA

    def __init__(self, network: FaceCnn, device: torch.device) -> None:
        layout = torch.channels_last
        self._net = network.to(memory_format=layout)  # type: ignore[call-overload]  # stubs
        self._device = device

    def score_faces(self, images: Sequence[npt.NDArray[Any]], faces: Sequence[Face]) -> Array32:
        """Return (N, 40) probabilities.

        Args:
            images: N of (H, W, 3) uint8 or uint16.
            faces: one per image, in its pixels.

        Raises:
            NoFaceError: for a face without landmarks.
        """
        crops = [face_crop(image, face) for image, face in zip(images, faces, strict=True)]
        return self.score_crops(crops)

    def score_crops(self, crops: Sequence[Image]) -> Array32:
        """Return (N, 40) probabilities of crops (S, S, 3) uint8 in FFHQ's crop.

        Logits are averaged over the crop and its mirror image.
        """
        return np.asarray(1 / (1 + np.exp(-self.logits(crops))), np.float32)

    def logits(self, crops: Sequence[Image]) -> Array32:
        """Return (N, 40) log odds, which keep differences between scores near 0 or 1."""
        return self._average_of_both(self._net, crops, len(CELEBA))

    def features(self, crops: Sequence[Image]) -> Array32:
        """Return what the last layer sees, (N, D), averaged over the crop and its mirror image."""
        return self._average_of_both(self._net.features, crops, self._net.out.in_features)

    def _average_of_both(
        self, network: Callable[[Tensor], Tensor], crops: Sequence[Image], width: int
    ) -> Array32:
        """Return a network's outputs (N, width), averaged over the crop and its mirror image."""
        out = [np.zeros((0, width), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(crops), BATCH):
                x = images_to_tensor(np.stack(crops[start : start + BATCH])).to(self._device)
                both = network(x).float() + network(x.flip(3)).float()
                out.append((both / 2).cpu().numpy())
        return np.concatenate(out)

    def score_attribute(self, crops: Sequence[Image], name: str) -> Array32:
        """Return (N,) probabilities of one attribute. Raises UsageError for an unknown one."""
        if name not in CELEBA:
            raise UsageError(f"There is no attribute {name!r}.", f"There are: {', '.join(CELEBA)}.")
        return self.score_crops(crops)[:, CELEBA.index(name)]


def build_network(width_divisor: int = 1) -> FaceCnn:
    """Return the classifier's network; width_divisor divides its widths."""
    return FaceCnn(WIDTHS, COUNTS, len(CELEBA), width_divisor)


def load_classifier(run: RunOptions) -> AttributeClassifier:
    """Load the bundled classifier.

    Raises:
        WeightsError: when --licence refuses it (its data are for research).
        DeviceError: when the device is not available.
    """
    check_licence(WEIGHTS, run.licence)
    return _filled(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS, run)


def load_classifier_file(path: Path, run: RunOptions) -> AttributeClassifier:
    """Load a classifier that `thcli train judge` wrote. Raises WeightsError, DeviceError."""
    return _filled(load_tensors(path), path.name, run)


def _filled(tensors: dict[str, torch.Tensor], what: str, run: RunOptions) -> AttributeClassifier:
    net, device = build_network(), prepare_device(run.device, run.threads)
    load_state(net, tensors, what, device)
    return AttributeClassifier(net, device)


@dataclass(frozen=True, slots=True)
class ClassifierScores:
    """Scores per attribute, (40,) each; NaN where the labels have one value only.

    accuracy: at the threshold.
    balanced: mean accuracy of both values.
    auc: area under the ROC curve.
    share: of faces with the attribute.
    """

    accuracy: Array32
    balanced: Array32
    auc: Array32
    share: Array32

    def report(self) -> dict[str, Any]:
        """Return the means and each attribute's scores, for JSON."""
        each = {
            name: {
                "accuracy": round(float(a), 4),
                "balanced": round(float(b), 4),
                "auc": round(float(c), 4),
                "share": round(float(s), 4),
            }
            for name, a, b, c, s in zip(
                CELEBA, self.accuracy, self.balanced, self.auc, self.share, strict=True
            )
        }
        means = (("accuracy", self.accuracy), ("balanced", self.balanced), ("auc", self.auc))
        return {name: round(float(np.nanmean(values)), 4) for name, values in means} | {
            "attributes": each
        }


def score_predictions(
    scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_], threshold: float = 0.5
) -> ClassifierScores:
    """Score predictions (N, 40) against labels (N, 40).

    Args:
        scores: probabilities or log odds.
        labels: bool.
        threshold: of the accuracy.
    """
    predicted = scores > threshold
    accuracy = (predicted == labels).mean(0)
    positive, negative = labels.sum(0), (~labels).sum(0)
    recall = (predicted & labels).sum(0) / np.maximum(positive, 1)
    specificity = (~predicted & ~labels).sum(0) / np.maximum(negative, 1)
    both = np.where((positive > 0) & (negative > 0), 1.0, np.nan)
    balanced = both * (recall + specificity) / 2
    areas = np.array([roc_auc(scores[:, n], labels[:, n]) for n in range(labels.shape[1])])
    columns = (accuracy, balanced, areas, labels.mean(0))
    return ClassifierScores(*(np.asarray(values, np.float32) for values in columns))


def roc_auc(scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, NaN without both labels; ties count half.

    It is the probability that a face with the label scores higher than one without.
    """
    from scipy.stats import rankdata

    yes = int(labels.sum())
    no = len(labels) - yes
    if not yes or not no:
        return float("nan")
    return float((rankdata(scores)[labels].sum() - yes * (yes + 1) / 2) / (yes * no))


def evaluate_classifier(classifier: AttributeClassifier, faces: LabelledImages) -> ClassifierScores:
    """Score a classifier on labelled images."""
    scores = [
        classifier.score_crops(list(load_images(faces.paths[start : start + 256], CROP_SIDE)))
        for start in range(0, len(faces), 256)
    ]
    return score_predictions(np.concatenate(scores), faces.labels)


def check_layout(checkpoint: Checkpoint) -> None:
    """Raise WeightsError unless a checkpoint has the layout of the classifier."""
    load_state(build_network(), checkpoint.tensors(), checkpoint.name, torch.device("meta"))
