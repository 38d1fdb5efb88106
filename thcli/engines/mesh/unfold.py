"""Correction of skin that folds around the lips.

Refined lips may cross the skin points of the plain mesh when the mouth opens wide.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array

# Share of its source position, between lip and chin (or nose), that a skin point keeps at least.
MIN_SHARE = 0.6

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
            source_share = _share_along(source[skin] - source[lip], source_line)
            target_share = _share_along(target[skin] - target[lip], target_line)
            deficit = MIN_SHARE * source_share - target_share
            if deficit.max() > 0:
                corrected = target.copy() if corrected is None else corrected
                corrected[skin] += np.maximum(deficit, 0)[:, None] * target_line
    return target if corrected is None else corrected


def _share_along(part: Array, whole: Array) -> Array:
    """Project `part` (K, 3) on `whole` (K, 3) in the image plane: (K,) share of its length."""
    return np.asarray((part * whole)[:, :2].sum(-1) / np.maximum((whole**2)[:, :2].sum(-1), 1e-6))
