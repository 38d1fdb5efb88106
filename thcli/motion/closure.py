"""Lids and lips close exactly, whatever the additive expression leaves between them; regions of the face."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.options import Region
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.anatomy import Columns
from thcli.motion.canonical import lip_gaps, neutral

UPPER_LID = 0.8  # share of a lid correction that the upper lid takes
LID_RINGS = ((0.9, 0.4), (0.7, 0.25))  # how far the rings of skin go with the upper, the lower rim
UPPER_LIP = 0.35
LIP_RINGS = ((0.9, 0.7), (0.9, 0.7))
WIDEST = 1.7  # an eye opens to at most this many times its own opening


def _carry(
    shape: Array, columns: Columns, delta: Array, upper: float, rings: tuple[tuple[float, ...], ...]
) -> None:
    """Opens the columns of shape (T, 468, 3) by delta (T, K, 3) in place: `upper` of it up, the rest down, skin rings along."""
    for sign, share, rim, skin, factors in (
        (1.0, upper, columns.upper, columns.upper_rings, rings[0]),
        (-1.0, 1 - upper, columns.lower, columns.lower_rings, rings[1]),
    ):
        shape[:, rim] += sign * share * delta
        for ring, factor in zip(skin, factors, strict=True):
            shape[:, ring] += sign * share * factor * delta


def set_lids(shape: Array, own: Array, opening: Array, lent: Array | None = None) -> None:
    """Gives the lids of canonical shapes (T, 468, 3), in place, the source's own gaps times opening (T, 2). own: the source's shape (468, 3).

    lent: (T, 2) times the gap of a usual open eye, added: for eyes that are shut in the source.
    """
    for side, columns in enumerate(anatomy.LIDS):
        wanted = (own[columns.upper] - own[columns.lower]) * opening[:, side, None, None]
        if lent is not None:
            usual = neutral()[columns.upper] - neutral()[columns.lower]
            wanted = wanted + usual * lent[:, side, None, None]
        there = shape[:, columns.upper] - shape[:, columns.lower]
        _carry(shape, columns, wanted - there, UPPER_LID, LID_RINGS)


def set_lips(shape: Array, gaps: Array) -> None:
    """Gives the inner lips of canonical shapes (T, 468, 3), in place, the gaps (T, 9) along the face's vertical."""
    delta = np.zeros((*gaps.shape, 3))
    delta[..., 1] = (
        lip_gaps(shape) - gaps
    )  # y points down: a wider gap moves the upper lip to smaller y
    _carry(shape, anatomy.LIPS, delta, UPPER_LIP, LIP_RINGS)


@cache
def region_mask(region: Region) -> Array:
    """(468, 1) share of the expression that a region takes over: soft around the lips or the eyes, 1 for the whole face, 0 for the pose alone."""
    points = neutral()
    if region in ("all", "expression"):
        mask = np.ones(len(points))
    elif region == "pose":
        mask = np.zeros(len(points))
    elif region == "lips":
        lips = np.concatenate(
            [anatomy.LIPS.upper_rings[-1], anatomy.LIPS.lower_rings[-1], topology.MOUTH_CORNERS]
        )
        mask = 1 - smoothstep(0.15, 0.75, _distance(points, points[lips]))
        mask *= smoothstep(points[1, 1], points[0, 1], points[:, 1])  # nothing above the nose's tip
    else:
        lids = np.concatenate(
            [c.upper_rings[-1] for c in anatomy.LIDS] + [c.lower_rings[-1] for c in anatomy.LIDS]
        )
        mask = 1 - smoothstep(0.05, 0.3, _distance(points, points[lids]))
    return np.asarray(mask[:, None])


def _distance(points: Array, others: Array) -> Array:
    """(N,) distance of each point to the nearest of `others`, seen from the front."""
    return np.asarray(np.linalg.norm(points[:, None, :2] - others[None, :, :2], axis=-1).min(1))
