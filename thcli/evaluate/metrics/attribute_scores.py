"""How much of each attribute a face shows, by a classifier that no editor learns from: it measures edits, and does nothing else.

Trained by `thcli train judge`, on persons of whom neither an editor nor clip-s saw a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thcli.core.device import prepared
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import SIDE, FaceTrunk, planes
from thcli.evaluate.datasets.labelled_images import Labelled, pixels
from thcli.faces.adapters.common import check_licence, fill
from thcli.faces.crops.align import ffhq
from thcli.faces.crops.crop import crop
from thcli.faces.landmarks.layouts import landmarks_of
from thcli.weights.tensors import load_tensors

WEIGHTS = "attributes-judge"
WIDTHS, COUNTS = (32, 48, 96, 160), (1, 2, 2)
MOST = 64  # faces at a time
CUT = (
    2 * SIDE
)  # pixels at which faces are cut, before they are made as small as the network sees them


class Judge:
    """The classifier: 40 probabilities of a face, in the order of `names`."""

    names: tuple[str, ...] = CELEBA

    def __init__(self, network: FaceTrunk, device: torch.device) -> None:
        self._net, self._device = network.to(memory_format=torch.channels_last), device  # type: ignore[call-overload]  # torch's stubs lack it

    def scores(self, pictures: Sequence[npt.NDArray[Any]], faces: Sequence[Face]) -> Array32:
        """(N, 40) in 0..1 of pictures (H, W, 3) uint8 or uint16 and one face in each, in its picture's pixels.

        Raises NoFaceError for a face without landmarks.
        """
        cut = [
            to_uint8(crop(p, ffhq(landmarks_of(f), CUT)))
            for p, f in zip(pictures, faces, strict=True)
        ]
        return self.of_crops(cut)

    def of_crops(self, crops: Sequence[Image]) -> Array32:
        """(N, 40) in 0..1 of pictures (S, S, 3) uint8 that are cut as FFHQ's are; the mean of each and its mirror image."""
        return np.asarray(1 / (1 + np.exp(-self.logits(crops))), np.float32)

    def logits(self, crops: Sequence[Image]) -> Array32:
        """The same as log odds, which no score of nearly 0 or 1 hides."""
        out = [np.zeros((0, len(CELEBA)), np.float32)]
        with torch.inference_mode():
            for start in range(0, len(crops), MOST):
                x = planes(np.stack(crops[start : start + MOST])).to(self._device)
                both = self._net(x).float() + self._net(x.flip(3)).float()
                out.append((both / 2).cpu().numpy())
        return np.concatenate(out)

    def score(self, crops: Sequence[Image], name: str) -> Array32:
        """(N,) in 0..1 of one attribute. Raises UsageError for one that there is not."""
        if name not in CELEBA:
            raise UsageError(f"There is no attribute {name!r}.", f"There are: {', '.join(CELEBA)}.")
        return self.of_crops(crops)[:, CELEBA.index(name)]


def network(narrow: int = 1) -> FaceTrunk:
    """The judge's network; narrow: divides its widths."""
    return FaceTrunk(WIDTHS, COUNTS, len(CELEBA), narrow)


def judge(run: RunOptions) -> Judge:
    """The shipped judge. Raises WeightsError when --licence refuses it (its data are for research), DeviceError."""
    check_licence(WEIGHTS, run.licence)
    return _filled(load_tensors(WEIGHTS, offline=run.offline), WEIGHTS, run)


def own_judge(path: Path, run: RunOptions) -> Judge:
    """One of your own, as `thcli train judge` writes it. Raises WeightsError, DeviceError."""
    return _filled(load_tensors(path), path.name, run)


def _filled(tensors: dict[str, torch.Tensor], what: str, run: RunOptions) -> Judge:
    net, device = network(), prepared(run.device, run.threads)
    fill(net, tensors, what, device)
    return Judge(net, device)


@dataclass(frozen=True, slots=True)
class Hits:
    """How right scores (N, 40) are of labels (N, 40): a number for each attribute, where both answers occur (else NaN)."""

    accuracy: Array32
    balanced: Array32
    auc: Array32
    share: Array32

    def report(self) -> dict[str, Any]:
        """For JSON: the means, and each attribute's own."""
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


def hits(scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_], threshold: float = 0.5) -> Hits:
    """Accuracy at a threshold, the mean of both answers' accuracies, and the area under the ROC curve, of each column."""
    said = scores > threshold
    accuracy = (said == labels).mean(0)
    yes, no = labels.sum(0), (~labels).sum(0)
    right_yes = (said & labels).sum(0) / np.maximum(yes, 1)
    right_no = (~said & ~labels).sum(0) / np.maximum(no, 1)
    both = np.where((yes > 0) & (no > 0), 1.0, np.nan)
    areas = np.array([auc(scores[:, n], labels[:, n]) for n in range(labels.shape[1])])
    return Hits(
        *(
            np.asarray(v, np.float32)
            for v in (accuracy, both * (right_yes + right_no) / 2, areas, labels.mean(0))
        )
    )


def auc(scores: npt.NDArray[Any], labels: npt.NDArray[np.bool_]) -> float:
    """The chance that one with the label has the higher score than one without; NaN when there are none of either. Ties count half."""
    from scipy.stats import rankdata

    yes = int(labels.sum())
    no = len(labels) - yes
    if not yes or not no:
        return float("nan")
    return float((rankdata(scores)[labels].sum() - yes * (yes + 1) / 2) / (yes * no))


def measured(one: Judge, faces: Labelled) -> Hits:
    """The judge on labelled pictures that it never saw."""
    found = [
        one.of_crops(list(pixels(faces.paths[start : start + 256], CUT)))
        for start in range(0, len(faces), 256)
    ]
    return hits(np.concatenate(found), faces.labels)
