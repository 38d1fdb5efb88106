"""Synthetic test clip: scikit-image's astronaut, nodding, turning and coming closer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.geometry import warp_affine
from thcli.core.options import OutputOptions
from thcli.core.types import Array, Frame, Image

RATE = 25  # frames/s
FACE = (222.0, 110.0)  # centre of the face in the 512 x 512 photograph
REACH = 1.6  # half side of the visible part, in face heights of 100 pixels


def photograph() -> Image:
    """Return the image, (512, 512, 3) RGB uint8 (NASA, public domain)."""
    from skimage import data

    image = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(image, np.uint8)


def portrait(size: int = 512) -> Image:
    """Return head and shoulders, (size, size, 3): the clip's source image."""
    return warp_affine(
        photograph(), _clip_from_photo(0.0, size), (size, size), border=cv2.BORDER_REPLICATE
    )


def astronaut_clip(frames: int, size: int = 512) -> Iterator[Frame]:
    """Generate `frames` frames of size x size pixels at 25 frames/s.

    Each is a similarity of the photograph. The motion is smooth and deterministic.
    """
    photo = photograph()
    for i in range(frames):
        image = warp_affine(
            photo, _clip_from_photo(i / RATE, size), (size, size), border=cv2.BORDER_REPLICATE
        )
        yield Frame(image, i, Fraction(1, RATE), i, 1)


def write_test_clip(target: Path, frames: int, size: int) -> Path:
    """Write the synthetic clip as a video without sound."""
    rate = Fraction(RATE)
    with media.write(
        target,
        (size, size),
        None,
        OutputOptions(),
        media.WritePlan(time_base=1 / rate, rate=rate, frames=frames),
    ) as out:
        for frame in astronaut_clip(frames, size):
            out.write(frame.pixels, frame.pts, frame.duration)
    return target


def save_portrait(target: Path, size: int) -> Path:
    """Write the clip's source image."""
    cv2.imwrite(str(target), cv2.cvtColor(portrait(size), cv2.COLOR_RGB2BGR))
    return target


def _clip_from_photo(seconds: float, size: int) -> Array:
    turn = 2 * math.pi * seconds
    angle = 0.10 * math.sin(0.31 * turn)
    zoom = size / (200 * REACH) * (1 + 0.06 * math.sin(0.23 * turn))
    shift = size * 0.03 * np.array([math.sin(0.41 * turn), math.sin(0.67 * turn)])
    c, s = zoom * math.cos(angle), zoom * math.sin(angle)
    matrix = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    matrix[:2, 2] = np.array([size / 2, size * 0.36]) + shift - matrix[:2, :2] @ np.array(FACE)
    return matrix
