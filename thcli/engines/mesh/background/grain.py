"""Grain of a background on the fill of its plate.

Means of patches have less texture than the background. Near the person's outline, where the plate
is seen, the fill takes the fine band of the background that mirrors it across the outline.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.engines.mesh.sampling import (
    box_mean,
    distance_to,
    masked_mean,
    nearest_to,
    odd_size,
    remap,
)

BAND = 0.06  # face heights, the coarsest texture that is lent
SPREAD_RADIUS = 0.2  # face heights over which the strength of the texture is measured
DEPTH = (0.35, 0.7)  # face heights from the outline between which the grain fades out
MOST = 2.5  # of the texture's median strength, beyond which a detail is an edge and is cut


def add_grain(filled: Array32, hole: npt.NDArray[np.bool_], face_size: float) -> Array32:
    """Give the fill of a hole the background's fine texture, as far as it lacks it.

    Args:
        filled: (h, w, 3) float32 0..255, the background around and the fill within the hole.
        hole: (h, w).
        face_size: samples per face height.

    Returns:
        (h, w, 3) float32 0..255, outside of the hole as it was.
    """
    if hole.all() or not hole.any():
        return filled
    height, width = hole.shape
    depth, nearest = nearest_to(~hole)
    row, column = np.divmod(nearest, width)
    here = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    mirrored = 2 * np.stack([column, row], -1).astype(np.float32) - here
    # a mirror image beyond the picture's edge is mirrored there again
    last = np.array([width - 1, height - 1], np.float32)
    mirrored = np.ascontiguousarray(last - np.abs(last - np.abs(mirrored)))
    detail = filled - box_mean(filled, odd_size(BAND * face_size))
    known = (~hole).astype(np.float32)
    near = ~hole & (distance_to(hole) < DEPTH[1] * face_size)
    limit = MOST * float(np.median(np.abs(detail[near]))) if near.any() else 0.0
    detail = np.clip(detail, -limit, limit)
    present = _strength(detail, hole.astype(np.float32), face_size)
    wanted = _strength(detail, known, face_size)[row, column]
    lent = remap(detail, mirrored)
    lent *= remap(known, mirrored)[..., None]
    lack = np.sqrt(np.clip(1 - (present / np.maximum(wanted, 1e-3)) ** 2, 0, 1))
    fade = np.clip((DEPTH[1] - depth / face_size) / (DEPTH[1] - DEPTH[0]), 0, 1)
    share = (lack * fade * (1 - known))[..., None].astype(np.float32)
    return np.asarray(np.clip(filled + share * lent, 0, 255), np.float32)


def _strength(detail: Array32, weight: Array32, face_size: float) -> Array32:
    """Return the local standard deviation (h, w) of a texture where `weight` is 1."""
    squares = masked_mean((detail**2).mean(-1), weight, odd_size(2 * SPREAD_RADIUS * face_size))
    return np.sqrt(np.maximum(squares, 0))
