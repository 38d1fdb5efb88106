"""Detail transfer: the frame's own texture is kept where the crop's texture was kept."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32

_FINE_SIGMA = 1.5  # pixels of the crop: finer detail is compared
_MEAN_SIGMA = 4.0  # pixels of the crop over which it is compared
_STEP = 4
_FLOOR = 2.0 / 255  # of full scale: weaker detail is not texture, and stays
# Gain below which the frame's detail is dropped, and from which it counts in full.
_GAIN_NONE, _GAIN_FULL = 0.15, 0.4
_MAX_GAIN = 1.5  # largest amplification of the frame's detail


def detail_gain(before: Array32, after: Array32, top: float) -> Array32 | None:
    """Return the share of the original texture that is left in a changed crop, (h, w) 0..1.5.

    It is the gain with which the original detail is found in the changed one: 0 where it was
    blurred, moved or redrawn, the gain of contrast where it was relit or recoloured.

    Args:
        before: original crop, (h, w, 3) float32 in 0..top.
        after: changed crop, likewise.
        top: full scale.

    Returns:
        None where the gain is 1 everywhere: the change is smooth.
    """
    height, width = before.shape[:2]
    old, new = (_fine_detail(crop) for crop in (before, after))
    floor = np.float32((_FLOOR * top) ** 2)
    shared, own = (_local_mean(product) + floor for product in (old * new, old * old))
    gain = np.clip(shared / own, 0, _MAX_GAIN)
    gain = np.asarray(gain * smoothstep(_GAIN_NONE, _GAIN_FULL, gain), np.float32)
    if (gain == 1).all():
        return None
    return np.asarray(cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _fine_detail(image: Array32) -> Array32:
    grey = cv2.transform(image, np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), _FINE_SIGMA), np.float32)


def _local_mean(product: Array32) -> Array32:
    """Return local means, on a grid _STEP times as coarse: they have no finer detail."""
    height, width = product.shape
    small = cv2.resize(
        product, (max(width // _STEP, 1), max(height // _STEP, 1)), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.GaussianBlur(small, (0, 0), _MEAN_SIGMA / _STEP), np.float32)
