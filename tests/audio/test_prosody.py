"""Accents and phrases of synthetic speech."""

from __future__ import annotations

import numpy as np
import pytest

from tests.voices.test_a2m import RATE, Sound
from thcli.audio.prosody import ROWS_PER_SECOND, analyse_prosody, find_accents
from thcli.core.types import Array32


def stressed(stress: list[int]) -> Array32:
    """Return 4 syllables per second of a voice; those at `stress` are louder and higher."""
    time = np.arange(6 * RATE) / RATE
    syllable = np.floor(4 * time).astype(int)
    strong = np.isin(syllable, stress)
    hertz = np.where(strong, 180.0, 130.0)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tone = np.asarray(sum(np.sin(k * phase) / k for k in range(1, 15)))
    envelope = np.sin(np.pi * (4 * time % 1)) * np.where(strong, 1.0, 0.4)
    spoken = (time > 1) & (time < 5)
    noise = np.random.default_rng(0).normal(size=len(time))
    return np.asarray(0.1 * tone * envelope * spoken + 3e-4 * noise, np.float32)


def test_accents_are_the_loud_and_high_syllables() -> None:
    found = analyse_prosody(Sound(stressed([6, 10, 15])))
    assert len(found.phrases) == 1
    strong = found.accents[:, 1] > 0.35
    np.testing.assert_allclose(found.accents[strong, 0], [1.625, 2.625, 3.875], atol=0.08)
    assert (found.accents[~strong, 1] < 0.3).all()


def test_the_result_depends_on_the_samples_and_not_on_their_blocks() -> None:
    samples = stressed([6, 10, 15])
    whole, parts = (analyse_prosody(Sound(samples, block)) for block in (10**6, 7919))
    assert whole.key == parts.key != analyse_prosody(Sound(samples[:-1])).key
    np.testing.assert_array_equal(whole.accents, parts.accents)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(100), np.zeros(32000)])
def test_silence_has_neither(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    found = analyse_prosody(Sound(np.asarray(samples, np.float32)))
    assert found.phrases.shape == found.accents.shape == (0, 2)


def test_accents_keep_their_distance() -> None:
    draw = np.random.default_rng(0)
    level = 10 * np.sin(np.arange(60 * ROWS_PER_SECOND) * 0.7) + draw.normal(size=3000)
    rows = np.column_stack([level, np.full(3000, 120.0)]).astype(np.float32)
    accents = find_accents(rows, np.array([[0.0, 60.0]]))
    assert len(accents) > 30 and np.diff(accents[:, 0]).min() >= 0.44
    assert ((accents[:, 1] > 0) & (accents[:, 1] <= 1)).all()
