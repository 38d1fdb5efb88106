"""From the network's rows to the shape of a face: coefficients to a canonical mesh whose lips close exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Array32
from thcli.motion import closure
from thcli.motion.canonical import lip_gaps, neutral

LEAST = 0.004  # canonical units of opening under which lips touch: the tracker's own noise on closed lips
USUAL = np.array(
    [0.35, 0.75, 1.05, 1.25, 1.3, 1.25, 1.05, 0.75, 0.35]
)  # of an opening, from corner to corner
BLEND = 0.02  # canonical units of opening at which the shape's own profile counts as much as the usual one


@dataclass(frozen=True, slots=True)
class Shapes:
    """basis: (K, 468, 3) one standard deviation of each coefficient, canonical units.  unit: the opening that counts as 1."""

    basis: Array32
    unit: float

    def faces(self, rows: Array32, scale: float = 1.0) -> Array:
        """(T, K + 1) rows of the network -> (T, 468, 3) canonical shapes of the neutral face. scale: how far the mouth moves."""
        moved = np.tensordot(
            rows[:, :-1].astype(np.float64) * scale, self.basis.astype(np.float64), 1
        )
        shape = neutral() + moved
        closure.set_lips(
            shape, gaps(lip_gaps(shape), rows[:, -1].astype(np.float64) * self.unit * scale)
        )
        return shape


def gaps(there: Array, opening: Array) -> Array:
    """(T, 9) gaps of the inner lips whose mean is `opening` (T,): as the shape has them, (T, 9), and as mouths usually have.

    What is hardly open is shut.
    """
    own = np.maximum(there, 0)
    profile = own + BLEND * USUAL
    profile /= profile.mean(-1, keepdims=True)
    return np.asarray(np.maximum(opening - LEAST, 0)[:, None] * profile)
