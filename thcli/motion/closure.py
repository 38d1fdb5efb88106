"""Exact closing of lids and lips after an additive expression, and masks of face regions."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.options import Region
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.anatomy import RimPairs
from thcli.motion.canonical import lip_gaps, neutral

UPPER_LID = 0.8  # share of a lid correction that moves the upper lid
LID_RINGS = ((0.9, 0.4), (0.7, 0.25))  # shares of the rim's motion for upper and lower skin rings
UPPER_LIP = 0.35  # share of a lip correction that moves the upper lip
LIP_RINGS = ((0.9, 0.7), (0.9, 0.7))
# canonical units around the lips over which the region of the lips ends; the chin belongs to it
LIPS_REACH, JAW_REACH, BELOW_LIPS = (0.15, 0.75), (0.5, 1.0), 0.2
MAX_OPENING_RATIO = 1.7  # largest opening of an eye over its opening in the source


def open_rims(
    shape: Array,
    rims: RimPairs,
    delta: Array,
    upper_share: float,
    ring_shares: tuple[tuple[float, ...], ...],
) -> None:
    """Add delta (T, K, 3) to the gap between two rims of shape (T, 468, 3), in place.

    Args:
        shape: canonical shapes.
        rims: the facing points.
        delta: change of the gap.
        upper_share: share that moves the upper rim; the lower rim takes the rest.
        ring_shares: shares of a rim's motion that move its skin rings, upper and lower.
    """
    for sign, share, rim, skin_rings, factors in (
        (1.0, upper_share, rims.upper, rims.upper_rings, ring_shares[0]),
        (-1.0, 1 - upper_share, rims.lower, rims.lower_rings, ring_shares[1]),
    ):
        shape[:, rim] += sign * share * delta
        for ring, factor in zip(skin_rings, factors, strict=True):
            shape[:, ring] += sign * share * factor * delta


def set_lids(
    shape: Array, source_shape: Array, opening: Array, added_opening: Array | None = None
) -> None:
    """Set the lid gaps of canonical shapes (T, 468, 3), in place.

    Args:
        shape: canonical shapes to change.
        source_shape: (468, 3) canonical shape of the source.
        opening: (T, 2) gap over the source's own gap, per eye.
        added_opening: (T, 2) gap added over that of the neutral mesh, for eyes that are shut in the
            source.
    """
    for side, rims in enumerate(anatomy.LIDS):
        target_gap = (source_shape[rims.upper] - source_shape[rims.lower]) * opening[
            :, side, None, None
        ]
        if added_opening is not None:
            neutral_gap = neutral()[rims.upper] - neutral()[rims.lower]
            target_gap = target_gap + neutral_gap * added_opening[:, side, None, None]
        gap = shape[:, rims.upper] - shape[:, rims.lower]
        open_rims(shape, rims, target_gap - gap, UPPER_LID, LID_RINGS)


def set_lips(shape: Array, gaps: Array) -> None:
    """Set the gaps (T, 9) of the inner lips of canonical shapes (T, 468, 3), in place.

    Gaps are along the face's vertical, in canonical units.
    """
    delta = np.zeros((*gaps.shape, 3))
    delta[..., 1] = (
        lip_gaps(shape) - gaps
    )  # y is down: a wider gap moves the upper lip to smaller y
    open_rims(shape, anatomy.LIPS, delta, UPPER_LIP, LIP_RINGS)


@cache
def region_mask(region: Region) -> Array:
    """Return the (468, 1) share of the expression that a region takes from the driver.

    Soft around the lips or the eyes; 1 for the whole face, 0 for the pose alone.
    """
    points = neutral()
    if region in ("all", "expression"):
        mask = np.ones(len(points))
    elif region == "pose":
        mask = np.zeros(len(points))
    elif region == "lips":
        lips = np.concatenate(
            [anatomy.LIPS.upper_rings[-1], anatomy.LIPS.lower_rings[-1], topology.MOUTH_CORNERS]
        )
        distance = _distance_to_nearest(points, points[lips])
        below = smoothstep(0, BELOW_LIPS, points[:, 1] - points[topology.MOUTH_CORNERS, 1].mean())
        around, under = (1 - smoothstep(*limits, distance) for limits in (LIPS_REACH, JAW_REACH))
        mask = around + below * (under - around)
        mask *= smoothstep(points[1, 1], points[0, 1], points[:, 1])  # 0 above the tip of the nose
    else:
        lids = np.concatenate(
            [c.upper_rings[-1] for c in anatomy.LIDS] + [c.lower_rings[-1] for c in anatomy.LIDS]
        )
        mask = 1 - smoothstep(0.05, 0.3, _distance_to_nearest(points, points[lids]))
    return np.asarray(mask[:, None])


def _distance_to_nearest(points: Array, others: Array) -> Array:
    """Return the (N,) distance of each point to the nearest of `others` in the frontal plane."""
    return np.asarray(np.linalg.norm(points[:, None, :2] - others[None, :, :2], axis=-1).min(1))
