"""Synthetic sounds and audio files for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

RATE = 16000


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE, loud: float = 0.25) -> Array32:
    """Return a sine."""
    return (loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def noise(seconds: float, loud: float = 0.1, seed: int = 0) -> Array32:
    """Return white noise."""
    return (loud * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(
        np.float32
    )


def vowel(
    hertz: npt.ArrayLike, formants: Sequence[float] = (600, 1200, 2500), loud: float = 0.3
) -> Array32:
    """Return a voice-like sound: harmonics of a pitch, strongest near the formants.

    hertz: (N,) pitch of each sample.
    """
    pitch = np.asarray(hertz, np.float64)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(len(pitch))
    for k in range(1, 40):
        weight = (
            sum(np.exp(-(((k * pitch - formant) / 200) ** 2)) for formant in formants) + 0.05 / k
        )
        sound += np.where(k * pitch < 0.45 * RATE, weight * np.sin(k * phase), 0)
    samples: Array32 = (loud * sound / np.abs(sound).max()).astype(np.float32)
    return samples


def sentence(*parts: tuple[str, float]) -> Array32:
    """Return stretches of ("voice" | "rest", seconds) over a little noise."""
    stretches = []
    for kind, seconds in parts:
        count = round(seconds * RATE)
        swell = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(count) / RATE)
        stretches.append(
            vowel(np.full(count, 130.0)) * swell if kind == "voice" else np.zeros(count)
        )
    sound = np.concatenate(stretches)
    return (sound + noise(len(sound) / RATE, 3e-4)).astype(np.float32)


@dataclass(frozen=True)
class Timing:
    """Irregular time stamps of a sound.

    Attributes:
        jump: (sample, seconds): from that sample on the time stamps are this much later.
        delay: samples by which the sound begins after the video.
    """

    jump: tuple[int, float] | None = None
    delay: int = 0


def save(
    path: Path,
    samples: npt.NDArray[np.floating[Any]],
    rate: int = RATE,
    codec: str = "pcm_s16le",
    layout: str = "mono",
    *,
    with_video: bool = False,
    timing: Timing = Timing(),
) -> Path:
    """Write samples (N,) or (channels, N) to a file and return its path.

    Args:
        path: output file.
        samples: samples in -1..1.
        rate: samples per second.
        codec, layout: of the audio stream.
        with_video: adds a video stream.
        timing: gap and offset of the time stamps.
    """
    channels = np.atleast_2d(np.asarray(samples, np.float32))
    with av.open(str(path), "w") as out:
        if with_video:
            video: Any = cast(Any, out.add_stream("libx264", rate=25))
            video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        stream: Any = cast(Any, out.add_stream(codec, rate=rate))
        stream.codec_context.layout = layout
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate)
        if with_video:
            for index in range(-(-channels.shape[1] * 25 // rate)):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8))
                frame.pts, frame.time_base = index, Fraction(1, 25)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        step = stream.codec_context.frame_size or 1024
        for begin in range(0, channels.shape[1], step):
            frame_: Any = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(channels[:, begin : begin + step]), "fltp", layout
            )
            frame_.rate, frame_.time_base = rate, Fraction(1, rate)
            jump = timing.jump
            gap = round(jump[1] * rate) if jump and begin >= jump[0] else 0
            frame_.pts = timing.delay + begin + gap
            for part in resampler.resample(frame_):
                part.pts = frame_.pts
                out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path
