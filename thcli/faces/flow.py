"""Where everything in a picture was in another one of the same scene: dense optical flow, and pictures moved along it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image

LEAST = 16  # pixels a side


def flow(now: Image, other: Image) -> Array32:
    """Where every pixel of `now` is in `other`: (H, W, 2) float32 shift (x, y) in pixels, dense inverse search.

    now, other: (H, W, 3) uint8. Kroeger et al. 2016 as in OpenCV (preset fast). Raises ValueError for different shapes or a side below 16.
    """
    if now.shape != other.shape:
        raise ValueError(f"pictures of different shapes: {now.shape} and {other.shape}")
    if min(now.shape[:2]) < LEAST:
        raise ValueError(f"a flow needs pictures of at least {LEAST} pixels a side, not {now.shape}")
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (now, other)]
    start = np.zeros((*now.shape[:2], 2), np.float32)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(search.calc(grey[0], grey[1], start), np.float32)


def along(shift: Array32, other: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """`other` brought to where its content is now, bilinear, its border repeated; shift: (H, W, 2) as `flow` gives it, other: (H, W, C)."""
    height, width = other.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(other, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, other.dtype)
