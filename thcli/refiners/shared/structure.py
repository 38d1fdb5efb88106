"""Comparison of the structure of two crops."""

from __future__ import annotations

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32
from thcli.refiners.shared import bands

_FLOOR = 2.0  # levels of 255: weaker structure neither agrees nor disagrees
_AGREEMENT = (0.35, 0.75)  # between which detail is transferred in part
_CONTRAST = (0.6, 1.2)  # limits of the contrast, likewise


def shared_structure(own: Array32, other: Array32) -> Array32:
    """Compare the luma of two reduced crops at the scales between detail and light.

    Returns:
        On the samples of a local mean, float32: 1 where both have the same structure, 0 where not.
    """
    middle = []
    for grey in (own, other):
        fine = bands.blur(grey, bands.SIGMAS[1])
        middle.append(fine - bands.blur(fine, bands.LIGHT))
    a, b = middle
    aa, ab, bb = (bands.local_mean(product, bands.WINDOW) for product in (a * a, a * b, b * b))
    floor = np.float32(_FLOOR**2)
    contrast = np.clip((ab + floor) / (bb + floor), *_CONTRAST)
    error = np.maximum(aa - 2 * contrast * ab + contrast**2 * bb, 0)
    agreement = 1 - 2 * error / (aa + contrast**2 * bb + floor)
    return np.asarray(smoothstep(*_AGREEMENT, agreement), np.float32)
