"""A drawn hand that MediaPipe's networks take for one."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.detection.hands import BONES

# Points of a right hand that points up, seen from its back, in about lengths of its palm
POINTS: Array = np.array(
    [
        *[(0, 0), (-0.35, -0.15), (-0.62, -0.4), (-0.8, -0.62), (-0.95, -0.8)],
        *[(-0.3, -0.85), (-0.36, -1.2), (-0.4, -1.42), (-0.42, -1.6)],
        *[(-0.05, -0.9), (-0.06, -1.32), (-0.06, -1.58), (-0.06, -1.78)],
        *[(0.17, -0.85), (0.22, -1.22), (0.25, -1.45), (0.27, -1.63)],
        *[(0.36, -0.72), (0.47, -1.0), (0.54, -1.17), (0.6, -1.32)],
    ]
)
SKIN = np.array([205.0, 150.0, 125.0])
HALF_FINGER, SHADE = 0.14, 0.6
PALM = [0, 1, 5, 9, 13, 17]


def place(wrist: tuple[float, float], size: float, turn: float = 0.0) -> Array:
    """Return the points (21, 2) of a hand of a size in pixels, turned by radians."""
    c, s = np.cos(turn), np.sin(turn)
    return np.asarray(size * POINTS @ np.array([[c, s], [-s, c]]) + wrist)


def draw(image: npt.NDArray[np.uint8], hand: Array) -> npt.NDArray[np.uint8]:
    """Return an image (H, W, 3) with round shaded fingers over it."""
    height, width = image.shape[:2]
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    half = HALF_FINGER * float(np.linalg.norm(hand[9] - hand[0])) / 0.9
    away = np.full((height, width), np.inf)
    for a, b in BONES:
        bone = hand[b] - hand[a]
        share = np.clip((pixels - hand[a]) @ bone / (bone @ bone), 0, 1)
        away = np.minimum(away, np.linalg.norm(pixels - hand[a] - share[..., None] * bone, axis=-1))
    palm = np.rint(hand[PALM]).astype(np.int32)
    is_palm = cv2.fillPoly(np.zeros((height, width), np.uint8), [palm], 1) > 0
    away = np.where(is_palm, 0, away)
    alpha = np.clip(half - away, 0, 1)[..., None]
    light = 1 - SHADE * np.clip(away / half, 0, 1)[..., None] ** 3
    return np.asarray(image * (1 - alpha) + SKIN * light * alpha, np.uint8)
