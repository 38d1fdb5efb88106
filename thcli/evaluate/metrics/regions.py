"""Where truth and result are compared: the face box, and the whole frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from thcli.core.geometry import box_of, rotated_square, warp
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.metrics.image import backward_flow

Region = Literal["face", "frame"]
REGIONS: tuple[Region, ...] = ("face", "frame")
BOX = 1.25  # side of the face box over the longer side of the mesh's box
FACE_SIZE = 256  # the face box is seen at this size
FRAME_SIZE = 512  # a whole frame is reduced to this on its long side: an hour of 4K is measured as fast as one of 512


def square(face: Face, factor: float = BOX) -> tuple[float, float, float]:
    """Centre x, y and side, in pixels of the frame, of the square around a face's mesh (its box when it has none)."""
    x0, y0, x1, y1 = (float(v) for v in (face.box if face.mesh is None else box_of(face.mesh)))
    return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0, 1.0) * factor


def cut(picture: Image, centre_side: tuple[float, float, float], size: int = FACE_SIZE) -> Image:
    """(size, size, 3): a square of the picture, its border repeated outside; reduced by area means first when it is more than twice as large."""
    x, y, side = centre_side
    shrink = max(int(side // size), 1)
    if shrink > 1:
        picture, (x, y) = _reduced(picture, shrink, x, y, side)
        side /= shrink
    return warp(
        picture, rotated_square((x, y), side, 0.0, size), (size, size), border=cv2.BORDER_REPLICATE
    )


def fit_within(picture: Image, side: int) -> Image:
    """The picture, reduced (never enlarged) so that its long side is at most `side`."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def like(picture: Image, other: Image) -> Image:
    """The picture at the size of the other."""
    if picture.shape == other.shape:
        return picture
    height, width = other.shape[:2]
    shrinks = picture.shape[0] > height
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


@dataclass(frozen=True)
class Place:
    """One region of one true frame.

    now, before: (h, w, 3) what the truth shows there in this frame and in the one before (None at the start).  face: the true face, in
    pixels of the frame.  box: centre x, y and side of the face box, None for the whole frame.  whole: the frame that the face is in.
    """

    region: Region
    now: Image
    before: Image | None
    face: Face | None
    box: tuple[float, float, float] | None
    whole: Image

    @classmethod
    def of(
        cls, region: Region, now: Image, before: Image | None, face: Face | None
    ) -> Place | None:
        """None when the region does not exist in this frame (no face)."""
        if region == "frame":
            return cls(
                region,
                fit_within(now, FRAME_SIZE),
                None if before is None else fit_within(before, FRAME_SIZE),
                face,
                None,
                now,
            )
        if face is None:
            return None
        box = square(face)
        return cls(
            region, cut(now, box), None if before is None else cut(before, box), face, box, now
        )

    def cut(self, picture: Image) -> Image:
        """The same region of another picture of the frame's size."""
        return fit_within(picture, FRAME_SIZE) if self.box is None else cut(picture, self.box)

    @cached_property
    def flow(self) -> Array32 | None:
        """`backward_flow` of the truth, computed once for all results; None at the start and for a region too small for it."""
        return (
            None
            if self.before is None or min(self.now.shape[:2]) < 16
            else backward_flow(self.before, self.now)
        )


def _reduced(
    picture: Image, shrink: int, x: float, y: float, side: float
) -> tuple[Image, tuple[float, float]]:
    """The part of the picture around a square, smaller by an integer, and the square's centre in it."""
    height, width = picture.shape[:2]
    left, top = max(int(x - side / 2) - shrink, 0), max(int(y - side / 2) - shrink, 0)
    right, bottom = (
        min(int(x + side / 2) + 2 * shrink, width),
        min(int(y + side / 2) + 2 * shrink, height),
    )
    columns, rows = max((right - left) // shrink, 1), max((bottom - top) // shrink, 1)
    part = picture[top : top + rows * shrink, left : left + columns * shrink]
    small = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return small, ((x - left + 0.5) / shrink - 0.5, (y - top + 0.5) / shrink - 0.5)
