"""Polygons as soft masks: signed distances to an outline, and coverage that follows its points in parts of a pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_THIN = 0.7  # twice the area over the perimeter of a leaf-shaped sliver, in its greatest width


def distances(
    outline: npt.ArrayLike, size: tuple[int, int], corner: tuple[int, int] = (0, 0)
) -> Array32:
    """How far each pixel's centre lies inside of a closed outline (negative: outside), (height, width) float32 pixels.

    outline: (N, 2) pixels, in either direction, without crossings.  size: (width, height), its first pixel at `corner`.
    """
    points = np.asarray(outline, np.float32)
    x = (np.arange(size[0]) + corner[0]).astype(np.float32)[None, :]
    y = (np.arange(size[1]) + corner[1]).astype(np.float32)[:, None]
    nearest = np.full((size[1], size[0]), np.inf, np.float32)
    inside = np.zeros((size[1], size[0]), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(length, np.float32(1e-12)), 0, 1)
        np.minimum(nearest, (x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2, out=nearest)
        if dy != 0:  # a ray to the left crosses this edge
            inside ^= ((y0 <= y) != (y1 <= y)) & (x > x0 + (y - y0) * (dx / dy))
    np.sqrt(nearest, out=nearest)
    return np.where(inside, nearest, -nearest)


def coverage(outline: npt.ArrayLike, size: tuple[int, int], grow: float = 0.0) -> Array32:
    """How much of each pixel a closed outline covers, (height, width) float32 0..1, with an edge one pixel wide.

    grow: pixels that the outline is moved outwards.  An outline that closes (lids, lips) fades away instead of leaving a line.
    """
    points = np.asarray(outline, np.float32)
    out = np.zeros((size[1], size[0]), np.float32)
    room = grow + 2
    low = np.maximum(np.floor(points.min(0) - room), 0).astype(int)
    high = np.minimum(np.ceil(points.max(0) + room).astype(int) + 1, size)
    if (high <= low).any():
        return out
    part = distances(
        points, (int(high[0] - low[0]), int(high[1] - low[1])), (int(low[0]), int(low[1]))
    )
    thick = _width(points) + 2 * grow
    out[low[1] : high[1], low[0] : high[0]] = np.clip(part + (grow + 0.5), 0, 1) * min(
        max(thick, 0.0), 1.0
    )
    return out


def _width(points: Array32) -> float:
    """About the greatest width of a narrow outline, in pixels."""
    after = np.roll(points, -1, axis=0)
    area = abs(float((points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]).sum())) / 2
    round_about = float(np.hypot(*(after - points).T).sum())
    return 2 * area / max(round_about, 1e-6) / _THIN
