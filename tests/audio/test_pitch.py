"""Pitch: of glides to a thousandth, of real voices as Praat hears it, in blocks as whole."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.sounds import RATE, noise, sentence, vowel
from thcli.audio.pitch import Range, peak, pitch, pitch_blocks, semitones, tracked
from thcli.audio.read import Sound, read
from thcli.audio.viterbi import Costs, likeliest


@pytest.mark.parametrize(("low", "high"), [(60, 240), (400, 90), (200, 1000), (1050, 300)])
def test_glides(low: float, high: float) -> None:
    hertz = np.geomspace(low, high, 2 * RATE)
    for sound in (vowel(hertz), np.sin(2 * np.pi * np.cumsum(hertz) / RATE).astype(np.float32)):
        found = pitch(sound)
        assert found.shape == (200,) and found.dtype == np.float32
        apart = np.abs(found / hertz[::160] - 1)[5:-5]
        assert np.median(apart) < 5e-4 and apart.max() < 5e-3


def test_a_little_noise_is_borne() -> None:
    hertz = 120 + 20 * np.sin(2 * np.pi * 0.8 * np.arange(2 * RATE) / RATE)
    found = pitch(vowel(hertz) + noise(2.0, 0.005), within=Range(ceiling=400))
    assert np.abs(found / hertz[::160] - 1)[5:-5].max() < 0.02


def test_unvoiced() -> None:
    for sound in (noise(1.0), np.zeros(RATE, np.float32), np.zeros(0, np.float32)):
        assert not pitch(sound).any()
    rest = pitch(sentence(("rest", 0.5), ("voice", 0.5), ("rest", 0.5)))
    assert not rest[:45].any() and not rest[106:].any() and (rest[55:95] > 0).all()


def test_level_does_not_matter() -> None:
    sound = sentence(("rest", 0.2), ("voice", 0.6))
    np.testing.assert_allclose(pitch(sound * np.float32(0.01)), pitch(sound), rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(0, 24000), st.integers(0, 600))
def test_blocks_are_the_whole(places: list[int], count: int, first: int) -> None:
    """Also where frame 0 lies elsewhere: then it is the same as of a sound that begins later, but for its first window."""
    sound = sentence(("rest", 0.2), ("voice", 0.7), ("rest", 0.3), ("voice", 0.3))[:count]
    parts = np.split(sound, sorted(p % (count + 1) for p in places))
    got = [np.zeros(0, np.float32), *tracked(parts, RATE, 160, Range(), 0, peak(parts))]
    np.testing.assert_array_equal(np.concatenate(got), pitch(sound))
    later = np.concatenate(
        [np.zeros(0, np.float32), *pitch_blocks(Sound(sound, RATE), first=first)]
    )
    assert len(later) == max(0, -(-(count - first) // 160))


@pytest.mark.parametrize("clip", ["grid_s1_bbaf2n", "grid_s4_lwbsza"])
def test_real_voices_as_praat_hears_them(grid: Path, clip: str) -> None:
    """The numbers that Praat 6.1 gives for these clips: voicing in 98 % of the frames, pitch to 0.5 %."""
    praat = json.loads((Path(__file__).parent / "praat.json").read_text("utf-8"))[clip]
    wanted = np.array(praat["hertz"])
    parts = pitch_blocks(
        read(grid / f"{clip}.mp4"), 320, Range(80, 750, 0.6), round(praat["t1"] * RATE)
    )
    found = np.concatenate(list(parts))[: len(wanted)]
    assert ((found > 0) == (wanted > 0)).mean() >= 0.98
    both = (found > 0) & (wanted > 0)
    assert both.sum() > 25
    np.testing.assert_allclose(found[both], wanted[both], rtol=5e-3)


def test_the_path_is_the_best_of_all() -> None:
    """Against trying every path of short sequences, with candidates that change their order."""
    rng = np.random.default_rng(4)
    costs = Costs(jump=0.7, voicing=0.3)
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
        got = np.concatenate(list(likeliest([table[:1], table[1:4], table[4:]], costs)))
        np.testing.assert_array_equal(got, chosen)


def test_undecided_frames_do_not_pile_up() -> None:
    """Two equal candidates for ever: after some thousand frames the best path so far decides."""
    part = np.zeros((512, 3, 2), np.float32)
    part[:, 1:, 0], part[:, 1:, 1] = (100, 200), 1.0
    given = [len(rows) for rows in likeliest((part for _ in range(40)), Costs(0.5, 0.1))]
    assert sum(given) == 40 * 512
    assert max(given) < 6000


def test_semitones() -> None:
    np.testing.assert_allclose(
        semitones(np.array([0, 110, 220], np.float32), 110), [0, 0, 12], atol=1e-5
    )
