"""How soft a picture is: drawn things must be as soft, or they look pasted on."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.landmarks.topology import EYES, LIPS_OUTER

_GROWN = 0.6  # how much of its own size is looked at around an eye or the mouth
_WINDOW = np.ones((11, 11), np.uint8)  # pixels in which an edge has both of its sides
_STRONG, _SHARPEST = 0.7, 0.02  # the places of strong contrast, and which of their edges tell
_FLAT = 15.0  # levels: less is no edge
_OWN = 0.95  # pixels: width of the sharpest edges around an eye in a picture that is not soft
_LEAST, _MOST = 0.4, 3.0


def blur_of(crop: Image, mesh: Array) -> float:
    """Deviation in pixels of the Gaussian that a picture looks blurred by: of the sharpest of eyes and lips, whose edges every face has."""
    found = []
    for ring in (*EYES, LIPS_OUTER):
        low, high = mesh[ring, :2].min(0), mesh[ring, :2].max(0)
        room = _GROWN * (high - low)
        x0, y0 = np.maximum(np.floor(low - room), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(high + room), crop.shape[1::-1]).astype(int)
        if x1 - x0 > 8 and y1 - y0 > 8:
            found.append(
                _width(cv2.cvtColor(crop[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY).astype(np.float32))
            )
    width = min([width for width in found if width > 0], default=_OWN)
    return float(np.clip(np.sqrt(max(width**2 - _OWN**2, 0)), _LEAST, _MOST))


def _width(grey: Array32) -> float:
    """Of the sharpest strong edges, as the deviation of a Gaussian: a step of height h under it rises by h / (deviation sqrt(2 pi)) a pixel.

    0 where there is no such edge.
    """
    contrast = cv2.dilate(grey, _WINDOW) - cv2.erode(grey, _WINDOW)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)) / 8
    strong = contrast >= max(float(np.quantile(contrast, _STRONG)), _FLAT)
    if not strong.any():
        return 0.0
    widths = contrast[strong] / (np.sqrt(2 * np.pi) * np.maximum(slope[strong], 0.5))
    return float(np.quantile(widths, _SHARPEST))
