"""The eight ways a picture can lie in its file, numbered as in EXIF, and how to set it upright.

Convention: a number stands for (transpose first?, then mirror left-right?, then mirror up-down?). Witness: 6, a phone held
upright, is a quarter turn clockwise: transpose, then mirror left-right.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

_STEPS: dict[int, tuple[bool, bool, bool]] = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
_NUMBER = {steps: number for number, steps in _STEPS.items()}


def from_display_matrix(data: bytes) -> int:
    """Orientation 1..8 nearest to a display matrix. data: nine native int32, a b u, c d v, x y w; x' = a x + c y, y' = b x + d y.

    ISO/IEC 14496-12 section 8.2.2 (the matrix of a track); FFmpeg libavutil/display.h.
    """
    a, b, _, c, d = struct.unpack("=9i", data[:36])[:5]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _NUMBER[False, a < 0, d < 0]
    return _NUMBER[True, c < 0, b < 0]


def turns(orientation: int) -> bool:
    """Whether width and height change places."""
    return _STEPS[orientation][0]


def upright(pixels: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Sets (H, W, 3) pixels upright; contiguous, the same array when there is nothing to do."""
    transpose, mirror, flip = _STEPS[orientation]
    if transpose:
        pixels = cv2.transpose(pixels)
    if mirror or flip:
        pixels = cv2.flip(pixels, -1 if mirror and flip else 1 if mirror else 0)
    return pixels
