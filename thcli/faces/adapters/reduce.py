"""A picture small enough for a detector that sees the whole of it."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Crop, Image
from thcli.faces.crops.crop import crop


def at_most(picture: Image, long_side: int) -> tuple[Image, float]:
    """The picture with its longer side at most `long_side`, and how many of its pixels one pixel of that is wide."""
    height, width = picture.shape[:2]
    scale = max(height, width) / long_side
    if scale <= 1:
        return picture, 1.0
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    k = 1 / scale
    small_from_picture = np.array([[k, 0, (k - 1) / 2], [0, k, (k - 1) / 2], [0, 0, 1]])
    return crop(picture, Crop(small_from_picture, size)), scale
