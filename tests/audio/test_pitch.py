"""Pitch of glides and of real voices (against Praat), and decoding in blocks."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.sounds import RATE, noise, sentence, vowel
from thcli.audio.pitch import PitchRange, peak_amplitude, pitch, pitch_blocks, track_pitch
from thcli.audio.read import Sound, read_sound
from thcli.audio.viterbi import TransitionCosts, decode_path


@pytest.mark.parametrize(("low", "high"), [(60, 240), (400, 90), (200, 1000), (1050, 300)])
def test_glides(low: float, high: float) -> None:
    hertz = np.geomspace(low, high, 2 * RATE)
    for sound in (vowel(hertz), np.sin(2 * np.pi * np.cumsum(hertz) / RATE).astype(np.float32)):
        f0 = pitch(sound)
        assert f0.shape == (200,) and f0.dtype == np.float32
        error = np.abs(f0 / hertz[::160] - 1)[5:-5]
        assert np.median(error) < 5e-4 and error.max() < 5e-3


def test_pitch_of_noisy_voices() -> None:
    hertz = 120 + 20 * np.sin(2 * np.pi * 0.8 * np.arange(2 * RATE) / RATE)
    found = pitch(vowel(hertz) + noise(2.0, 0.005), within=PitchRange(ceiling=400))
    assert np.abs(found / hertz[::160] - 1)[5:-5].max() < 0.02


def test_unvoiced() -> None:
    for sound in (noise(1.0), np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        assert not pitch(sound).any()
    rest = pitch(sentence(("rest", 0.5), ("voice", 0.5), ("rest", 0.5)))
    assert not rest[:45].any() and not rest[106:].any() and (rest[55:95] > 0).all()


def test_pitch_does_not_depend_on_the_level() -> None:
    sound = sentence(("rest", 0.2), ("voice", 0.6))
    np.testing.assert_allclose(pitch(sound * np.float32(0.01)), pitch(sound), rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(0, 24000), st.integers(0, 600))
def test_blocks_equal_the_whole(places: list[int], count: int, first: int) -> None:
    """With an offset `first` the number of frames is that of the samples after it."""
    sound = sentence(("rest", 0.2), ("voice", 0.7), ("rest", 0.3), ("voice", 0.3))[:count]
    parts = np.split(sound, sorted(p % (count + 1) for p in places))
    found = [
        np.zeros(0, np.float32),
        *track_pitch(parts, RATE, 160, PitchRange(), 0, peak_amplitude(parts)),
    ]
    np.testing.assert_array_equal(np.concatenate(found), pitch(sound))
    later = np.concatenate(
        [np.zeros(0, np.float32), *pitch_blocks(Sound(sound, RATE), first=first)]
    )
    assert len(later) == max(0, -(-(count - first) // 160))


@pytest.mark.parametrize("clip", ["grid_s1_bbaf2n", "grid_s4_lwbsza"])
def test_real_voices_match_praat(grid: Path, clip: str) -> None:
    """Praat 6.1 agrees on voicing in 98 % of the frames and on pitch within 0.5 %."""
    praat = json.loads((Path(__file__).parent / "praat.json").read_text("utf-8"))[clip]
    expected = np.array(praat["hertz"])
    parts = pitch_blocks(
        read_sound(grid / f"{clip}.mp4"), 320, PitchRange(80, 750, 0.6), round(praat["t1"] * RATE)
    )
    found = np.concatenate(list(parts))[: len(expected)]
    assert ((found > 0) == (expected > 0)).mean() >= 0.98
    both = (found > 0) & (expected > 0)
    assert both.sum() > 25
    np.testing.assert_allclose(found[both], expected[both], rtol=5e-3)


def test_the_path_has_the_best_score() -> None:
    """Compare with every path of short sequences whose candidates change their order."""
    rng = np.random.default_rng(4)
    costs = TransitionCosts(jump=0.7, voicing=0.3)
    for _ in range(20):
        hertz = np.concatenate(
            [np.zeros((6, 1)), rng.choice([0, 80, 100, 160, 200], (6, 2))], axis=1
        )
        strength = rng.random((6, 3))
        best, chosen = -np.inf, None
        for path in np.ndindex(*[3] * 6):
            tones = hertz[np.arange(6), path]
            if any(p and not tones[t] for t, p in enumerate(path)):
                continue
            total = strength[np.arange(6), path].sum()
            for a, b in pairwise(tones):
                total -= (
                    costs.jump * abs(np.log2(a / b))
                    if a and b
                    else costs.voicing * (bool(a) != bool(b))
                )
            if total > best:
                best, chosen = total, tones
        table = np.stack([hertz, strength], axis=2).astype(np.float32)
        found = np.concatenate(list(decode_path([table[:1], table[1:4], table[4:]], costs)))
        np.testing.assert_array_equal(found, chosen)


def test_undecided_frames_are_bounded() -> None:
    """After some thousand frames with two equal candidates the best path so far decides."""
    part = np.zeros((512, 3, 2), np.float32)
    part[:, 1:, 0], part[:, 1:, 1] = (100, 200), 1.0
    lengths = [
        len(rows) for rows in decode_path((part for _ in range(40)), TransitionCosts(0.5, 0.1))
    ]
    assert sum(lengths) == 40 * 512
    assert max(lengths) < 6000
