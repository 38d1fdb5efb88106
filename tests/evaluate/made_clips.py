"""A small world for measuring: a photograph that moves, and a tracker that reads how far from a mark in its first lines."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from skimage import data

from thcli.core.geometry import box_of
from thcli.core.types import Array, Face, Frame, Image
from thcli.evaluate.metrics.measure import Tracker
from thcli.motion.canonical import neutral

PHOTO: Image = np.ascontiguousarray(data.astronaut()[:256, 90:346])  # type: ignore[no-untyped-call]  # no types in scikit-image
MESH: Array = neutral() * 60 + np.array([130.0, 120.0, 0.0])
STEP = 4  # pixels that the picture moves to the right with every frame


def face_at(shift: float) -> Face:
    mesh = (MESH + np.array([shift, 0.0, 0.0])).astype(np.float32)
    return Face(box_of(mesh), 1.0, mesh=mesh)


def moved(index: int) -> Image:
    """The photograph moved to the right by index * STEP, and marked so that `find` can tell by how much."""
    picture = np.ascontiguousarray(np.roll(PHOTO, index * STEP, 1))
    picture[:8] = 2 * index
    return picture


def find(picture: Image) -> Face | None:
    """Stands for a tracker: reads the mark; 255 stands for a face that is not found."""
    mark = round(float(np.median(picture[:8])) / 2)
    return None if mark > 120 else face_at(mark * STEP)


def tracker() -> Tracker:
    return find


def clip(
    count: int, time_base: Fraction = Fraction(1, 25), ticks: int = 1, start: int = 0
) -> Iterator[Frame]:
    for i in range(count):
        yield Frame(moved(i), start + i * ticks, time_base, i)


def folder(path: Path, count: int) -> Path:
    """A folder of PNG files, which `media.read` takes for a clip of 25 frames a second."""
    path.mkdir()
    for frame in clip(count):
        Pillow.fromarray(frame.pixels).save(path / f"{frame.index:04}.png")
    return path
