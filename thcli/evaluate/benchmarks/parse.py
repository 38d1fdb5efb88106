"""`thcli eval parse`: intersection over union of a face parser on pairs that training never saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError
from thcli.core.events import Finished, Listener, Started, Step, silent
from thcli.core.options import RunOptions
from thcli.core.protocols import Parser
from thcli.core.types import Face, Image
from thcli.evaluate.datasets.parse_pairs import Labels, PairSet
from thcli.faces.backends import PARSERS
from thcli.faces.parsing import CLASSES, GROUPS

COUNT = len(CLASSES)
# Groups of classes that are also reported as one region.
MERGED = ("face", "skin", "eyes", "brows", "lips", "mouth", "ears")


@dataclass(frozen=True, slots=True)
class SegmentationOverlap:
    """Counts over all images.

    confusion: (19, 19) pixels, true class by predicted class.
    images: (19,) number of images that have the class.
    count: number of images.
    unseen: images in which the parser found no face; all their pixels count as background.
    """

    confusion: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    count: int
    unseen: int

    def iou(self, group: frozenset[int]) -> float | None:
        """Return the IoU of some classes taken as one; None where the truth has none of them."""
        rows = sorted(group)
        true, found = self.confusion[rows].sum(), self.confusion[:, rows].sum()
        both = self.confusion[np.ix_(rows, rows)].sum()
        return float(both / (true + found - both)) if true else None

    @property
    def classes(self) -> dict[str, float | None]:
        """Return the IoU of each class by name."""
        return {name: self.iou(frozenset({number})) for number, name in enumerate(CLASSES)}

    @property
    def mean(self) -> float:
        """Return the mean IoU over the classes that the truth has (mIoU)."""
        return float(np.mean([value for value in self.classes.values() if value is not None]))

    @property
    def pixel_accuracy(self) -> float:
        """Return the share of correctly classified pixels."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))

    def report(self) -> dict[str, Any]:
        """Return all values for JSON, 0..1."""
        return {
            "pictures": self.count,
            "unseen": self.unseen,
            "miou": round(self.mean, 4),
            "pixels_right": round(self.pixel_accuracy, 4),
            "classes": {name: _rounded(value) for name, value in self.classes.items()},
            "groups": {name: _rounded(self.iou(GROUPS[name])) for name in MERGED},
            "pictures_with": {
                name: int(number) for name, number in zip(CLASSES, self.images, strict=True)
            },
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return heading and lines for people."""
        share = self.confusion.sum(1) / max(self.confusion.sum(), 1)
        lines = [
            [name, _shown(value), f"{100 * share[i]:.3f}", str(self.images[i])]
            for i, (name, value) in enumerate(self.classes.items())
        ]
        for name in MERGED:
            group_share = 100 * share[sorted(GROUPS[name])].sum()
            iou = _shown(self.iou(GROUPS[name]))
            lines.append([f"({name})", iou, f"{group_share:.3f}", ""])
        lines.append(["mean of classes", f"{self.mean:.3f}", "", str(self.count)])
        return ["region", "IoU", "% of pixels", "images"], lines


def load_parser(name: str, weights: Path | None, run: RunOptions) -> tuple[str, Parser]:
    """Return name and parser of a backend, or parse-s with a file's weights.

    Args:
        name: backend, or "auto" for the licence's default.
        weights: file for parse-s, or None.
        run: device and licence.

    Raises:
        UsageError: for an unknown name.
        WeightsError: for missing or invalid weights.
    """
    if weights is not None:
        from thcli.faces.parsing.small import load_file

        return str(weights), load_file(weights, run)
    resolved = PARSERS.resolve(name, run)
    return resolved, PARSERS.backend(resolved).load(run)


def evaluate_parser(
    parser: Parser, pair_set: PairSet, find: Callable[[Image], list[Face]], on: Listener = silent
) -> SegmentationOverlap:
    """Parse every image, which is an aligned crop, at the parser's size and compare.

    Args:
        parser: backend.
        pair_set: images with labels.
        find: detector of faces, for parsers that follow landmarks.
        on: receives progress events.

    Raises what the parser raises, except NoFaceError.
    """
    began = time.perf_counter()
    on(Started("parse", len(pair_set), "images"))
    confusion = np.zeros((COUNT, COUNT), np.int64)
    present = np.zeros(COUNT, np.int64)
    unseen = 0
    for done, (image, truth) in enumerate(zip(pair_set.images, pair_set.labels, strict=True), 1):
        found = _predict(parser, image, find)
        unseen += found is None
        confusion += confusion_matrix(truth, np.zeros_like(truth) if found is None else found)
        present += np.bincount(truth.ravel(), minlength=COUNT) > 0
        on(Step("parse", done))
    on(Finished("parse", len(pair_set), time.perf_counter() - began))
    return SegmentationOverlap(confusion, present, len(pair_set), unseen)


def _predict(parser: Parser, image: Image, find: Callable[[Image], list[Face]]) -> Labels | None:
    """Return the most probable class of each pixel at the image's size; None without a face."""
    side = parser.crop_size
    crop = np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    whole = Face(np.array([0, 0, side, side], np.float32), 0.0)
    face = max(find(crop), key=lambda face: face.area, default=whole)
    try:
        probabilities = parser.parse([crop], [face])[0]
    except NoFaceError:
        return None
    labels = probabilities.argmax(0).astype(np.uint8)
    size = image.shape[1::-1]
    return np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def confusion_matrix(truth: Labels, found: Labels) -> npt.NDArray[np.int64]:
    """Return (19, 19) pixels by true class (row) and predicted class (column)."""
    pairs = truth.astype(np.int64).ravel() * COUNT + found.ravel()
    return np.bincount(pairs, minlength=COUNT * COUNT).reshape(COUNT, COUNT)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
