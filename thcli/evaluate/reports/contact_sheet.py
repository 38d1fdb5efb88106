"""Contact sheets: labelled rows of small images that show a clip at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow

from thcli.core.errors import OutputError, UsageError
from thcli.core.types import Face, Image
from thcli.evaluate.metrics.measure import TruthFrame
from thcli.evaluate.metrics.regions import crop_square, face_square, fit_within
from thcli.media.atomic_file import replace_atomically
from thcli.pipeline.render.panels import GREY, letterbox, put_label

GAP = 2  # pixels between cells
WIDE_BOX = 2.0  # side of a crop, relative to the mesh's box; shows hair, jaw and neck
DIFFERENCE_GAIN = 3


def difference(a: Image, b: Image, gain: float = DIFFERENCE_GAIN) -> Image:
    """Return |a - b| times gain, clipped to 255, of images of equal shape."""
    return np.asarray(cv2.convertScaleAbs(cv2.absdiff(a, b), alpha=gain), np.uint8)


def contact_sheet(
    rows: Mapping[str, Sequence[Image]],
    *,
    cell: tuple[int, int] = (160, 160),
    columns: Sequence[str] = (),
) -> Image:
    """Return one image (H, W, 3) with a row of cells per label; the label is on its first cell.

    Args:
        rows: label -> images of any size, letterboxed.
        cell: (width, height) of a cell.
        columns: captions at the bottom of the first row's cells.

    Raises:
        UsageError: when there is no image.
    """
    count = max((len(images) for images in rows.values()), default=0)
    if count == 0:
        raise UsageError("A contact sheet needs at least one image.")
    width, height = cell
    shape = (len(rows) * (height + GAP) + GAP, count * (width + GAP) + GAP, 3)
    sheet = np.full(shape, GREY, np.uint8)
    for y, (label, images) in enumerate(rows.items()):
        for x, image in enumerate(images):
            top, left = GAP + y * (height + GAP), GAP + x * (width + GAP)
            target = sheet[top : top + height, left : left + width]
            target[:] = letterbox(image, cell)
            if x == 0:
                put_label(target, label)
            if y == 0 and x < len(columns):
                put_label(target, columns[x], (3, max(height - 20, 0)), 12)
    return sheet


def stack_sheets(sheets: Sequence[Image]) -> Image:
    """Stack contact sheets, padded with black to equal width."""
    width = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate(
        [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]
    )


def save_image(path: Path, image: Image) -> None:
    """Write an image atomically, as PNG or as the suffix says. Raises OutputError."""
    with replace_atomically(path, overwrite=True) as partial:
        try:
            Pillow.fromarray(image).save(partial)
        except ValueError as exc:  # Pillow does not know the ending
            raise OutputError(
                f"The image {path} cannot be written: {exc}.", "Use the ending .png."
            ) from exc


class FrameSampler:
    """Sampler of about `count` evenly spread frames of a stream of unknown length.

    At most 2 * count frames are held.
    """

    def __init__(self, count: int = 8) -> None:
        self._count = count
        self._stride = 1
        self._index = 0
        self._kept: list[tuple[str, dict[str, Image]]] = []

    def wants(self) -> bool:
        """Return True when the next frame is kept; call `add` or `leave` afterwards."""
        return self._index % self._stride == 0

    def leave(self) -> None:
        """Skip a frame."""
        self._index += 1

    def add(self, caption: str, images: Mapping[str, Image]) -> None:
        """Keep a frame: label -> small image."""
        self._kept.append((caption, dict(images)))
        self._index += 1
        if len(self._kept) >= 2 * self._count:
            self._kept = self._kept[::2]
            self._stride *= 2

    def rows(self) -> tuple[dict[str, list[Image]], list[str]]:
        """Return label -> at most `count` images, and their captions."""
        step = max((len(self._kept) - 1) / max(self._count - 1, 1), 1)
        number = min(self._count, len(self._kept))
        chosen = [self._kept[math.floor(i * step + 0.5)] for i in range(number)]
        labels = chosen[0][1].keys() if chosen else ()
        rows = {label: [images[label] for _, images in chosen] for label in labels}
        return rows, [caption for caption, _ in chosen]


class SheetBuilder:
    """Observer of a measurement that collects a contact sheet.

    Rows are the truth and all results around the face, then the difference of one row to the truth;
    or the driver and all results as whole frames.
    """

    def __init__(self, row: str, *, columns: int = 8, size: int = 192, whole: bool = False) -> None:
        """Set the row whose difference is shown, the number of columns and the cells' side."""
        self._row, self._size, self._whole = row, size, whole
        self._sampler = FrameSampler(columns)

    def __call__(self, truth_frame: TruthFrame, results: Mapping[str, Image]) -> None:
        """Add a frame; see `measure.FrameObserver`."""
        if not self._sampler.wants():
            self._sampler.leave()
            return
        images = face_cells(truth_frame, results, self._size, whole=self._whole)
        if self._row in results and not self._whole:
            label = f"|{self._row} - truth| x{DIFFERENCE_GAIN}"
            images[label] = difference(images[self._row], images["truth"])
        self._sampler.add(f"{float(truth_frame.seconds):.2f} s", images)

    def sheet(self) -> Image:
        """Return the contact sheet. Raises UsageError when no frame was observed."""
        rows, captions = self._sampler.rows()
        return contact_sheet(rows, cell=(self._size, self._size), columns=captions)


def face_cells(
    truth_frame: TruthFrame, results: Mapping[str, Image], size: int, *, whole: bool
) -> dict[str, Image]:
    """Return label -> image of the truth and of the results, at most `size` pixels each.

    whole: show whole frames, and the truth as "driver"; otherwise the square around the true face.
    """
    if whole:
        images = {"driver": truth_frame.image, **results}
        return {label: fit_within(image, size) for label, image in images.items()}
    images = {"truth": truth_frame.image, **results}
    return {label: crop_wide(image, truth_frame.face, size) for label, image in images.items()}


def crop_wide(image: Image, face: Face | None, size: int) -> Image:
    """Return the square around a face with hair, jaw and neck; the whole image without a face."""
    if face is None:
        return fit_within(image, size)
    return crop_square(image, _inside(image, face), size)


def _inside(image: Image, face: Face) -> tuple[float, float, float]:
    """Return centre and side of a square around the face that lies within the image.

    A repeated border would look like an error.
    """
    height, width = image.shape[:2]
    x, y, side = face_square(face, WIDE_BOX)
    side = min(side, height, width)
    reach = (side - 1) / 2
    return min(max(x, reach), width - 1 - reach), min(max(y, reach), height - 1 - reach), side
