"""Exact closing of lids, lips and jaw after an additive expression, limits of mouths, regions."""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.options import Region
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import anatomy
from thcli.motion.anatomy import RimPairs
from thcli.motion.canonical import lip_gaps, mouth_opening, neutral

UPPER_LID = 0.8  # share of a lid correction that moves the upper lid
LID_RINGS = ((0.9, 0.4), (0.7, 0.25))  # shares of the rim's motion for upper and lower skin rings
UPPER_LIP = 0.35  # share of a lip correction that moves the upper lip
LIP_RINGS = ((0.9, 0.7), (0.9, 0.7))
# canonical units around the lips over which the region of the lips ends; the chin belongs to it
LIPS_REACH, JAW_REACH, BELOW_LIPS = (0.15, 0.75), (0.5, 1.0), 0.2
# Ratio to the source's own width below which a mouth narrows by less, and the least; above which it
# widens by less, and the most; and the same of the width itself, in canonical units
FREE_WIDTH, LEAST_WIDTH = 0.75, 0.62
FREE_GRIN, WIDEST_GRIN = 1.3, 1.5
EVEN_WIDTH = 0.05  # change of that ratio from which limits hold in full
REACH = np.array([0.74, 0.86])
OWN_REACH = np.array([1.0, 1.05])  # the same over the source's own width, where that is wider
# and over the source's or the driver's, whichever is wider, for a source that smiles already
SMILING_REACH = np.array([1.0, 1.08])
# Ratio of the height of a lip above which it grows by less, and the most: of a pucker, of shut lips
# that keep their width, and of open ones, which are drawn thin; opening from shut to open
PUCKER_HEIGHTS, SHUT_HEIGHTS, OPEN_HEIGHTS = (1.6, 2.0), (1.35, 1.6), (1.0, 1.1)
OPEN_LIPS = (0.1, 0.3)
LIPS_CLOSE = 0.04  # canonical units by which lips close alone
WIDE_RANGE = (0.2, 0.35)  # opening of a mouth between which it counts as wide open
MOST_CHIN = 1.15  # of the chin below a lip that closes, over the source's
LEAST_CHIN = 0.7  # the same below a lip that opens
BESIDE_CHIN = 0.15  # canonical units above the chin's edge, where the jaw moves as much as the chin
_LOWER_LIP = int(anatomy.LIPS.lower_rings[-1][anatomy.LIPS.lower_rings.shape[1] // 2])
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
            source; less than 0 where lids that are lowered in the source shut.
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
def chin_shares() -> Array:
    """Return how far points move with the chin, (468,) in 0..1; lips and what is above do not."""
    points = neutral()
    top = float(points[list(topology.MOUTH_CORNERS), 1].mean())
    shares = smoothstep(top, points[anatomy.CHIN, 1] - BESIDE_CHIN, points[:, 1])
    for rim, rings in (
        (anatomy.LIPS.upper, anatomy.LIPS.upper_rings),
        (anatomy.LIPS.lower, anatomy.LIPS.lower_rings),
    ):
        shares[np.r_[rim, rings.ravel()]] = 0
    return np.asarray(shares)


def chin_height(shapes: Array) -> Array:
    """Return the height of the chin below the lower lip of shapes (..., 468, 3)."""
    return np.asarray(shapes[..., anatomy.CHIN, 1] - shapes[..., _LOWER_LIP, 1])


def close_jaw(shapes: Array, gaps: Array, share: Array, opened: Array) -> None:
    """Close shapes (T, 468, 3) by the jaw as far as lips would have to be drawn out, in place.

    Args:
        shapes: canonical shapes.
        gaps: (T, 9) that the inner lips are to have.
        share: (468, 1) of the motion that each point takes.
        opened: (468, 3) displacement of an opening jaw.
    """
    closing = np.maximum((lip_gaps(shapes) - gaps).mean(-1) - LIPS_CLOSE, 0)
    if closing.any():
        by_jaw = lip_gaps(neutral() + opened).mean() - lip_gaps(neutral()).mean()
        shapes -= (closing / by_jaw)[:, None, None] * opened * share


def raise_chin(shapes: Array, source_shape: Array, share: Array) -> None:
    """Move the chin after the lower lip of a source whose mouth is wide open, in place.

    Landmarks of the chin follow an opening jaw by about half. With the driver's motion alone a lip
    that closes is drawn out from the chin as a block that hangs.

    Args:
        shapes: (T, 468, 3) canonical shapes.
        source_shape: (468, 3).
        share: (468, 1) of the motion that each point takes.
    """
    wide = float(smoothstep(*WIDE_RANGE, mouth_opening(source_shape)))
    beyond = np.maximum(chin_height(shapes) - MOST_CHIN * chin_height(source_shape), 0)
    if wide > 0 and beyond.any():
        shapes[..., 1] -= wide * beyond[:, None] * chin_shares() * share[:, 0]


def lower_chin(shapes: Array, source_shape: Array, share: Array) -> None:
    """Move the chin down where an opening lip comes too near, in place; see `raise_chin`.

    The chin of a driver that is seen from the side hardly moves, and a wide mouth would swallow it.
    """
    missing = np.maximum(LEAST_CHIN * chin_height(source_shape) - chin_height(shapes), 0)
    if missing.any():
        shapes[..., 1] += missing[:, None] * chin_shares() * share[:, 0]


def limit_mouth(
    change: Array,
    source_shape: Array,
    driver: Array,
    reference: Array,
    gain: Array,
    smile: float = 0.0,
) -> Array:
    """Limit the motion that is added to a source's shape where its mouth puckers or grins.

    A mouth narrows and widens by the driver's ratio at most, times the gain, not by the same
    length, of which nothing of a small mouth would be left, and which would draw it across the
    face. Skin that is drawn out beside the corners tears, and thin lips that are drawn out to thick
    ones are a blur: the ratios bend towards LEAST_WIDTH, WIDEST_GRIN and the most of a lip's
    height, which is less for lips that part. The mouth's motion as a whole is kept.

    A source that smiles has widened its mouth already: what lips that part add to a driver's rest
    would make a grin of it, which the driver does not show.

    Args:
        change: (T, 468, 3) motion, times the gain; limited in place.
        source_shape: (468, 3).
        driver: (T, 468, 3) shapes of the driver.
        reference: (468, 3) of these that corresponds to the source's.
        gain: (T,) of the driver's motion.
        smile: how far the source smiles, 0..1.

    Returns:
        (T,) share that a grin keeps of its motion, which the opening of the lips should keep, too.
    """
    own = mouth_widths(source_shape)
    asked = mouth_widths(source_shape + change) / own
    driven = gain * (mouth_widths(driver) / mouth_widths(reference) - 1)
    narrow = np.maximum(asked, 1 + np.minimum(driven, 0))
    narrow = 2 - _bend(2 - narrow, 2 - FREE_WIDTH, 2 - LEAST_WIDTH)
    reach = np.maximum(REACH, own * OWN_REACH)[:, None]
    shown = SMILING_REACH[:, None] * np.maximum(own, np.maximum(gain, 1) * mouth_widths(driver))
    free_reach, widest = (reach + smile * np.minimum(shown - reach, 0)) / own
    grin = _bend(np.minimum(asked, 1 + np.maximum(driven, 0)), FREE_GRIN, WIDEST_GRIN)
    wide = _bend(grin, free_reach, widest)
    kept_narrow = _kept(1 - asked, 1 - narrow)
    kept_wide = _kept(asked - 1, wide - 1)
    lost = 1 - kept_narrow * kept_wide
    if lost.any():
        lips = np.concatenate([anatomy.LIPS.upper, anatomy.LIPS.lower])
        common = change[:, lips].mean(1, keepdims=True)
        change -= lost[:, None, None] * region_mask("lips") * (change - common)
    _limit_lips(change, source_shape, asked, mouth_opening(driver))
    # lips that are as wide as a grin already part as far as it asks
    kept_grin = _kept(asked - 1, grin - 1)
    return np.asarray(1 - smoothstep(0, FREE_GRIN - 1, asked - 1) * (1 - kept_grin))


def _kept(asked: Array, limit: Array) -> Array:
    """Return the share (T,) of changes of a width that stays within limits, 1 for none.

    It is even where a change sets in: noise about a width that does not change takes no motion.
    """
    kept = np.clip(limit / np.maximum(asked, 1e-9), 0, 1)
    return np.asarray(1 - smoothstep(0, EVEN_WIDTH, asked) * (1 - kept))


def _limit_lips(change: Array, source_shape: Array, widths: Array, openings: Array) -> None:
    """Limit by how much lips grow in height, in place.

    Args:
        change: (T, 468, 3) motion.
        source_shape: (468, 3).
        widths: (T,) of the mouth over the source's own.
        openings: (T,) of the driver's mouth.
    """
    pucker = smoothstep(0, 1 - FREE_WIDTH, 1 - widths)[:, None]
    part = smoothstep(*OPEN_LIPS, openings)[:, None]
    limits = SHUT_HEIGHTS + pucker * np.subtract(PUCKER_HEIGHTS, SHUT_HEIGHTS)
    free, most = (limits + part * (OPEN_HEIGHTS - limits)).T
    for rim, rings in (
        (anatomy.LIPS.upper, anatomy.LIPS.upper_rings),
        (anatomy.LIPS.lower, anatomy.LIPS.lower_rings),
    ):
        height = float((source_shape[rings[-1], 1] - source_shape[rim, 1]).mean())
        grown = change[:, rings, 1] - change[:, None, rim, 1]  # (T, rings, points)
        ratio = 1 + grown[:, -1].mean(-1) / (height or 1e-9)
        kept = (_bend(ratio, free, most) - 1) / np.maximum(ratio - 1, 1e-9)
        change[:, rings, 1] -= np.where(ratio > free, 1 - kept, 0)[:, None, None] * grown


def mouth_widths(shapes: Array) -> Array:
    """Return the distances (...) of the corners of the mouths of shapes (..., 468, 3)."""
    left, right = (shapes[..., k, :2] for k in topology.MOUTH_CORNERS)
    return np.asarray(np.linalg.norm(left - right, axis=-1))


def mouth_slants(shapes: Array) -> Array:
    """Return how much lower the right corner (61) of each mouth is than its left one, (...)."""
    right, left = (shapes[..., k, 1] for k in topology.MOUTH_CORNERS)
    return np.asarray(right - left)


def _bend(values: Array, free: Array | float, most: Array | float) -> Array:
    """Return values that are unchanged up to `free` and bend towards `most` above it."""
    beyond = np.maximum(values - free, 0)
    return np.asarray(values - beyond + (most - free) * np.tanh(beyond / (most - free)))


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
