"""Retargeted synthetic motion, and its rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.motion import synthetic_motion as synthetic
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Face, Motion
from thcli.motion import anatomy, canonical
from thcli.motion.canonical import PosedShape, neutral
from thcli.motion.openings import OpeningRules
from thcli.motion.reference.frames import DriverReference
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


def with_eyes(*gaps: float) -> Array:
    """Return the neutral shape with eyes of these openings, the one on the image's left first."""
    shape = neutral().copy()
    for rims, own in zip(anatomy.LIDS, gaps, strict=True):
        middle = (shape[rims.upper] + shape[rims.lower]) / 2
        scale = own / canonical.eye_openings(neutral()).mean()
        for rim in (rims.upper, rims.lower):
            shape[rim] = middle + scale * (shape[rim] - middle)
    return shape


def opening_rules(source: PosedShape, usual: float) -> OpeningRules:
    """Return the rules of a source's openings under a driver whose eyes are open by `usual`."""
    reference = DriverReference(
        neutral(), np.eye(3), 0.0, np.zeros(3), np.zeros((2, 2)), 0, np.full(2, usual), usual
    )
    return OpeningRules(source, reference, 1.0, shut_eyes=0.05, absolute=False)
