"""Sharpness that a network took from a crop, given back.

A network that moves and blends pixels averages their fine structure. Where no detail of the source
replaces it, the structure that is left is amplified to the energy that it had before.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.refiners.shared import bands

_FINE = 1.5  # pixels: what is finer counts
_WINDOW = 8.0  # pixels over which energies are compared
_FLOOR = 0.3  # squared levels of 255
_MOST = 2.0  # largest gain


def lost_sharpness(before: Image, after: Array32) -> Array32:
    """Return what to add to a refined crop that is less sharp than before, (N, N) levels of 255.

    Args:
        before: (N, N, 3) uint8 crop that the network received.
        after: (N, N, 3) float32 refined crop, levels of 255.
    """
    luma = np.asarray(cv2.cvtColor(after, cv2.COLOR_RGB2GRAY), np.float32)
    own, new = (grey - bands.blur(grey, _FINE) for grey in (bands.to_grey(before), luma))
    old, left = (bands.local_mean(fine * fine, _WINDOW) for fine in (own, new))
    floor = np.float32(_FLOOR)
    gain = np.clip(np.sqrt((old + floor) / (left + floor)), 1, _MOST) - 1
    return np.asarray(bands.upsample(gain, len(new)) * new, np.float32)
