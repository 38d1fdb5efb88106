"""Regions in which truth and result are compared: the face box and the whole frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import cv2
import numpy as np

from thcli.core.geometry import bounding_box, square_crop_matrix, warp_affine
from thcli.core.types import Array32, Face, Image
from thcli.evaluate.metrics.image import backward_flow

Region = Literal["face", "frame"]
REGIONS: tuple[Region, ...] = ("face", "frame")
BOX = 1.25  # side of the face box, relative to the longer side of the mesh's box
FACE_SIZE = 256  # pixels of the face box
# Long side of a whole frame in pixels. Larger frames are reduced, so that 4K is as fast as 512.
FRAME_SIZE = 512


def face_square(face: Face, factor: float = BOX) -> tuple[float, float, float]:
    """Return centre x, y and side in pixels of the square around a face's mesh, or its box."""
    x0, y0, x1, y1 = (
        float(v) for v in (face.box if face.mesh is None else bounding_box(face.mesh))
    )
    return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0, 1.0) * factor


def crop_square(
    image: Image, centre_side: tuple[float, float, float], size: int = FACE_SIZE
) -> Image:
    """Sample a square of an image to (size, size, 3); the border is repeated outside.

    An image that is more than twice as large is first reduced by area means.

    Args:
        image: (H, W, 3).
        centre_side: centre x, y and side, pixels.
        size: of the crop, pixels.
    """
    x, y, side = centre_side
    shrink = max(int(side // size), 1)
    if shrink > 1:
        image, (x, y) = _reduced(image, shrink, x, y, side)
        side /= shrink
    return warp_affine(
        image,
        square_crop_matrix((x, y), side, 0.0, size),
        (size, size),
        border=cv2.BORDER_REPLICATE,
    )


def fit_within(image: Image, side: int) -> Image:
    """Reduce an image so that its long side is at most `side`; never enlarge it."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def resize_like(image: Image, other: Image) -> Image:
    """Resize an image to the size of another."""
    if image.shape == other.shape:
        return image
    height, width = other.shape[:2]
    shrinks = image.shape[0] > height
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


@dataclass(frozen=True)
class RegionView:
    """One region of one true frame.

    image, previous: (h, w, 3) the region in this frame and in the previous one (None at the start).
    face: true face, in pixels of the frame.
    box: centre x, y and side of the face box, None for the whole frame.
    frame: whole frame.
    """

    region: Region
    image: Image
    previous: Image | None
    face: Face | None
    box: tuple[float, float, float] | None
    frame: Image

    @classmethod
    def of(
        cls, region: Region, image: Image, previous: Image | None, face: Face | None
    ) -> RegionView | None:
        """Return the view of a region; None when the frame does not have it (no face)."""
        if region == "face" and face is None:
            return None
        box = None if region == "frame" or face is None else face_square(face)
        view = cls(region, _part(image, box), None, face, box, image)
        return view if previous is None else replace(view, previous=_part(previous, box))

    def crop(self, image: Image) -> Image:
        """Return the same region of another image of the frame's size."""
        return _part(image, self.box)

    @cached_property
    def flow(self) -> Array32 | None:
        """Return `backward_flow` of the truth, computed once for all results.

        It is None at the start and for a region that is too small.
        """
        if self.previous is None or min(self.image.shape[:2]) < 16:
            return None
        return backward_flow(self.previous, self.image)


def _part(image: Image, box: tuple[float, float, float] | None) -> Image:
    return fit_within(image, FRAME_SIZE) if box is None else crop_square(image, box)


def _reduced(
    image: Image, shrink: int, x: float, y: float, side: float
) -> tuple[Image, tuple[float, float]]:
    """Return the surroundings of a square reduced by an integer, and the square's new centre."""
    height, width = image.shape[:2]
    left, top = max(int(x - side / 2) - shrink, 0), max(int(y - side / 2) - shrink, 0)
    right = min(int(x + side / 2) + 2 * shrink, width)
    bottom = min(int(y + side / 2) + 2 * shrink, height)
    columns, rows = max((right - left) // shrink, 1), max((bottom - top) // shrink, 1)
    part = image[top : top + rows * shrink, left : left + columns * shrink]
    small = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return small, ((x - left + 0.5) / shrink - 0.5, (y - top + 0.5) / shrink - 0.5)
