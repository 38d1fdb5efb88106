"""Soft logarithms of colours, in which a change does not depend on light and skin tone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

FLOOR = 0.06  # of full scale: what is darker is treated as noise, not as a colour
LOW, HIGH = float(np.log(FLOOR)), float(np.log(1 + FLOOR))
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_TABLE = np.log(np.arange(256, dtype=np.float32) / np.float32(255) + np.float32(FLOOR))


def to_log(image: npt.NDArray[Any]) -> Array32:
    """Convert uint8 colours, or float32 ones in 0..1, to log(colour + FLOOR), float32."""
    if image.dtype == np.uint8:
        return np.asarray(_TABLE[image], np.float32)
    return np.asarray(np.log(np.clip(image, 0, 1) + np.float32(FLOOR)), np.float32)


def from_log(values: npt.ArrayLike) -> Array32:
    """Convert soft logarithms to colours in 0..1, not clipped above."""
    return np.asarray(np.exp(np.asarray(values, np.float32)) - np.float32(FLOOR), np.float32)
