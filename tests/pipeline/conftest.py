"""Fixtures of the pipelines: the astronaut of scikit-image as an image and as small clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.face_clip import SIZE, write_face_clip
from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image

Clip = Callable[..., Path]


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image of the head, 256 x 256."""
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    save_image(path, np.ascontiguousarray(photograph()[10:266, 95:351]))
    return path


@pytest.fixture(scope="session")
def empty_wall() -> Image:
    """Return an image without a face, SIZE x SIZE."""
    ramp = np.linspace(60, 200, SIZE, dtype=np.uint8)
    return np.repeat(np.repeat(ramp[None, :, None], SIZE, 0), 3, 2)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory, empty_wall: Image) -> Clip:
    """Return a function that encodes a small h264 clip of the astronaut.

    pts: time stamps in milliseconds, 25 frames per second by default. without: frames that show a
    wall. tone: the clip has audio.
    """
    made: dict[tuple[object, ...], Path] = {}

    def make(
        name: str,
        frames: int,
        *,
        pts: list[int] | None = None,
        without: range = range(0),
        tone: bool = False,
    ) -> Path:
        key = name, frames, tuple(pts or ()), without, tone
        if key not in made:
            path = made[key] = tmp_path_factory.mktemp("clip") / name
            write_face_clip(path, frames, empty_wall, pts=pts, without=without, tone=tone)
        return made[key]

    return make
