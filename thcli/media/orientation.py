"""Image orientation, numbered 1..8 as in EXIF, and the rotation to upright.

Convention: a number stands for three optional operations in this order: transpose, mirror left to
right, mirror top to bottom. Example: 6, a phone held upright, is a quarter turn clockwise:
transpose, then mirror left to right.
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


def orientation_from_display_matrix(data: bytes) -> int:
    """Return the orientation 1..8 nearest to a display matrix.

    ISO/IEC 14496-12 section 8.2.2 (the matrix of a track); FFmpeg libavutil/display.h.

    Args:
        data: nine int32 in native byte order, a b u, c d v, x y w, with x' = a x + c y and
            y' = b x + d y.
    """
    a, b, _, c, d = struct.unpack("=9i", data[:36])[:5]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return _NUMBER[False, a < 0, d < 0]
    return _NUMBER[True, c < 0, b < 0]


def swaps_sides(orientation: int) -> bool:
    """Return True when the rotation to upright exchanges width and height."""
    return _STEPS[orientation][0]


def rotate_upright(pixels: np.ndarray[Any, Any], orientation: int) -> np.ndarray[Any, Any]:
    """Rotate (H, W, 3) pixels upright.

    Returns:
        A contiguous array; the argument itself for orientation 1.
    """
    transpose, mirror, flip = _STEPS[orientation]
    if transpose:
        pixels = cv2.transpose(pixels)
    if mirror or flip:
        pixels = cv2.flip(pixels, -1 if mirror and flip else 1 if mirror else 0)
    return pixels
