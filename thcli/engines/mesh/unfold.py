"""Correction of skin that folds around the lips, or is drawn out beside them.

Refined lips may cross the skin points of the plain mesh when the mouth opens wide. Where lips
purse, the landmarks beside the corners stay behind, and the shadow of the corners would be drawn
out into streaks: that skin goes with the corners, and the cheek behind it gives way.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import canonical

# Share of its source position, between lip and chin (or nose), that a skin point keeps at least.
MIN_SHARE = 0.6

CORNER_STRETCH = 1.25  # most that skin beside a corner of the lips is drawn out, over the source's
CORNER_REACH = (0.04, 0.16)  # face heights from the corner: skin that goes with it, that stays
BESIDE = 0.03  # face heights on the lips' side of a corner where no skin goes with it

# Columns of point indices, each from the lip outwards.
_DOWN = np.array(
    [
        ["146", "91", "181", "84", "17", "314", "405", "321", "375"],  # lower lip's outer edge
        ["43", "106", "182", "83", "18", "313", "406", "335", "273"],
        ["202", "204", "194", "201", "200", "421", "418", "424", "422"],
        ["210", "211", "32", "208", "199", "428", "262", "431", "430"],  # height of the chin
    ],
    np.intp,
)
_UP = np.array(
    [
        ["39", "37", "0", "267", "269"],
        ["165", "167", "164", "393", "391"],
        ["98", "97", "2", "326", "327"],
    ],
    np.intp,
)
_SIDES = ((61, 57, 58), (291, 287, 288))  # corner of the lips, skin beside it, jaw


def unfold_skin(source: Array, target: Array) -> Array:
    """Move the skin below and above the lips out of the lips' way.

    Args:
        source, target: (468, 3) meshes.

    Returns:
        (468, 3) the corrected target; `target` itself where nothing crosses.
    """
    corrected = None
    for columns in (_DOWN, _UP):
        lip, anchor = columns[0], columns[-1]
        source_line, target_line = source[anchor] - source[lip], target[anchor] - target[lip]
        for skin in columns[1:-1]:
            source_share = _share_along((source[skin] - source[lip])[:, :2], source_line[:, :2])
            target_share = _share_along((target[skin] - target[lip])[:, :2], target_line[:, :2])
            deficit = MIN_SHARE * source_share - target_share
            if deficit.max() > 0:
                corrected = target.copy() if corrected is None else corrected
                corrected[skin] += np.maximum(deficit, 0)[:, None] * target_line
    return target if corrected is None else corrected


def follow_corners(source: Array, target: Array) -> Array:
    """Take skin beside the corners of the lips along where they purse.

    Lengths are measured in space: the cheek beside a far corner is seen edge on.

    Args:
        source, target: (468, 3) meshes.

    Returns:
        (468, 3) the corrected target; `target` itself where no skin is drawn out.
    """
    corrected = None
    for (corner, skin, jaw), follows in zip(_SIDES, _beside_corners(), strict=True):
        source_line, target_line = source[[jaw]] - source[corner], target[[jaw]] - target[corner]
        source_share = _share_along(source[[skin]] - source[corner], source_line)
        target_share = _share_along(target[[skin]] - target[corner], target_line)
        excess = float((target_share - CORNER_STRETCH * source_share)[0])
        if excess > 0:
            corrected = target.copy() if corrected is None else corrected
            corrected -= excess * follows[:, None] * target_line
    return target if corrected is None else corrected


@cache
def _beside_corners() -> tuple[Array, ...]:
    """Return how far skin goes with each corner of the lips, (468,) 0..1."""
    flat = canonical.neutral()[:, :2].astype(np.float32)
    edge = flat[LIPS_OUTER]
    is_lip = np.array([cv2.pointPolygonTest(edge, point.tolist(), False) >= 0 for point in flat])
    found = []
    for corner, _, _ in _SIDES:
        inwards = (flat[corner, 0] - flat[:, 0]) * np.sign(flat[corner, 0])
        inwards /= anatomy.neutral_height()
        near = 1 - smoothstep(*CORNER_REACH, anatomy.neutral_distances(np.array([corner])))
        found.append(near * (1 - smoothstep(0, BESIDE, inwards)) * ~is_lip)
    return tuple(found)


def _share_along(part: Array, whole: Array) -> Array:
    """Project `part` (K, C) on `whole` (K, C): (K,) share of its length."""
    return np.asarray((part * whole).sum(-1) / np.maximum((whole**2).sum(-1), 1e-6))
