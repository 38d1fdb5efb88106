"""Carrying a change instead of a picture: the frame keeps its own texture where the crop's texture was kept."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32

_FINE = 1.5  # pixels of the crop: detail finer than this is compared
_AROUND = 4.0  # pixels of the crop: over which it is compared
_STEP = 4
_FLOOR = 2.0 / 255  # of full scale: weaker detail than this is no texture, and stays
_GONE, _FEW = (
    0.15,
    0.4,
)  # the gain below which nothing of the frame's detail is kept, and from which it counts in full
_MOST = 1.5  # the most that the frame's detail is raised


def detail_gain(before: Array32, after: Array32, top: float) -> Array32 | None:
    """How much of the crop's own texture is left in it, (h, w) 0..1.5; None where it is 1 everywhere: nothing was changed but smoothly.

    before, after: the crop as it was cut and as it is now, (h, w, 3) float32 in 0..top.  It is the gain with which the old detail
    is found in the new one: 0 where it was blurred, moved or drawn anew, the contrast's own where it was lit or recoloured.
    """
    height, width = before.shape[:2]
    old, new = (_fine(picture) for picture in (before, after))
    floor = np.float32((_FLOOR * top) ** 2)
    shared, own = (_around(product) + floor for product in (old * new, old * old))
    gain = np.clip(shared / own, 0, _MOST)
    gain = np.asarray(gain * smoothstep(_GONE, _FEW, gain), np.float32)
    if (gain == 1).all():
        return None
    return np.asarray(cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _fine(picture: Array32) -> Array32:
    grey = cv2.transform(picture, np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), _FINE), np.float32)


def _around(product: Array32) -> Array32:
    """Local means, on a grid _STEP times as coarse: they have no finer detail."""
    height, width = product.shape
    small = cv2.resize(
        product, (max(width // _STEP, 1), max(height // _STEP, 1)), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _AROUND / _STEP), np.float32)
