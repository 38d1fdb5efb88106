"""Network rows to canonical face shapes with exact lip gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Array32
from thcli.motion import anatomy, closure
from thcli.motion.canonical import lip_gaps, neutral

MIN_OPENING = 0.004  # canonical units; smaller openings (tracking noise) close the lips
# mean lip gaps over their mean, from corner to corner
GAP_PROFILE = np.array([0.35, 0.75, 1.05, 1.25, 1.3, 1.25, 1.05, 0.75, 0.35])
LIP_MIDDLES = [0, 13, 14, 17]  # outer and inner points of the upper, inner and outer of the lower
PROFILE_BLEND = 0.02  # opening in canonical units at which the two gap profiles weigh equally


@dataclass(frozen=True, slots=True)
class MouthShapes:
    """Mouth shapes of the network's coefficients.

    Attributes:
        basis: (K, 468, 3) one standard deviation of each coefficient, canonical units.
        unit: opening in canonical units that a network output of 1 stands for.
    """

    basis: Array32
    unit: float

    def faces(self, rows: Array32, scale: float = 1.0) -> Array:
        """Return canonical shapes (T, 468, 3) of the neutral face.

        Args:
            rows: (T, K + 1) rows of the network.
            scale: amplitude of the mouth's motion.
        """
        displacement = np.tensordot(
            rows[:, :-1].astype(np.float64) * scale, self.basis.astype(np.float64), 1
        )
        shape = neutral() + displacement
        closure.set_lips(
            shape,
            distribute_opening(lip_gaps(shape), rows[:, -1].astype(np.float64) * self.unit * scale),
        )
        return shape


def lip_features(basis: Array) -> Array:
    """Return how each shape (K, 468, 3) widens and protrudes the lips, (2, K)."""
    left, right = anatomy.INNER_MOUTH_CORNERS
    width = basis[:, right, 0] - basis[:, left, 0]
    return np.stack([width, -basis[:, LIP_MIDDLES, 2].mean(1)])


def distribute_opening(shape_gaps: Array, opening: Array) -> Array:
    """Return lip gaps (T, 9) whose mean is the opening less MIN_OPENING, at least 0.

    Args:
        shape_gaps: (T, 9) gaps of the shape, which give the profile together with GAP_PROFILE.
        opening: (T,) mean opening, canonical units.
    """
    profile = np.maximum(shape_gaps, 0) + PROFILE_BLEND * GAP_PROFILE
    profile /= profile.mean(-1, keepdims=True)
    return np.asarray(np.maximum(opening - MIN_OPENING, 0)[:, None] * profile)
