"""Synthetic clips for measurements: a moving photograph, and a tracker that reads its position."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from skimage import data

from thcli.core.geometry import bounding_box
from thcli.core.types import Array, Face, Frame, Image
from thcli.evaluate.metrics.measure import Tracker
from thcli.motion.canonical import neutral

ASTRONAUT: Image = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
PHOTO: Image = np.ascontiguousarray(ASTRONAUT[:256, 90:346])
MESH: Array = neutral() * 60 + np.array([130.0, 120.0, 0.0])
STEP = 4  # pixels by which the image moves to the right per frame


def face_at(shift: float) -> Face:
    mesh = (MESH + np.array([shift, 0.0, 0.0])).astype(np.float32)
    return Face(bounding_box(mesh), 1.0, mesh=mesh)


def shift_photo(index: int) -> Image:
    """Return the photograph shifted right by index * STEP pixels, with a mark for `find_face`."""
    image = np.ascontiguousarray(np.roll(PHOTO, index * STEP, 1))
    image[:8] = 2 * index
    return image


def find_face(image: Image) -> Face | None:
    """Return the face by the mark in the image's first lines; 255 means none."""
    mark = round(float(np.median(image[:8])) / 2)
    return None if mark > 120 else face_at(mark * STEP)


def make_tracker() -> Tracker:
    return find_face


def make_clip(
    count: int, time_base: Fraction = Fraction(1, 25), ticks: int = 1, start: int = 0
) -> Iterator[Frame]:
    for i in range(count):
        yield Frame(shift_photo(i), start + i * ticks, time_base, i)


def write_frames(path: Path, count: int) -> Path:
    """Write a folder of PNG files, which `media.read` takes as a clip of 25 frames/s."""
    path.mkdir()
    for frame in make_clip(count):
        Pillow.fromarray(frame.pixels).save(path / f"{frame.index:04}.png")
    return path
