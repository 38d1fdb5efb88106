"""Log-mel, energy, loudness and speech of known sounds, and equality over blocks of any size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.sounds import RATE, noise, sentence, tone, vowel
from thcli.audio.features import ENERGY, MEL, PITCH, extract_features
from thcli.audio.loudness import k_weighting, loudness, loudness_of_blocks, normalising_gain
from thcli.audio.mel import FLOOR, log_mel, log_mel_blocks, mel_filters
from thcli.audio.pitch import pitch
from thcli.audio.read import Sound, read_sound
from thcli.audio.voice_activity import detect_speech, energy
from thcli.core.types import Array32

SOUND = noise(1.0) + tone(1.0, 300)


def split_at(sound: Array32, positions: list[int]) -> list[Array32]:
    """Split the sound into blocks that end at these positions (modulo its length)."""
    return np.split(sound, sorted(position % (len(sound) + 1) for position in positions))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=8), st.integers(0, RATE))
def test_mel_of_blocks_equals_the_whole(positions: list[int], count: int) -> None:
    sound = SOUND[:count]
    whole = log_mel(sound)
    assert whole.shape == (math.ceil(count / 160), 80) and whole.dtype == np.float32
    parts = [np.zeros((0, 80), np.float32), *log_mel_blocks(split_at(sound, positions))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_mel_of_a_sine_is_in_its_band_at_its_time() -> None:
    sound = np.concatenate([np.zeros(RATE // 2, np.float32), tone(0.5, 1000, loud=1.0)])
    mel = log_mel(sound)
    filters = mel_filters(RATE, 512, 80)
    assert mel[75].argmax() == filters[32].argmax()  # line 32 of 512 is 1000 Hz
    assert abs(mel[75].max()) < 0.5
    np.testing.assert_allclose(mel[:48], math.log(FLOOR), rtol=1e-6)
    assert mel[50].max() == pytest.approx(
        mel[75].max() + math.log(0.25), abs=0.3
    )  # half of the window is silent


def test_mel_follows_the_loudness() -> None:
    """Ten times the amplitude adds ln 100 in every band above the floor."""
    quiet, loud = log_mel(noise(0.5, 0.01)), log_mel(noise(0.5, 0.1))
    np.testing.assert_allclose(loud - quiet, math.log(100), atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "size", "bins"),
    [(16000, 512, 80), (16000, 512, 128), (22050, 1024, 40), (8000, 256, 80)],
)
def test_no_band_is_empty(rate: int, size: int, bins: int) -> None:
    filters = mel_filters(rate, size, bins)
    assert (filters.max(axis=0) > 0.4).all() and filters.max() <= 1
    assert (np.diff(filters.argmax(axis=0)) >= 0).all()


def test_energy() -> None:
    found = energy(tone(1.0, 400, loud=0.5), RATE)
    assert found.shape == (100,)
    np.testing.assert_allclose(found[5:95], 10 * math.log10(0.125), atol=0.05)
    np.testing.assert_allclose(
        energy(np.zeros(RATE, np.float32), RATE), np.full(100, -80), atol=1e-4
    )


def test_filters_of_the_standard() -> None:
    """Compare with BS.1770-4, tables 1 and 2 (48 kHz)."""
    shelf, high_pass = k_weighting(48000)
    np.testing.assert_allclose(
        shelf,
        [
            1.53512485958697,
            -2.69169618940638,
            1.19839281085285,
            1,
            -1.69065929318241,
            0.73248077421585,
        ],
        atol=1e-7,
    )
    np.testing.assert_allclose(
        high_pass, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-7
    )


def test_loudness_of_the_standard_sine() -> None:
    """A full-scale 997 Hz sine in one channel has -3.01 LUFS; gates as in EBU Tech 3341."""
    assert loudness(tone(5, 997, 48000, 1.0), 48000) == pytest.approx(-3.01, abs=0.01)
    assert loudness(tone(5, 997, loud=1.0)) == pytest.approx(-3.01, abs=0.06)
    soft, loud = 10 ** (-33 / 20), 10 ** (-20 / 20)
    gated = np.concatenate(
        [tone(4, 997, 48000, soft), tone(20, 997, 48000, loud), tone(4, 997, 48000, soft)]
    )
    assert loudness(gated, 48000) == pytest.approx(-23.01, abs=0.1)


def test_loudness_is_gated_in_blocks_of_400_ms() -> None:
    """In a tone for 100 ms of every 400 ms no block is gated; each has a quarter of the power."""
    gaps = np.zeros(round(0.3 * RATE), np.float32)
    bursts = np.concatenate([tone(0.1, 997, loud=1.0), gaps] * 20)
    assert loudness(bursts) == pytest.approx(-3.01 - 10 * math.log10(4), abs=0.2)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 10**6), max_size=6), st.integers(1, RATE))
def test_loudness_of_blocks(positions: list[int], count: int) -> None:
    assert loudness_of_blocks(split_at(SOUND[:count], positions)) == loudness(SOUND[:count])


def test_gain_has_bounds() -> None:
    assert normalising_gain(-33.0, -23.0) == pytest.approx(10**0.5)
    assert normalising_gain(-69.0, -23.0) == pytest.approx(10**1.5)  # 30 dB and no more
    assert normalising_gain(-math.inf, -23.0) == 1.0
    assert loudness(np.zeros(RATE, np.float32)) == loudness(np.zeros(0, np.float32)) == -math.inf


def test_speech_between_rests_is_found() -> None:
    """A closure of 100 ms does not split a stretch; a level 26 dB lower changes nothing."""
    sound = sentence(
        ("rest", 0.5),
        ("voice", 0.6),
        ("rest", 0.1),
        ("voice", 0.4),
        ("rest", 0.6),
        ("voice", 0.5),
        ("rest", 0.4),
    )
    for loud in (1.0, 0.05):
        found = detect_speech(Sound(sound * np.float32(loud), RATE))
        np.testing.assert_allclose(found, [[0.5, 1.6], [2.2, 2.7]], atol=0.13)


def test_noise_does_not_hide_speech() -> None:
    sound = sentence(("rest", 0.6), ("voice", 0.8), ("rest", 0.8), ("voice", 0.5), ("rest", 0.5))
    found = detect_speech(Sound(sound + noise(3.2, 0.02), RATE))
    np.testing.assert_allclose(found, [[0.6, 1.4], [2.2, 2.7]], atol=0.15)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(RATE, np.float32),
        noise(3.0),
        tone(3.0, 200),
        tone(3.0) * 1e-5,
        np.zeros(0, np.float32),
    ],
)
def test_sounds_without_speech(sound: Array32) -> None:
    assert detect_speech(Sound(sound, RATE)).shape == (0, 2)


def test_a_level_of_the_noise_that_no_frame_has() -> None:
    """A tenth of the frames is silent: the percentile lies between silence and sound."""
    sound = np.concatenate([np.zeros(720, np.float32), tone(0.2, 300)])
    found = detect_speech(Sound(sound, RATE))
    assert len(found) == 1 and found[0, 1] == pytest.approx(0.245, abs=0.02)


@pytest.mark.parametrize("hertz", [95.0, 200.0, 330.0])
@pytest.mark.parametrize(("rest", "decay"), [(0.0, 0.0), (0.1, 2.0), (0.6, 4.0)])
def test_a_held_vowel_is_speech_to_its_end(hertz: float, rest: float, decay: float) -> None:
    """With vibrato, dying away by up to 20 dB, and without any rest."""
    time = np.arange(5 * RATE) / RATE
    note = vowel(hertz * (1 + 0.03 * np.sin(2 * np.pi * 5.5 * time))) * 10 ** (-decay * time / 20)
    silent = np.zeros(round(rest * RATE))
    sound = np.concatenate([silent, note, silent])
    sound = sound + 3e-4 * np.random.default_rng(0).normal(size=len(sound))
    found = detect_speech(Sound(sound.astype(np.float32), RATE))
    assert len(found) == 1
    np.testing.assert_allclose(found[0], [rest, rest + 5], atol=0.15)


def test_features_are_mel_pitch_and_energy() -> None:
    sound = sentence(("rest", 0.3), ("voice", 0.9), ("rest", 0.3))
    rows = np.concatenate(list(extract_features(Sound(sound, RATE))))
    np.testing.assert_array_equal(rows[:, MEL], log_mel(sound))
    np.testing.assert_array_equal(rows[:, PITCH], pitch(sound))
    np.testing.assert_array_equal(rows[:, ENERGY], energy(sound, RATE))


def test_real_sentences_are_found(grid: Path) -> None:
    """GRID clips: a sentence of about 1.3 s between two rests, also with noise 10 dB below it."""
    for path in sorted(grid.glob("*.mp4")):
        sound = read_sound(path)
        power = float(np.sqrt(np.square(sound.samples).mean()))
        for noise_level in (0.0, 0.3 * power):
            found = detect_speech(
                Sound(
                    sound.samples + noise(float(sound.seconds), noise_level)[: sound.length], RATE
                )
            )
            assert len(found) and 0.3 < found[0, 0] < 1.05 and 1.8 < found[-1, 1] < 2.6
