"""Clips of the astronaut of scikit-image."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import astronaut_clip

SIZE = 192


def write_face_clip(
    path: Path,
    frames: int,
    wall: Image | None = None,
    *,
    pts: Sequence[int] | None = None,
    without: range = range(0),
    tone: bool = False,
    size: int = SIZE,
) -> None:
    """Encode a small h264 clip.

    Args:
        path: of the clip.
        frames: their number.
        wall: image of `size` without a face.
        pts: time stamps in milliseconds, 25 frames per second by default.
        without: frames that show the wall.
        tone: the clip has audio.
        size: width and height in pixels.
    """
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "20", "preset": "ultrafast"})
        video.width = video.height = size
        video.pix_fmt = "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        audio = out.add_stream("aac", rate=16000) if tone else None
        for index, frame in enumerate(astronaut_clip(frames, size)):
            pixels = wall if index in without and wall is not None else frame.pixels
            image = av.VideoFrame.from_ndarray(pixels, format="rgb24")
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
