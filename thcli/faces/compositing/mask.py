"""Soft masks in pixels of a crop: 1 where the crop shows, 0 where the frame shows, 0 at the rim."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError
from thcli.core.imaging import smoothstep
from thcli.core.types import Array32

_CORNER = 0.3  # radius of the rounded corners, in shorter sides
_COARSE = 4  # reduction at which the hull's mask is computed: it has no detail below its feather


@lru_cache(maxsize=16)
def rim_mask(size: tuple[int, int], feather: float) -> Array32:
    """Return the mask of a rounded rectangle, (height, width) float32 0..1, read-only.

    Args:
        size: (width, height).
        feather: width of the ramp from 0 at the outermost pixels, in shorter sides.
    """
    width, height = size
    short = min(width, height)
    radius = _CORNER * short
    half = np.array([(width - 1) / 2, (height - 1) / 2])
    x = np.abs(np.arange(width) - half[0]) - (half[0] - radius)
    y = np.abs(np.arange(height) - half[1]) - (half[1] - radius)
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside = np.minimum(np.maximum(x[None, :], y[:, None]), 0)
    mask = _soft_edge((radius - outside - inside) / max(feather * short, 1.0))
    mask[[0, -1]] = mask[:, [0, -1]] = 0  # also where rounding leaves a trace
    mask.setflags(write=False)
    return mask


def hull_mask(points: npt.ArrayLike, size: tuple[int, int], feather: float) -> Array32:
    """Return the mask of the convex hull of a face's points, expanded by its feather.

    The mask is computed from distances to the hull's edges, not from filled pixels, so it follows
    the points with sub-pixel accuracy.

    Args:
        points: (N, 2+) pixels of the crop, N >= 3.
        size: (width, height).
        feather: as for `rim_mask`, which bounds this mask.

    Returns:
        (height, width) float32 0..1.

    Raises:
        NoFaceError: the points are on one line.
    """
    width, height = size
    hull = cv2.convexHull(np.asarray(points, np.float32)[:, :2])[:, 0].astype(np.float64)
    edge = np.roll(hull, -1, axis=0) - hull
    length = np.hypot(edge[:, 0], edge[:, 1])
    edge, hull = edge[length > 1e-6] / length[length > 1e-6, None], hull[length > 1e-6]
    normal = np.stack([edge[:, 1], -edge[:, 0]], 1)
    if len(edge) < 3:
        raise NoFaceError("The face's points are on one line.")
    middle = hull.mean(0)
    # Outwards, in either direction of the hull.
    normal *= -np.sign(((middle - hull) * normal).sum(1))[:, None]
    coarse_w, coarse_h = -(-width // _COARSE), -(-height // _COARSE)
    x = (np.arange(coarse_w) + 0.5) * (width / coarse_w) - 0.5
    y = (np.arange(coarse_h) + 0.5) * (height / coarse_h) - 0.5
    offset = (normal * hull).sum(1)
    distance = np.full((coarse_h, coarse_w), -np.inf)
    for (nx, ny), c in zip(normal, offset, strict=True):
        np.maximum(distance, (nx * x)[None, :] + (ny * y - c)[:, None], out=distance)
    soft = max(feather * min(width, height), 1.0)
    full = np.asarray(
        cv2.resize(distance.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32
    )
    return np.minimum(_soft_edge(1 - full / soft), rim_mask(size, feather))


def _soft_edge(depth: npt.NDArray[np.floating]) -> Array32:
    return np.asarray(smoothstep(0, 1, np.clip(depth, 0, 1).astype(np.float32)), np.float32)
