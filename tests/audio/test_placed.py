"""The sound of a clip with a recording in the place of a part of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from thcli.audio.placed import BLOCK, FADE, RATE, SoundPart, write_placed
from thcli.core.types import Array


def tone(path: Path, seconds: float, level: int, rate: int = RATE) -> Path:
    """Write a constant level: its place in the result is exact."""
    wavfile.write(path, rate, np.full(round(seconds * rate), level, np.int16))
    return path


def placed(path: Path, clip: SoundPart | None, speech: SoundPart, place: str, total: int) -> Array:
    write_placed(path, clip, speech, Fraction(place), total)
    rate, samples = wavfile.read(path)
    assert rate == RATE and samples.shape == (total, 2)
    return np.asarray(samples[:, 0], np.float64)


@pytest.mark.parametrize("place", ["0", "1/4", "9/8"])
def test_the_speech_replaces_a_part_of_the_sound(tmp_path: Path, place: str) -> None:
    clip = SoundPart(tone(tmp_path / "clip.wav", 2.0, 8000), Fraction(0), 2 * RATE)
    speech = SoundPart(tone(tmp_path / "speech.wav", 0.5, -4000), Fraction(0), RATE // 2)
    made = placed(tmp_path / "out.wav", clip, speech, place, 2 * RATE)
    begin = round(Fraction(place) * RATE)
    end = begin + RATE // 2
    level = 1 / np.sqrt(2)  # mono in both channels
    near = pytest.approx
    inside, before, after = made[begin:end], made[: max(begin - FADE, 0)], made[end + FADE :]
    scale = abs(float(inside.mean())) / 4000
    assert scale == near(1, abs=0.01) or scale == near(level, abs=0.01)
    np.testing.assert_allclose(inside, -4000 * scale, atol=2)
    for part in (before, after):
        np.testing.assert_allclose(part, 8000 * scale, atol=2)
    fade = made[end : end + FADE]
    assert (np.diff(fade) >= 0).all() and fade[0] < 100


def test_a_short_clip_and_a_late_part_are_filled_with_silence(tmp_path: Path) -> None:
    """The sound begins a second before the video, and ends before it."""
    clip = SoundPart(tone(tmp_path / "clip.wav", 1.5, 8000, 16000), Fraction(1), 3 * BLOCK)
    speech = SoundPart(tone(tmp_path / "speech.wav", 1.0, 4000), Fraction(1, 2), RATE)
    made = placed(tmp_path / "out.wav", clip, speech, "1", 3 * BLOCK)
    assert made[1000 : RATE // 2 - 1000].min() > 5000 and not made[RATE * 5 // 8 : RATE - 5].any()
    assert made[RATE + 5 : RATE * 3 // 2 - 5].min() > 2500 and not made[RATE * 8 // 5 :].any()


def test_a_silent_clip(tmp_path: Path) -> None:
    speech = SoundPart(tone(tmp_path / "speech.wav", 0.5, 4000), Fraction(0), RATE // 2)
    made = placed(tmp_path / "out.wav", None, speech, "1/2", 2 * RATE)
    assert not made[: RATE // 2].any() and not made[RATE:].any() and made[RATE * 3 // 4] > 2500
