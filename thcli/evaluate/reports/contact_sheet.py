"""Contact sheets: rows of small pictures with labels, to look at a clip at one glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from thcli.core.errors import OutputError, UsageError
from thcli.core.types import Face, Image
from thcli.evaluate.metrics.measure import Moment
from thcli.evaluate.metrics.regions import cut, fit_within, square
from thcli.pipeline.render.panels import GREY, letterbox, put_label

GAP = 2
WIDE_BOX = (
    2.0  # side of a sheet's cut around the face over the mesh's: hair, jaw and neck are to be seen
)
DIFFERENCE_GAIN = 3


def difference(a: Image, b: Image, gain: float = DIFFERENCE_GAIN) -> Image:
    """|a - b| times gain, clipped to 255; pictures of equal shape."""
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(a, b), alpha=gain), np.uint8)


def contact_sheet(
    rows: Mapping[str, Sequence[Image]],
    *,
    cell: tuple[int, int] = (160, 160),
    columns: Sequence[str] = (),
) -> Image:
    """One (H, W, 3) picture: a row of cells for each label, the label on the row's first cell.

    rows: label -> pictures of any sizes (letterboxed), as many as one likes a row.  cell: (width, height) of each.  columns: captions
    drawn on the first row's cells, below. Raises UsageError when there is no picture at all.
    """
    count = max((len(pictures) for pictures in rows.values()), default=0)
    if count == 0:
        raise UsageError("A contact sheet needs at least one picture.")
    width, height = cell
    sheet = np.full(
        (len(rows) * (height + GAP) + GAP, count * (width + GAP) + GAP, 3), GREY, np.uint8
    )
    for y, (label, pictures) in enumerate(rows.items()):
        for x, picture in enumerate(pictures):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            room = sheet[top : top + height, left : left + width]
            room[:] = letterbox(picture, cell)
            if x == 0:
                put_label(room, label)
            if y == 0 and x < len(columns):
                put_label(room, columns[x], (3, max(height - 20, 0)), 12)
    return sheet


def save_picture(path: Path, picture: Image) -> None:
    """Writes a PNG (or what the name says), by way of a temporary file beside it. Raises OutputError when that fails."""
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        Pillow.fromarray(picture).save(partial)
        partial.replace(path)
    except (OSError, ValueError) as exc:  # ValueError: Pillow knows no such file type
        partial.unlink(missing_ok=True)
        raise OutputError(
            f"The picture {path} cannot be written: {exc}.",
            "Name a .png file in a writable folder.",
        ) from exc


class Columns:
    """Picks about `count` evenly spread moments of a stream of unknown length, holding at most 2 * count of them."""

    def __init__(self, count: int = 8) -> None:
        self._count = count
        self._stride = 1
        self._index = 0
        self._kept: list[tuple[str, dict[str, Image]]] = []

    def wants(self) -> bool:
        """Whether the next moment would be kept: call `add` or `leave` afterwards."""
        return self._index % self._stride == 0

    def leave(self) -> None:
        """Passes over a moment."""
        self._index += 1

    def add(self, caption: str, pictures: Mapping[str, Image]) -> None:
        """Keeps a moment: label -> small picture."""
        self._kept.append((caption, dict(pictures)))
        self._index += 1
        if len(self._kept) >= 2 * self._count:
            self._kept = self._kept[::2]
            self._stride *= 2

    def rows(self) -> tuple[dict[str, list[Image]], list[str]]:
        """label -> at most `count` pictures, and their captions."""
        step = max((len(self._kept) - 1) / max(self._count - 1, 1), 1)
        number = min(self._count, len(self._kept))
        chosen = [self._kept[math.floor(i * step + 0.5)] for i in range(number)]
        labels = chosen[0][1].keys() if chosen else ()
        return {label: [pictures[label] for _, pictures in chosen] for label in labels}, [
            c for c, _ in chosen
        ]


class Gallery:
    """The look of a measurement: truth and rows around the face, then the difference of one row to the truth."""

    def __init__(self, differ: str, *, columns: int = 8, size: int = 192) -> None:
        self._differ, self._size = differ, size
        self._columns = Columns(columns)

    def __call__(self, moment: Moment, shown: Mapping[str, Image]) -> None:
        """See `measure.Look`."""
        if not self._columns.wants():
            self._columns.leave()
            return
        pictures = {"truth": self._cut(moment.picture, moment.face)}
        pictures |= {label: self._cut(p, moment.face) for label, p in shown.items()}
        if self._differ in shown:
            pictures[f"|{self._differ} - truth| x{DIFFERENCE_GAIN}"] = difference(
                pictures[self._differ], pictures["truth"]
            )
        self._columns.add(f"{float(moment.seconds):.2f} s", pictures)

    def sheet(self) -> Image:
        """The contact sheet. Raises UsageError when nothing was looked at."""
        rows, captions = self._columns.rows()
        return contact_sheet(rows, cell=(self._size, self._size), columns=captions)

    def _cut(self, picture: Image, face: Face | None) -> Image:
        return (
            fit_within(picture, self._size)
            if face is None
            else cut(picture, _inside(picture, face), self._size)
        )


def _inside(picture: Image, face: Face) -> tuple[float, float, float]:
    """Centre and side of a square around the face that keeps within the picture: a repeated border would look like a fault."""
    height, width = picture.shape[:2]
    x, y, side = square(face, WIDE_BOX)
    side = min(side, height, width)
    reach = (side - 1) / 2
    return min(max(x, reach), width - 1 - reach), min(max(y, reach), height - 1 - reach), side
