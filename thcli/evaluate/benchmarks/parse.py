"""How well a parser finds the regions of faces: intersection over union on pairs that training never saw."""

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
from thcli.evaluate.datasets.parse_pairs import Labels, Shelf
from thcli.faces.backends import PARSERS
from thcli.faces.parsing import CLASSES, GROUPS

COUNT = len(CLASSES)
MERGED = (
    "face",
    "skin",
    "eyes",
    "brows",
    "lips",
    "mouth",
    "ears",
)  # groups that are reported as one region too


@dataclass(frozen=True, slots=True)
class Overlap:
    """Counts over pictures. confusion: (19, 19) pixels, true class by found class.  pictures: (19,) that have the class.

    unseen: pictures in which the parser saw no face; everything there counts as background.
    """

    confusion: npt.NDArray[np.int64]
    pictures: npt.NDArray[np.int64]
    count: int
    unseen: int

    def iou(self, group: frozenset[int]) -> float | None:
        """Intersection over union of some classes taken as one; None where the truth has none of them."""
        rows = sorted(group)
        true, found = self.confusion[rows].sum(), self.confusion[:, rows].sum()
        both = self.confusion[np.ix_(rows, rows)].sum()
        return float(both / (true + found - both)) if true else None

    @property
    def classes(self) -> dict[str, float | None]:
        """The IoU of each class by name."""
        return {name: self.iou(frozenset({number})) for number, name in enumerate(CLASSES)}

    @property
    def mean(self) -> float:
        """The mean over the classes that the truth has (mIoU)."""
        return float(np.mean([value for value in self.classes.values() if value is not None]))

    @property
    def right(self) -> float:
        """The share of pixels with the right class."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))

    def report(self) -> dict[str, Any]:
        """For JSON: numbers of 0..1."""
        return {
            "pictures": self.count,
            "unseen": self.unseen,
            "miou": round(self.mean, 4),
            "pixels_right": round(self.right, 4),
            "classes": {name: _rounded(value) for name, value in self.classes.items()},
            "groups": {name: _rounded(self.iou(GROUPS[name])) for name in MERGED},
            "pictures_with": {
                name: int(number) for name, number in zip(CLASSES, self.pictures, strict=True)
            },
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Heading and lines for people."""
        share = self.confusion.sum(1) / max(self.confusion.sum(), 1)
        lines = [
            [name, _shown(value), f"{100 * share[i]:.3f}", str(self.pictures[i])]
            for i, (name, value) in enumerate(self.classes.items())
        ]
        lines += [
            [
                f"({name})",
                _shown(self.iou(GROUPS[name])),
                f"{100 * share[sorted(GROUPS[name])].sum():.3f}",
                "",
            ]
            for name in MERGED
        ]
        lines.append(["mean of classes", f"{self.mean:.3f}", "", str(self.count)])
        return ["region", "IoU", "% of pixels", "pictures"], lines


def parser_of(name: str, weights: Path | None, run: RunOptions) -> tuple[str, Parser]:
    """The parser that a name means (auto: the default under the licence), or parse-s with a file's weights; its name and itself.

    Raises UsageError for an unknown name, WeightsError.
    """
    if weights is not None:
        from thcli.faces.parsing.small import load_file

        return str(weights), load_file(weights, run)
    meant = PARSERS.resolve(name, run)
    return meant, PARSERS.backend(meant).load(run)


def evaluate(
    parser: Parser, shelf: Shelf, find: Callable[[Image], list[Face]], on: Listener = silent
) -> Overlap:
    """Parses every picture of the shelf as it lies (they are aligned crops, brought to the parser's size) and compares.

    find: the faces of a picture, for parsers that follow landmarks.  Raises what the parser raises, but for a face that it does
    not see.
    """
    began = time.perf_counter()
    on(Started("parse", len(shelf), "pictures"))
    confusion = np.zeros((COUNT, COUNT), np.int64)
    present = np.zeros(COUNT, np.int64)
    unseen = 0
    for place, (picture, truth) in enumerate(zip(shelf.pictures, shelf.labels, strict=True)):
        found = _found(parser, picture, find)
        unseen += found is None
        confusion += compared(truth, np.zeros_like(truth) if found is None else found)
        present += np.bincount(truth.ravel(), minlength=COUNT) > 0
        on(Step("parse", place + 1))
    on(Finished("parse", len(shelf), time.perf_counter() - began))
    return Overlap(confusion, present, len(shelf), unseen)


def _found(parser: Parser, picture: Image, find: Callable[[Image], list[Face]]) -> Labels | None:
    """The most probable class of each pixel of a picture, at its own size; None where the parser sees no face."""
    side = parser.crop_size
    crop = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    face = max(
        find(crop),
        key=lambda face: face.area,
        default=Face(np.array([0, 0, side, side], np.float32), 0.0),
    )
    try:
        probabilities = parser.parse([crop], [face])[0]
    except NoFaceError:
        return None
    labels = probabilities.argmax(0).astype(np.uint8)
    return np.asarray(
        cv2.resize(labels, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8
    )


def compared(truth: Labels, found: Labels) -> npt.NDArray[np.int64]:
    """(19, 19) pixels of each true class (row) that were found to be each class (column)."""
    pairs = truth.astype(np.int64).ravel() * COUNT + found.ravel()
    return np.bincount(pairs, minlength=COUNT * COUNT).reshape(COUNT, COUNT)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
