"""Fixtures of the pipelines: the astronaut of scikit-image as an image and as small clips."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import astronaut_clip, photograph
from thcli.evaluate.reports.contact_sheet import save_image

Clip = Callable[..., Path]
SIZE = 192


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
    folder = tmp_path_factory.mktemp("clips")

    def make(
        name: str,
        frames: int,
        *,
        pts: list[int] | None = None,
        without: range = range(0),
        tone: bool = False,
    ) -> Path:
        path = folder / name
        if path.exists():
            return path
        with av.open(str(path), "w") as out:
            video = out.add_stream("libx264", rate=25, options={"crf": "20", "preset": "ultrafast"})
            video.width = video.height = SIZE
            video.pix_fmt = "yuv420p"
            video.time_base = video.codec_context.time_base = Fraction(1, 1000)
            audio = out.add_stream("aac", rate=16000) if tone else None
            for index, frame in enumerate(astronaut_clip(frames, SIZE)):
                image = av.VideoFrame.from_ndarray(
                    empty_wall if index in without else frame.pixels, format="rgb24"
                )
                image.pts = pts[index] if pts else 40 * index
                image.time_base = Fraction(1, 1000)
                out.mux(video.encode(image))
            out.mux(video.encode(None))
            if audio is not None:
                samples = (np.sin(np.arange(16000 * frames // 25) * 0.1) * 8000).astype(np.int16)
                sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
                sound.sample_rate, sound.pts = 16000, 0
                out.mux(audio.encode(sound))
                out.mux(audio.encode(None))
        return path

    return make
