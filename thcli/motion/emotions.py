"""Emotions as displacements of the canonical mesh, added to a mouth that speaks.

Action units of the four emotions after Ekman and Friesen 1978 (Facial Action Coding System). The
smile and the raised brows are recorded shapes (`sliders.load_slider_shapes`); the other parts are
smooth displacements around landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from thcli.core.types import Array
from thcli.motion import closure
from thcli.motion.canonical import lip_gaps, neutral
from thcli.motion.sliders import load_slider_shapes

# Landmarks on the image's left and on its right.
INNER_BROW, MID_BROW, OUTER_BROW = (107, 336), (105, 334), (70, 300)
CORNER, NOSE_WING, CHEEK = (61, 291), (98, 327), (50, 280)
LIDS = {"neutral": 0.0, "happy": 0.1, "sad": 0.16, "angry": 0.14, "surprised": -0.24}
"""Closing of the lids 0..1 at strength 1; negative widens the eyes."""

Push = tuple[tuple[int, int], tuple[float, float], float]
"""Landmarks, displacement (away from the middle, down) and radius, canonical units."""

PUSHES: dict[str, Sequence[Push]] = {
    "neutral": (),
    "happy": (),
    "sad": (
        (INNER_BROW, (-0.012, -0.062), 0.10),
        (OUTER_BROW, (0.0, 0.022), 0.11),
        (CORNER, (0.0, 0.05), 0.12),
        (CHEEK, (0.0, 0.012), 0.15),
    ),
    "angry": (
        (INNER_BROW, (-0.026, 0.058), 0.11),
        (MID_BROW, (-0.008, 0.028), 0.10),
        (OUTER_BROW, (0.0, -0.012), 0.09),
        (NOSE_WING, (0.008, -0.016), 0.08),
        (CORNER, (-0.004, 0.03), 0.11),
    ),
    "surprised": (),
}
SMILE = {"happy": 0.6}  # of the recorded broad smile
BROW = {"happy": 0.15, "surprised": 1.3}  # of the recorded raised brows


@cache
def emotion_shape(name: str) -> Array:
    """Return the displacement (468, 3) of an emotion at strength 1, canonical units."""
    table = load_slider_shapes()
    shape = SMILE.get(name, 0.0) * table.smile + BROW.get(name, 0.0) * table.brow
    points = neutral()
    for landmarks, (outwards, down), radius in PUSHES[name]:
        for landmark, side in zip(landmarks, (-1, 1), strict=True):
            distance = np.linalg.norm(points[:, :2] - points[landmark, :2], axis=-1)
            weight = np.exp(-0.5 * (distance / radius) ** 2)
            shape = shape + weight[:, None] * np.array([side * outwards, down, 0.0])
    return np.asarray(shape)


def apply_emotion(shape: Array, name: str, strength: float) -> float:
    """Add an emotion to canonical shapes (T, 468, 3), in place; lips stay as far open as they are.

    Returns:
        The closing of the lids, negative for widened eyes.
    """
    if strength > 0 and name != "neutral":
        gaps = lip_gaps(shape)
        shape += strength * emotion_shape(name)
        closure.set_lips(shape, gaps)
    return strength * LIDS[name]
