"""Synthetic video clips for smoke runs, made from the photograph that scikit-image ships."""

from __future__ import annotations

import wave
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.audio.read import RATE as SAMPLE_RATE
from thcli.core.options import OutputOptions
from thcli.evaluate.datasets.sample_clip import RATE, astronaut_clip
from thcli.motion.file.writer import MotionWriter
from thcli.motion.sliders import SliderCurves, motion_from_sliders
from thcli.train.data.dataset import MOTION


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """Size of a smoke run."""

    steps: int = 4
    batch: int = 2
    save: int = 2
    frames: int = 12


SMOKE = SmokeSettings()
FRAME_STEP = 6  # every sixth frame of the source clip is used, for larger motion between frames


def write_synthetic_clips(folder: Path, size: int, frames: int = SMOKE.frames) -> list[Path]:
    """Write two clips of size x size pixels and return their paths.

    The second clip is the first one mirrored, with its colour channels permuted.
    """
    paths = [folder / "one.mp4", folder / "two.mp4"]
    options = OutputOptions(crf=12, key_every=4)
    step = Fraction(1, RATE)
    with (
        media.write(
            paths[0],
            (size, size),
            None,
            options,
            media.WritePlan(time_base=step, rate=Fraction(RATE)),
        ) as one,
        media.write(
            paths[1],
            (size, size),
            None,
            options,
            media.WritePlan(time_base=step, rate=Fraction(RATE)),
        ) as two,
    ):
        source = astronaut_clip(frames * FRAME_STEP, size)
        chosen = (frame for frame in source if frame.index % FRAME_STEP == 0)
        for index, frame in enumerate(chosen):
            one.write(frame.pixels, index, 1)
            two.write(np.ascontiguousarray(frame.pixels[:, ::-1, (1, 2, 0)]), index, 1)
    return paths


def write_tones(folder: Path) -> None:
    """Write a tone of a second beside each clip of a folder, as its sound."""
    tone = (8000 * np.sin(np.arange(SAMPLE_RATE) / 9)).astype("<i2").tobytes()
    for clip in sorted(folder.glob("*.mp4")):
        with wave.open(str(clip.with_suffix(".wav")), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(tone)


def write_turning_heads(folder: Path, size: int) -> None:
    """Write a motion file beside each synthetic clip of a folder, in which the head turns."""
    pts = np.arange(SMOKE.frames, dtype=np.int64)
    still = motion_from_sliders(SliderCurves(), pts, Fraction(1, RATE), (size, size))
    pose = np.asarray(still.arrays["pose"], np.float32).copy()
    pose[:, 1] += np.linspace(-0.3, 0.3, len(pts), dtype=np.float32)
    for clip in sorted(folder.glob("*.mp4")):
        with MotionWriter(clip.with_name(clip.stem + MOTION), {"source": clip.name}) as writer:
            writer.append(replace(still, arrays={**still.arrays, "pose": pose}))
