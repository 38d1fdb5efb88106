"""Polygons as soft masks: signed distances to an outline, and sub-pixel coverage."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

_LEAF_RATIO = 0.7  # twice area over perimeter of a leaf shape, in units of its greatest width


def signed_distance(
    outline: npt.ArrayLike, size: tuple[int, int], corner: tuple[int, int] = (0, 0)
) -> Array32:
    """Return the distance of each pixel's centre into a closed outline; negative outside.

    Args:
        outline: (N, 2) pixels, in either direction, without crossings.
        size: (width, height).
        corner: position of the first pixel.

    Returns:
        (height, width) float32, pixels.
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


def polygon_coverage(outline: npt.ArrayLike, size: tuple[int, int], grow: float = 0.0) -> Array32:
    """Return the share of each pixel that a closed outline covers, with an edge one pixel wide.

    An outline that closes (lids, lips) fades out instead of leaving a line.

    Args:
        outline: (N, 2) pixels.
        size: (width, height).
        grow: pixels by which the outline is expanded.

    Returns:
        (height, width) float32 0..1.
    """
    points = np.asarray(outline, np.float32)
    out = np.zeros((size[1], size[0]), np.float32)
    room = grow + 2
    low = np.maximum(np.floor(points.min(0) - room), 0).astype(int)
    high = np.minimum(np.ceil(points.max(0) + room).astype(int) + 1, size)
    if (high <= low).any():
        return out
    (x0, y0), (x1, y1) = (int(v) for v in low), (int(v) for v in high)
    depth = signed_distance(points, (x1 - x0, y1 - y0), (x0, y0))
    opacity = min(max(_width(points) + 2 * grow, 0.0), 1.0)
    out[y0:y1, x0:x1] = np.clip(depth + (grow + 0.5), 0, 1) * opacity
    return out


def _width(points: Array32) -> float:
    """Return about the greatest width of a narrow outline, in pixels."""
    after = np.roll(points, -1, axis=0)
    area = abs(float((points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]).sum())) / 2
    perimeter = float(np.hypot(*(after - points).T).sum())
    return 2 * area / max(perimeter, 1e-6) / _LEAF_RATIO
