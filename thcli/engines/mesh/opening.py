"""Openings (an eye, the mouth) in coordinates of their own: along the line of the corners, and across it, rim by column.

u runs from the corner on the picture's left (0) to the one on its right (1); v across, downwards, in the same unit. Between the
two rims a column of one opening maps to the same column of another: no triangles, no stairs, any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32

COLUMNS = np.linspace(-0.25, 1.25, 97)


@dataclass(frozen=True, slots=True)
class Opening:
    """corner: (2,) pixels, the left one.  axes: (2, 2) rows along and across, one width long.  upper, lower: (97,) v of the rims at u = -.25 … 1.25."""

    corner: Array
    axes: Array
    upper: Array
    lower: Array

    @property
    def width(self) -> float:
        """Distance of the corners in pixels."""
        return float(np.hypot(*self.axes[0]))

    @property
    def gap(self) -> float:
        """Mean height of the middle half, in widths."""
        return float((self.lower - self.upper)[32:65].mean())

    def local(self, points: npt.ArrayLike) -> Array:
        """(..., 2) pixels -> (..., 2) u, v."""
        return np.asarray(
            (np.asarray(points, np.float64) - self.corner)
            @ self.axes.T
            / (self.axes[0] @ self.axes[0])
        )

    def rims(self, u: npt.NDArray[np.floating]) -> tuple[Array32, Array32]:
        """v of the upper and of the lower rim at u."""
        at = np.clip((u + 0.25) * 64, 0, 95.999)
        low = at.astype(np.intp)
        part = (at - low).astype(np.float32)
        out = []
        for rim in (self.upper.astype(np.float32), self.lower.astype(np.float32)):
            out.append(rim[low] * (1 - part) + rim[low + 1] * part)
        return out[0], out[1]


def opening(mesh: Array, ring: npt.NDArray[np.int32]) -> Opening:
    """The opening of a ring of points that starts at the left corner and goes along the lower rim, then back along the upper one."""
    points = mesh[ring, :2]
    half = len(ring) // 2
    along = points[half] - points[0]
    if along @ along < 1e-6:
        along = np.array([1e-3, 0.0])
    axes = np.stack([along, [-along[1], along[0]]])
    local = (points - points[0]) @ axes.T / (along @ along)
    lower, upper = local[: half + 1], np.concatenate([local[:1], local[: half - 1 : -1]])
    heights = [
        np.interp(COLUMNS, np.maximum.accumulate(rim[:, 0]), rim[:, 1]) for rim in (upper, lower)
    ]
    middle = (heights[0] + heights[1]) / 2
    return Opening(points[0], axes, np.minimum(heights[0], middle), np.maximum(heights[1], middle))


def pixels(opening_: Opening, size: tuple[int, int], margin: float) -> tuple[slice, slice] | None:
    """Rows and columns of the picture that hold the opening and `margin` widths around it; None when outside of the picture."""
    u = COLUMNS[16:81]
    rim = np.concatenate([np.stack([u, v[16:81]], 1) for v in (opening_.upper, opening_.lower)])
    corners = opening_.corner + rim @ opening_.axes
    border = margin * opening_.width + 2
    x0, y0 = np.floor(corners.min(0) - border).astype(int)
    x1, y1 = np.ceil(corners.max(0) + border).astype(int) + 1
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, size[0]), min(y1, size[1])
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def coordinates(opening_: Opening, where: tuple[slice, slice]) -> tuple[Array32, Array32]:
    """u and v of every pixel of a patch, float32."""
    rows, columns = where
    scale = opening_.axes / (opening_.axes[0] @ opening_.axes[0])
    x = (np.arange(columns.start, columns.stop) - opening_.corner[0]).astype(np.float32)[None]
    y = (np.arange(rows.start, rows.stop) - opening_.corner[1]).astype(np.float32)[:, None]
    (a, b), (c, d) = scale.astype(np.float32)
    return np.asarray(a * x + b * y), np.asarray(c * x + d * y)


def place(opening_: Opening, u: Array32, v: Array32) -> Array32:
    """(h, w, 2) float32 pixels of u, v: a map for cv2.remap."""
    axes, corner = opening_.axes.astype(np.float32), opening_.corner.astype(np.float32)
    return np.stack(
        [corner[0] + u * axes[0, 0] + v * axes[1, 0], corner[1] + u * axes[0, 1] + v * axes[1, 1]],
        -1,
    )


def cover(
    opening_: Opening, u: Array32, v: Array32, rims: tuple[Array32, Array32], soft: float
) -> Array32:
    """How much of each pixel lies inside of the rims, 0..1, with an edge of `soft` pixels."""
    width = np.float32(opening_.width / soft)
    inside = np.minimum((v - rims[0]) * width, (rims[1] - v) * width) + np.float32(0.5)
    sides = np.minimum(u, 1 - u) * width + np.float32(0.5)
    return np.asarray(np.clip(np.minimum(inside, sides), 0, 1))


def blend(
    out: npt.NDArray[np.uint8],
    where: tuple[slice, slice],
    mask: Array32,
    colour: npt.NDArray[np.generic],
) -> None:
    """Lays a patch of colour (h, w, 3), 0..255, over a picture in place; mask (h, w) 0..1."""
    view = out[where]
    view[:] = (
        view
        + mask.astype(np.float32)[..., None] * (colour.astype(np.float32) - view)
        + np.float32(0.5)
    ).astype(np.uint8)


def across(v: Array32, rims: tuple[Array32, Array32], others: tuple[Array32, Array32]) -> Array32:
    """v between two rims, carried to the same share of the way between two others; exact when they are the same ones."""
    (upper, lower), (top, bottom) = rims, others
    thin = np.float32(1e-3)
    return np.asarray(top + (v - upper) * ((bottom - top + thin) / (lower - upper + thin)))
