"""How soft a picture is: drawn things must be as soft, or they look pasted on."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.topology import EYES, LIPS_OUTER

_STEPS = (0.8, 3.2)  # Gaussians: what is finer than the first, and between the two, is compared
_BLURS = np.array([0.4, 0.7, 1.0, 1.4, 1.9, 2.5, 3.2, 4.0])  # that the table is made of
_GROWN = 0.6  # how much of its own size is looked at around an eye or the mouth


def blur_of(crop: Image, mesh: Array) -> float:
    """The Gaussian, in pixels, that takes as much fine detail off sharp edges as this picture lacks: of its sharpest feature.

    Eyes and lips have edges in every picture; skin may be smooth of its own.
    """
    found = []
    for ring in (*EYES, LIPS_OUTER):
        low, high = mesh[ring, :2].min(0), mesh[ring, :2].max(0)
        room = _GROWN * (high - low)
        x0, y0 = np.maximum(np.floor(low - room), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(high + room), crop.shape[1::-1]).astype(int)
        if x1 - x0 > 8 and y1 - y0 > 8:
            found.append(_ratio(cv2.cvtColor(crop[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY).astype(np.float32)))
    ratio = max(found) if found else 0.0
    table = _table()
    return float(np.interp(-ratio, -table, _BLURS))


def _ratio(grey: Array32) -> float:
    """Strength of the finest detail over that of the next: of the strongest tenth of all places, which grain does not decide."""
    fine = cv2.GaussianBlur(grey, (0, 0), _STEPS[0])
    coarse = cv2.GaussianBlur(grey, (0, 0), _STEPS[1])
    first, second = np.abs(grey - fine), np.abs(fine - coarse)
    top = second >= np.quantile(second, 0.85)
    near = cv2.dilate(first, np.ones((3, 3), np.uint8))
    return float(near[top].mean() / max(float(second[top].mean()), 1e-3))


@cache
def _table() -> Array:
    """The ratio of an edge under each of `_BLURS`."""
    plain = np.zeros((64, 64), np.float32)
    plain[18:46, 10:54] = 120
    return np.array([_ratio(cv2.GaussianBlur(plain, (0, 0), blur)) for blur in _BLURS])
