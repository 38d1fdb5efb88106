"""Retargeted synthetic motion, and its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.motion import synthetic_motion as synthetic
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Face, Motion
from thcli.motion import canonical
from thcli.motion.canonical import PosedShape
from thcli.motion.retarget import RetargetedMotion

RAW = MotionOptions(smooth=0)


def retargeted(
    motion: Motion, options: MotionOptions = RAW, source: Face | None = None, **kwargs: Any
) -> Motion:
    """Return the whole retargeted motion (source: `synthetic.source()` by default)."""
    face = synthetic.source() if source is None else source
    store = RetargetedMotion(face, synthetic.buffer(motion), options, **kwargs)
    return store.window(0, len(motion))


def rows(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def canonical_shapes(motion: Motion) -> Array:
    return canonical.decompose(rows(motion, "points")).shape


def facing(shape: Array, rotation: Array | None = None) -> PosedShape:
    """Return a canonical shape (468, 3) that faces the camera, or is turned by a rotation."""
    turned = np.eye(3) if rotation is None else rotation
    return PosedShape(turned, np.zeros(()), np.zeros(3), shape)
