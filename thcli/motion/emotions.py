"""Named expressions added to a mouth that speaks (`speak --emotion`).

The values are those of `core.expressions`, without what opens or purses the lips and without gaze,
which belong to the voice.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from thcli.core.expressions import EXPRESSIONS
from thcli.core.types import Array
from thcli.motion import closure
from thcli.motion.canonical import lip_gaps
from thcli.motion.control.apply import WIDEST, lid_closing
from thcli.motion.control.shapes import sum_shapes

OF_VOICE = ("jaw", "pucker", "gaze-x", "gaze-y")


def _slider_rows(name: str) -> dict[str, Array]:
    """Return the sliders of an expression at strength 1, (1,) each."""
    values = EXPRESSIONS[name]
    return {slider: np.array([value]) for slider, value in values.items() if slider not in OF_VOICE}


@cache
def emotion_shape(name: str) -> Array:
    """Return the displacement (468, 3) of an expression at strength 1, canonical units."""
    return np.asarray(sum_shapes(_slider_rows(name), 1)[0])


def apply_emotion(shape: Array, name: str, strength: float) -> float:
    """Add an expression to canonical shapes (T, 468, 3), in place.

    Lips stay as far open as they are.

    Returns:
        The closing of the lids, negative for widened eyes, as `sliders.SliderCurves.blink`.
    """
    if strength <= 0 or not EXPRESSIONS[name]:
        return 0.0
    gaps = lip_gaps(shape)
    shape += strength * emotion_shape(name)
    closure.set_lips(shape, gaps)
    closing = float(lid_closing(_slider_rows(name), 1).mean())
    return strength * (closing if closing > 0 else WIDEST * closing)
