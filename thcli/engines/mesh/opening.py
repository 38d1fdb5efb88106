"""Coordinates of an opening (an eye or the mouth) along and across the line of its corners.

u runs from the corner on the image's left (0) to the one on its right (1). v runs across,
downwards, in the same unit. Between the two rims a column of one opening maps to the same column
of another, at any resolution and without triangles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import three_channels
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import merge_positions

COLUMNS = np.linspace(-0.25, 1.25, 97)
"""(97,) u at which the rims are stored."""
BETWEEN_CORNERS = slice(16, 81)
"""COLUMNS from corner to corner."""
SPACING = COLUMNS[1] - COLUMNS[0]
# COLUMNS before and after those a tenth of the width inside of the corners; slope of a rim there
# from which its edge is measured across it
BEFORE, AFTER, STEEP = slice(22, 73), slice(24, 75), 1.0

STRIP_PIXELS = 1 << 14  # that are drawn at a time: fits the cache
Region = tuple[slice, slice]
"""Rows and columns of a rectangle in an image."""
Rims = tuple[Array32, Array32]
"""v of the upper and of the lower rim."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The outline of an eye or a mouth.

    corner: (2,) pixels of the left corner.  axes: (2, 2) pixels, rows along and across, each one
    width long.  upper, lower: (97,) v of the rims at COLUMNS.
    """

    corner: Array
    axes: Array
    upper: Array
    lower: Array

    @property
    def width(self) -> float:
        """Distance between the corners in pixels."""
        return float(np.hypot(*self.axes[0]))

    @property
    def gap(self) -> float:
        """Mean height of the middle half, in widths."""
        return float((self.lower - self.upper)[32:65].mean())

    def to_local(self, points: npt.ArrayLike) -> Array:
        """Convert (..., 2) pixels to (..., 2) u, v."""
        offset = np.asarray(points, np.float64) - self.corner
        return np.asarray(offset @ self.axes.T / (self.axes[0] @ self.axes[0]))

    def rims(self, u: npt.NDArray[np.floating]) -> Rims:
        """Interpolate v of the upper and of the lower rim at u, float32."""
        upper, lower = interpolate(u, self.upper, self.lower)
        return upper, lower


def interpolate(u: npt.NDArray[np.floating], *rows: Array) -> list[Array32]:
    """Interpolate rows of values at COLUMNS, (97,) each, at u, float32 of its shape."""
    at = ((u + 0.25) * 64).clip(0, 95.999)
    low = at.astype(np.intp)
    part = (at - np.floor(at)).astype(np.float32)
    values = np.array(rows, np.float32)
    return list(values.take(low, 1) * (1 - part) + values[:, 1:].take(low, 1) * part)


def fit_opening(mesh: Array, ring: npt.NDArray[np.int32]) -> Opening:
    """Measure the opening inside a ring of mesh points.

    Args:
        mesh: (468, 2+) pixels.
        ring: point indices from the left corner along the lower rim, then back along the upper.
    """
    points = mesh[ring, :2]
    return _fit_ring(points.tobytes(), points.dtype)


@lru_cache(maxsize=32)
def _fit_ring(content: bytes, kind: np.dtype[Any]) -> Opening:
    """Measure the opening inside a ring; the layers of a frame ask for the same ones."""
    points = np.frombuffer(content, kind).reshape(-1, 2)
    half = len(points) // 2
    along = points[half] - points[0]
    if along @ along < 1e-6:
        along = np.array([1e-3, 0.0])
    axes = np.array([along, [-along[1], along[0]]])
    local = (points - points[0]) @ axes.T / (along @ along)
    lower, upper = local[: half + 1], np.concatenate([local[:1], local[: half - 1 : -1]])
    heights = [
        np.interp(COLUMNS, np.maximum.accumulate(rim[:, 0]), rim[:, 1]) for rim in (upper, lower)
    ]
    middle = (heights[0] + heights[1]) / 2
    return Opening(points[0], axes, np.minimum(heights[0], middle), np.maximum(heights[1], middle))


def foreshortening(mesh: Array, ring: npt.NDArray[np.int32]) -> float:
    """Return the distance between an opening's corners in the picture over that in space, 0..1.

    Args:
        mesh: (468, 3) pixels.
        ring: as in `fit_opening`.
    """
    along = mesh[ring[len(ring) // 2]] - mesh[ring[0]]
    return float(np.hypot(*along[:2]) / max(float(np.sqrt(along.dot(along))), 1e-6))


def frontal_gap(opening: Opening, mesh: Array, ring: npt.NDArray[np.int32]) -> float:
    """Return the gap of an opening in widths, as in a view that does not foreshorten its width.

    Args:
        opening: of the ring.
        mesh, ring: as in `foreshortening`.
    """
    return opening.gap * foreshortening(mesh, ring)


def bounding_region(opening: Opening, size: tuple[int, int], margin: float) -> Region | None:
    """Find the rectangle of an image that holds an opening.

    Args:
        opening: the opening.
        size: (width, height) of the image.
        margin: widths added around the opening.

    Returns:
        Rows and columns, or None when the opening lies outside of the image.
    """
    u, rims = COLUMNS[BETWEEN_CORNERS], (opening.upper, opening.lower)
    rim = np.concatenate([np.stack([u, v[BETWEEN_CORNERS]], 1) for v in rims])
    corners = opening.corner + rim @ opening.axes
    border = margin * opening.width + 2
    x0, y0 = np.floor(corners.min(0) - border).astype(int)
    x1, y1 = np.ceil(corners.max(0) + border).astype(int) + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, size[0]), min(y1, size[1])
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def iterate_strips(region: Region) -> Iterator[tuple[slice, Region]]:
    """Yield the rows of a region, a few at a time, and the part of the image that they are."""
    rows, columns = region
    height = max(1, STRIP_PIXELS // (columns.stop - columns.start))
    for top in range(rows.start, rows.stop, height):
        bottom = min(top + height, rows.stop)
        yield slice(top - rows.start, bottom - rows.start), (slice(top, bottom), columns)


def local_coordinates(opening: Opening, region: Region, step: int = 1) -> tuple[Array32, Array32]:
    """Compute u and v, each (h, w) float32, of every pixel of a region.

    Or of every block of `step` pixels a side, in its middle.
    """
    rows, columns = region
    scale = opening.axes / (opening.axes[0] @ opening.axes[0])
    middle = opening.corner - (step - 1) / 2
    x = (np.arange(columns.start, columns.stop, step) - middle[0]).astype(np.float32)[None]
    y = (np.arange(rows.start, rows.stop, step) - middle[1]).astype(np.float32)[:, None]
    (a, b), (c, d) = scale.astype(np.float32)
    return np.asarray(a * x + b * y), np.asarray(c * x + d * y)


def to_pixels(opening: Opening, u: Array32, v: Array32) -> Array32:
    """Convert u, v (h, w) to (h, w, 2) float32 pixels, a map for cv2.remap."""
    axes, corner = opening.axes.astype(np.float32), opening.corner.astype(np.float32)
    return merge_positions(
        corner[0] + u * axes[0, 0] + v * axes[1, 0], corner[1] + u * axes[0, 1] + v * axes[1, 1]
    )


def between_rims(opening: Opening, along: Array32, across: Array32) -> Array32:
    """Return the pixels of a grid between the rims, (h, w, 2) float32.

    Args:
        opening: the opening.
        along: (w,) u of the columns.
        across: (h,) shares of the way from the upper to the lower rim.
    """
    u, share = np.meshgrid(along, across)
    upper, lower = opening.rims(u)
    return to_pixels(opening, u, np.asarray(upper + share * (lower - upper), np.float32))


def coverage(opening: Opening, u: Array32, v: Array32, rims: Rims, soft: float) -> Array32:
    """Compute how much of each pixel lies between the rims, (h, w) float32 in 0..1.

    soft: width of the mask's edge in pixels, across the rim, however steep that is.
    """
    width = np.float32(opening.width / soft)
    above, below = v - rims[0], rims[1] - v
    heights = np.array([opening.upper, opening.lower])
    if np.abs(heights[:, AFTER] - heights[:, BEFORE]).max() > STEEP * 2 * SPACING:
        slopes = np.gradient(heights, SPACING, axis=1)
        along = interpolate(u, *(1 / np.hypot(1, slopes)))
        above, below = above * along[0], below * along[1]
    inside = np.minimum(above, below) * width + np.float32(0.5)
    sides = np.minimum(u, 1 - u) * width + np.float32(0.5)
    return np.asarray(np.clip(np.minimum(inside, sides), 0, 1))


def blend(
    out: npt.NDArray[np.uint8], region: Region, mask: Array32, colour: Image | Array32
) -> None:
    """Blend a colour (h, w, 3), 0..255, into a region of an image, in place; mask (h, w) 0..1."""
    view = out[region]
    if not view.size:  # OpenCV takes no empty arrays
        return
    difference = cv2.subtract(colour, view, dtype=cv2.CV_32F)
    cv2.multiply(difference, three_channels(mask.astype(np.float32, copy=False)), difference)
    view[:] = cv2.add(view, difference, dtype=cv2.CV_8U)


def map_between_rims(v: Array32, rims: Rims, others: Rims) -> Array32:
    """Map v from its position between `rims` to the same position between `others`.

    The result is exact when the two pairs of rims are the same.
    """
    (upper, lower), (top, bottom) = rims, others
    thin = np.float32(1e-3)
    return np.asarray(top + (v - upper) * ((bottom - top + thin) / (lower - upper + thin)))
