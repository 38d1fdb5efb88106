"""Levels of smiles, and smiles that fade: a mouth at rest is no sad one.

A reference that smiles more than its source takes more of a smile away, as the driver comes to
rest, than the source has: its mouth would hang.
"""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array
from thcli.motion.model3d import EXPRESSION_NAMES, IDENTITY_COUNT, project
from thcli.motion.sliders import load_slider_shapes

CHANCE = 0.1  # coefficient of a smile by which faces at rest differ
_SMILE = IDENTITY_COUNT + EXPRESSION_NAMES.index("smile")


def levels(shapes: Array) -> Array:
    """Return the coefficients (...) by which canonical shapes (..., 468, 3) smile."""
    return np.asarray(project(shapes)[..., _SMILE])


def keep(change: Array, source: Array, driver: Array) -> Array:
    """Return changes after which a source smiles no less than itself or than the driver.

    Args:
        change: (T, 468, 3) of the source's canonical shape.
        source: (468, 3) that shape.
        driver: (T, 468, 3) the driver's canonical shapes.
    """
    own, seen, left = (levels(shapes) for shapes in (source, driver, source + change))
    lost = np.maximum(np.minimum(own, seen) - left - CHANCE, 0)
    return np.asarray(change + lost[:, None, None] * load_slider_shapes().smile)
