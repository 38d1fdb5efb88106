"""The soft mask with which LivePortrait puts a rendered crop back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from thcli.core.types import Image

RIM = 16  # pixels of its ramp at 512


@lru_cache(maxsize=4)
def soft_mask(size: int) -> Image:
    """(size, size) uint8, read-only: 255 inside, a linear ramp with rounded corners at the rim, 0 on the first row and column.

    The same pixels as the reference's mask_template.png at 512 (checked).  Source: LivePortrait src/utils/resources at 1986663.
    """
    rim = RIM * size / 512
    place = np.arange(size)
    within = np.maximum(rim - np.minimum(place, size - place), 0)
    distance = np.hypot(within[:, None], within[None, :])
    mask = np.floor(255 * (1 - np.minimum(distance, rim) / rim)).astype(np.uint8)
    mask.setflags(write=False)
    return mask
