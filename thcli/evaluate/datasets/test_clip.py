"""A clip made on the spot: the astronaut that scikit-image carries, her head nodding, turning and coming closer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np

from thcli.core.geometry import warp
from thcli.core.types import Array, Frame, Image

RATE = 25
FACE = (222.0, 110.0)  # centre of her face in the picture of 512 x 512 pixels
REACH = 1.6  # half side of the part that is shown, in faces of 100 pixels: head and shoulders


def photograph() -> Image:
    """The picture, (512, 512, 3) RGB uint8 (NASA, public domain)."""
    from skimage import data

    return np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]  # scikit-image has no types


def portrait(size: int = 512) -> Image:
    """Her head and shoulders, (size, size, 3): the clip's source picture."""
    return warp(
        photograph(), _clip_from_photo(0.0, size), (size, size), border=cv2.BORDER_REPLICATE
    )


def astronaut_clip(frames: int, size: int = 512) -> Iterator[Frame]:
    """So many frames of size x size pixels at 25 a second: a similarity of the photograph, smooth and the same every time."""
    photo = photograph()
    for i in range(frames):
        picture = warp(
            photo, _clip_from_photo(i / RATE, size), (size, size), border=cv2.BORDER_REPLICATE
        )
        yield Frame(picture, i, Fraction(1, RATE), i, 1)


def _clip_from_photo(seconds: float, size: int) -> Array:
    turn = 2 * math.pi * seconds
    angle = 0.10 * math.sin(0.31 * turn)
    zoom = size / (200 * REACH) * (1 + 0.06 * math.sin(0.23 * turn))
    shift = size * 0.03 * np.array([math.sin(0.41 * turn), math.sin(0.67 * turn)])
    c, s = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = np.array([size / 2, size * 0.36]) + shift - matrix[:2, :2] @ np.array(FACE)
    return matrix
