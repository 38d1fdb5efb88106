"""Estimate of an image's blur, so that drawn objects can be equally soft."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.landmarks.topology import EYES, LIPS_OUTER

_MARGIN = 0.6  # around an eye or the mouth, of its size
_WINDOW = np.ones((11, 11), np.uint8)  # pixels that hold both sides of an edge
_STRONG, _SHARPEST = 0.7, 0.02  # quantiles of the contrast, and of the widths of strong edges
_FLAT = 15.0  # levels of 255: a smaller contrast is no edge
_OWN = 0.95  # width of the sharpest edges around an eye in a sharp image, pixels
_LEAST, _MOST = 0.4, 3.0  # limits of the estimate, pixels


def estimate_blur(crop: Image, mesh: Array) -> float:
    """Return the standard deviation in pixels of the Gaussian blur of a crop.

    It is measured at the sharpest of eyes and lips, whose edges every face has.

    Args:
        crop: (S, S, 3).
        mesh: (468, 3), pixels of the crop.
    """
    found = []
    for ring in (*EYES, LIPS_OUTER):
        low, high = mesh[ring, :2].min(0), mesh[ring, :2].max(0)
        margin = _MARGIN * (high - low)
        x0, y0 = np.maximum(np.floor(low - margin), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(high + margin), crop.shape[1::-1]).astype(int)
        if x1 - x0 > 8 and y1 - y0 > 8:
            grey = cv2.cvtColor(crop[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY)
            found.append(_width(grey.astype(np.float32)))
    width = min([width for width in found if width > 0], default=_OWN)
    return float(np.clip(np.sqrt(max(width**2 - _OWN**2, 0)), _LEAST, _MOST))


def _width(grey: Array32) -> float:
    """Return the width of the sharpest strong edges as a standard deviation; 0 without edges.

    A step of height h blurred by a Gaussian rises by h / (deviation * sqrt(2 pi)) per pixel.
    """
    contrast = cv2.dilate(grey, _WINDOW) - cv2.erode(grey, _WINDOW)
    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1)) / 8
    strong = contrast >= max(float(np.quantile(contrast, _STRONG)), _FLAT)
    if not strong.any():
        return 0.0
    widths = contrast[strong] / (np.sqrt(2 * np.pi) * np.maximum(slope[strong], 0.5))
    return float(np.quantile(widths, _SHARPEST))
