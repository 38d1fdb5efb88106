"""Light that falls on one side of a mouth: a driver's mouth takes that of the source."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.mouth.colours import tone_at
from thcli.faces.landmarks.topology import MOUTH_SKIN
from thcli.motion.canonical import neutral

# |Log| of the light at one side of a mouth over that at the other: alike between two faces, and at
# most of what lies beyond that; factor on the lighter side at most
SIMILAR_LIGHT, MOST_ASIDE, MOST_LIGHTER = 0.2, 1.2, 1.15
_ACROSS = neutral()[MOUTH_SKIN, 0]
_SIDES = MOUTH_SKIN[_ACROSS.min() / 2 > _ACROSS], MOUTH_SKIN[_ACROSS.max() / 2 < _ACROSS]


def measure(image: Image, mesh: Array) -> float:
    """Return the log of the light on the skin at the right of a mouth over that at its left.

    Args:
        image: (H, W, 3) uint8.
        mesh: (468, 3) pixels.
    """
    left, right = (max(float(tone_at(image, mesh, side).mean()), 1.0) for side in _SIDES)
    return float(np.log(right / left))


def along(u: Array32, aside: float) -> Array32:
    """Return factors on the colours of a mouth at u (h, w), 0 at its left corner to 1.

    aside: see `measure`, of the source less that of the driver.
    """
    beyond = np.sign(aside) * np.clip(abs(aside) - SIMILAR_LIGHT, 0, MOST_ASIDE)
    factors = np.exp(beyond * (np.clip(u, 0, 1) - 0.5))
    return np.asarray(np.minimum(factors, MOST_LIGHTER), np.float32)
