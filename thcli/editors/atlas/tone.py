"""Colours as the directions change them: soft logarithms, so that light and skin tone factor out of a change."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

FLOOR = 0.06  # of full scale: what is darker is treated as noise, not as a colour
LOW, HIGH = float(np.log(FLOOR)), float(np.log(1 + FLOOR))
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_TABLE = np.log(np.arange(256, dtype=np.float32) / np.float32(255) + np.float32(FLOOR))


def logs(picture: npt.NDArray[Any]) -> Array32:
    """uint8 colours, or float32 ones in 0..1 -> log(colour + FLOOR), float32."""
    if picture.dtype == np.uint8:
        return np.asarray(_TABLE[picture], np.float32)
    return np.asarray(np.log(np.clip(picture, 0, 1) + np.float32(FLOOR)), np.float32)


def colours(values: npt.ArrayLike) -> Array32:
    """The inverse: colours in 0..1, not clipped above."""
    return np.asarray(np.exp(np.asarray(values, np.float32)) - np.float32(FLOOR), np.float32)
