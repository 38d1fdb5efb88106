"""Synthetic talking clips for `thcli train a2m --smoke`: two speakers of buzzing syllables."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli.core.types import Array
from thcli.motion import sliders
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.writer import MotionWriter

SECONDS, RATE, FRAME_RATE = 3, 16000, 25  # length, samples and frames per second
PITCHES = (110.0, 220.0)
HARMONICS = 12


def write_talking_clips(folder: Path) -> list[Path]:
    """Write two recordings and their motion files; the jaw opens while a syllable sounds."""
    return [_clip(folder / f"speaker{i}.wav", hertz, seed=i) for i, hertz in enumerate(PITCHES)]


def _clip(path: Path, hertz: float, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    syllables = np.cumsum(rng.uniform(0.25, 0.45, 6)) + 0.3
    time = np.arange(SECONDS * RATE) / RATE
    buzz = np.asarray(sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, HARMONICS)))
    sound = 0.1 * buzz * _loudness(time, syllables) + 0.001 * rng.normal(size=len(time))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    pts = np.arange(SECONDS * FRAME_RATE)
    jaw = _loudness(pts / FRAME_RATE, syllables)
    with MotionWriter(path.with_name(path.stem + SUFFIX)) as writer:
        writer.append(
            sliders.motion_from_sliders(
                sliders.SliderCurves(jaw=0.6 * jaw), pts, Fraction(1, FRAME_RATE)
            )
        )
    return path


def _loudness(seconds: Array, syllables: Array) -> Array:
    """Return 0..1 with a bump of about a quarter of a second at each syllable."""
    distance = (seconds[:, None] - syllables) / 0.12
    bumps = np.where(np.abs(distance) < 1, np.cos(np.pi / 2 * distance) ** 2, 0)
    return np.asarray(bumps.max(1))
