"""Brows that move as far as the driver's.

The landmarks of brows move less than the brows: the tracker reads about 0.7 of a rise that is
rendered, and next to nothing of brows that are knit, which it tells by their folds.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion.canonical import neutral, neutral_distances
from thcli.motion.limits import soft_limit

GAIN = 1.35  # of the motion of the brows
GAIN_RANGE = (0.01, 0.035)  # canonical units of motion: noise, and full gain
REACH = 0.13  # canonical units around the brows over which it fades
LID_REACH = 0.1  # from the rims of the eyes, which have rules of their own, over which it grows
KNIT_RANGE = (0.02, 0.055)  # canonical units by which brows are knit: noise, and fully
KNIT_IN, KNIT_DOWN = 0.022, 0.032  # canonical units that knit brows move further
# How far lowered brows count as knit, and how far not those over a mouth that grows wide: a grin
# brings brows together as far as a frown does
LOWER_SHARE, GRIN_SHARE = 0.7, 0.4
MIDDLE = 0.05  # canonical units beside the midline over which one side's brow becomes the other's
LEAST_GAP = 1e-3  # canonical units between brow and eye that a share divides by
# Canonical units above the eyes that raised brows of ordinary faces reach, and by which those rise
# that are high already; by which brows are above a driver's, as high and higher
HIGHEST, LEAST_ROOM, ABOVE_RANGE = 0.37, 0.06, (0.0, 0.03)
# Most rise of brows below a driver's, over their distance from the eyes: skin that a fold hides at
# rest would be drawn out; by which brows are below a driver's, as low and lower
MOST_STRETCH, BELOW_RANGE = 0.5, (0.0, 0.08)
# Canonical units above the eyes that lowered brows of ordinary faces reach, and by which those fall
# that are low already
LOWEST, LEAST_FALL = 0.17, 0.02
# Opening of an eye over the usual one, shut and open; share of a fall that its brow takes over
# shut eyes
SHUT_RANGE, SHUT_FALL = (0.35, 0.7), 0.25
EYES = ((33, 133), (362, 263))  # corners, the eye on the image's left first
SIDES = ((52, 105, 66, 65), (282, 334, 296, 295))
INNER_ENDS = ((55, 107), (285, 336))
_BESIDE = tuple(zip(EYES, SIDES, strict=True))


@cache
def weights() -> Array:
    """Return how far points belong to the brows, (468,)."""
    brows, lids = (
        neutral_distances(np.concatenate([np.asarray(ring) for ring in rings]))
        for rings in (topology.BROWS, topology.EYES)
    )
    near = np.exp(-((brows / REACH) ** 2))
    return np.asarray(near * np.clip(lids / LID_REACH, 0, 1))


@cache
def knitting() -> Array:
    """Return the displacement of brows that are fully knit, (468, 3)."""
    across = neutral()[:, 0]
    heads = np.abs(neutral()[[55, 285], 0]).mean()
    inner = 1 - smoothstep(1.2, 3.2, np.abs(across) / heads)  # the tails of the brows stay
    inwards = -np.sign(across) * np.clip(np.abs(across) / heads, 0, 1) * KNIT_IN
    shape = np.stack([inwards, np.full_like(across, KNIT_DOWN), np.zeros_like(across)], -1)
    return np.asarray(shape * (inner * weights())[:, None])


def measure(change: Array) -> tuple[Array, Array]:
    """Measure changes of canonical shapes.

    Args:
        change: (..., 468, 3).

    Returns:
        The rise of the brows on either side, (..., 2), and how far they are knit, (...), canonical
        units.
    """
    rises = np.stack([-change[..., side, 1].mean(-1) for side in SIDES], -1)
    left, right = (change[..., end, 0].mean(-1) for end in INNER_ENDS)
    corners = change[..., topology.MOUTH_CORNERS, 0]
    grin = np.maximum(corners[..., 1] - corners[..., 0], 0)
    return rises, np.asarray(left - right - LOWER_SHARE * rises.mean(-1) - GRIN_SHARE * grin)


def eye_distances(shape: Array) -> Array:
    """Return how far the brows of canonical shapes (..., 468, 3) are above the eyes, (..., 2)."""
    rows = [shape[..., eye, 1].mean(-1) - shape[..., side, 1].mean(-1) for eye, side in _BESIDE]
    return np.asarray(np.stack(rows, -1))


def fit_room(change: Array, source: Array, reference: Array) -> Array:
    """Return changes whose brows stay between the eyes and the hair.

    They fall by the driver's share of their distance from the eyes: brows that a driver holds high
    fall by more than those of a source are above its eyes; and to where brows end that frown.
    Above a driver's they rise as far as brows do: those that it knits are low at rest, and rise by
    more than is left above a source's. Below a driver's they rise by a share of their distance.

    Args:
        change: (T, 468, 3) of the source's canonical shape.
        source: (468, 3) that shape.
        reference: (468, 3) the driver's, in units of the source's.
    """
    own, driver = eye_distances(source), eye_distances(reference)
    share = np.clip(own / np.maximum(driver, LEAST_GAP), 0, 1)
    rises = measure(change)[0]
    room = np.maximum(HIGHEST - own, LEAST_ROOM)
    above = smoothstep(*ABOVE_RANGE, own - driver)
    most = np.maximum(own - LOWEST, LEAST_FALL)
    falls = soft_limit(share * np.minimum(rises, 0), most)
    below = smoothstep(*BELOW_RANGE, driver - own)
    lost = above * (rises - soft_limit(rises, room))
    lost += below * (rises - soft_limit(rises, MOST_STRETCH * own))
    return _lower(change, np.where(rises > 0, lost, rises - falls))


def hold_over_shut_eyes(change: Array, opened: Array) -> Array:
    """Return changes (T, 468, 3) whose brows hardly fall as the eyes below them shut.

    The tracker lowers them with the lids where they stay, most of all under a fringe.

    Args:
        change: of a canonical shape.
        opened: (T, 2) openings of the eyes over the usual one.
    """
    falls = np.minimum(measure(change)[0], 0)
    return _lower(change, (1 - SHUT_FALL) * (1 - smoothstep(*SHUT_RANGE, opened)) * falls)


def _lower(change: Array, lower: Array) -> Array:
    """Return changes (T, 468, 3) whose brows on either side are lower by (T, 2)."""
    out = change.copy()
    out[..., 1] += lower @ _sides()
    return out


@cache
def _sides() -> Array:
    """Return how far points belong to the brow on either side, (2, 468)."""
    right = smoothstep(-MIDDLE, MIDDLE, neutral()[:, 0])
    return np.asarray(np.stack([1 - right, right]) * weights())


def strengthen(change: Array) -> Array:
    """Return changes of a source's canonical shape (T, 468, 3) with the brows' full motion."""
    rises, knitted = measure(change)
    share = smoothstep(*GAIN_RANGE, np.abs(rises).max(-1))
    knit = smoothstep(*KNIT_RANGE, knitted)
    stronger = change * (1 + (GAIN - 1) * share[:, None, None] * weights()[:, None])
    return np.asarray(stronger + knit[:, None, None] * knitting())
