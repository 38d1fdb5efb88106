"""Downscaling of an image for a detector that reads it whole."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Crop, Image
from thcli.faces.crops.crop import crop


def downscale(image: Image, long_side: int) -> tuple[Image, float]:
    """Reduce an image to a longer side of at most `long_side` pixels.

    Returns:
        The reduced image (the image itself when it is small enough), and the width of one of its
        pixels in pixels of the original.
    """
    height, width = image.shape[:2]
    scale = max(height, width) / long_side
    if scale <= 1:
        return image, 1.0
    size = (max(round(width / scale), 1), max(round(height / scale), 1))
    k = 1 / scale
    small_from_image = np.array([[k, 0, (k - 1) / 2], [0, k, (k - 1) / 2], [0, 0, 1]])
    return crop(image, Crop(small_from_image, size)), scale
