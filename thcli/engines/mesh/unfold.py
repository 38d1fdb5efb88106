"""Keeps the skin around the lips from folding: refined lips may cross the skin of the plain mesh when a mouth opens wide."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array

LEAST = 0.6  # of its usual share of the way from the lip to the chin (or the nose) that a point of skin keeps

_DOWN = np.array(
    [
        ["146", "91", "181", "84", "17", "314", "405", "321", "375"],  # the lower lip's edge
        ["43", "106", "182", "83", "18", "313", "406", "335", "273"],
        ["202", "204", "194", "201", "200", "421", "418", "424", "422"],
        ["210", "211", "32", "208", "199", "428", "262", "431", "430"],  # the chin's height
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


def unfolded(source: Array, target: Array) -> Array:
    """The target mesh (468, 3) with the skin below and above the lips moved out of their way; itself where nothing crosses."""
    moved = None
    for columns in (_DOWN, _UP):
        lip, anchor = columns[0], columns[-1]
        usual_way, way = source[anchor] - source[lip], target[anchor] - target[lip]
        for skin in columns[1:-1]:
            usual = _share(source[skin] - source[lip], usual_way)
            lacking = LEAST * usual - _share(target[skin] - target[lip], way)
            if lacking.max() > 0:
                moved = target.copy() if moved is None else moved
                moved[skin] += np.maximum(lacking, 0)[:, None] * way
    return target if moved is None else moved


def _share(part: Array, whole: Array) -> Array:
    """How far along `whole` (K, 3) `part` reaches, seen in the picture: (K,)."""
    return np.asarray((part * whole)[:, :2].sum(-1) / np.maximum((whole**2)[:, :2].sum(-1), 1e-6))
