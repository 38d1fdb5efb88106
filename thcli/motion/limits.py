"""How far a head may turn, grow and move before the source's texture gives out: soft, monotone, exact for small motion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array

KNEE = 0.5  # share of a limit up to which nothing changes
TURN_AWAY = np.radians(30.0)  # of a frontal source, to either side
TURN_BACK = np.radians(12.0)  # towards the hidden side of a source that is turned by TURNED
TURNED = np.radians(35.0)
TURN_FURTHEST = np.radians(50.0)  # own and relative yaw together, away from the frontal pose
TURN_LEAST = np.radians(6.0)
NOD = np.radians(28.0)
TILT = np.radians(50.0)
ZOOM = np.log(1.6)
SHIFT = 0.3  # of the face's height (10-152): half of it is free, see KNEE


def soft(x: npt.ArrayLike, limit: npt.ArrayLike) -> Array:
    """x up to half of the limit, then bent so that |result| < limit; odd, monotone, without a corner."""
    x, limit = np.asarray(x, np.float64), np.asarray(limit, np.float64)
    knee = KNEE * limit
    rest = limit - knee
    over = np.maximum(np.abs(x) - knee, 0)
    return np.asarray(np.where(over > 0, np.sign(x) * (knee + rest * np.tanh(over / rest)), x))


def yaw_limits(own: float) -> tuple[float, float]:
    """The largest relative yaw (negative, positive; both as positive radians) for a source whose own yaw is `own` radians.

    Away from the frontal pose 30 degrees, less when the source is far out already; towards and past it 30 degrees for a frontal
    source, falling to 12 for one turned by 35, whose other cheek is not in the picture.
    """
    size = abs(own)
    away = max(min(TURN_AWAY, TURN_FURTHEST - size), TURN_LEAST)
    back = float(np.interp(size, [0, TURNED], [TURN_AWAY, TURN_BACK]))
    return (away, back) if own < 0 else (back, away)


def limit_turn(rotvec: Array, own_yaw: float) -> Array:
    """Relative rotations (..., 3) in radians, each axis limited."""
    left, right = yaw_limits(own_yaw)
    yaw = rotvec[..., 1]
    return np.stack(
        [
            soft(rotvec[..., 0], NOD),
            np.where(yaw < 0, soft(yaw, left), soft(yaw, right)),
            soft(rotvec[..., 2], TILT),
        ],
        -1,
    )


def limit_shift(shift: Array, height: float) -> Array:
    """Relative shifts (..., 3) in pixels of a face `height` pixels high: the length in the picture limited, depth as it is."""
    length = np.linalg.norm(shift[..., :2], axis=-1, keepdims=True)
    factor = soft(length, SHIFT * height) / np.maximum(length, 1e-12)
    return np.concatenate([shift[..., :2] * np.where(length > 0, factor, 1.0), shift[..., 2:]], -1)
