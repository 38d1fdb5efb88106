"""What a trial of `thcli train a2m` without data learns from: two speakers who say tones and open their mouths with them."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli.core.types import Array
from thcli.motion import sliders
from thcli.motion.file import SUFFIX, MotionWriter

SECONDS, RATE, PICTURES = 3, 16000, 25
PITCHES = (110.0, 220.0)
HARMONICS = 12


def talking_clips(folder: Path) -> list[Path]:
    """Writes two recordings and their motion files: syllables of a buzz, the jaw open as long as it sounds."""
    return [_clip(folder / f"speaker{i}.wav", hertz, seed=i) for i, hertz in enumerate(PITCHES)]


def _clip(path: Path, hertz: float, seed: int) -> Path:
    draw = np.random.default_rng(seed)
    syllables = np.cumsum(draw.uniform(0.25, 0.45, 6)) + 0.3
    time = np.arange(SECONDS * RATE) / RATE
    buzz = np.asarray(sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, HARMONICS)))
    sound = 0.1 * buzz * _loud(time, syllables) + 0.001 * draw.normal(size=len(time))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    pts = np.arange(SECONDS * PICTURES)
    jaw = _loud(pts / PICTURES, syllables)
    with MotionWriter(path.with_name(path.stem + SUFFIX)) as writer:
        writer.append(sliders.motion(sliders.Script(jaw=0.6 * jaw), pts, Fraction(1, PICTURES)))
    return path


def _loud(seconds: Array, syllables: Array) -> Array:
    """0..1: a bump of a quarter of a second at each syllable."""
    apart = (seconds[:, None] - syllables) / 0.12
    return np.asarray(np.where(np.abs(apart) < 1, np.cos(np.pi / 2 * apart) ** 2, 0).max(1))
