"""Soft mask with which LivePortrait pastes a rendered crop back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from thcli.core.types import Image

RIM = 16  # pixels of the ramp in a mask of 512


@lru_cache(maxsize=4)
def soft_mask(size: int) -> Image:
    """Create the blend mask (size, size) uint8, read-only.

    It is 255 inside, a linear ramp with rounded corners at the rim, and 0 on the first row and
    column. At 512 it is identical to the reference's mask_template.png (checked).
    Source: LivePortrait src/utils/resources at 1986663.
    """
    rim = RIM * size / 512
    position = np.arange(size)
    within = np.maximum(rim - np.minimum(position, size - position), 0)
    distance = np.hypot(within[:, None], within[None, :])
    mask = np.floor(255 * (1 - np.minimum(distance, rim) / rim)).astype(np.uint8)
    mask.setflags(write=False)
    return mask
