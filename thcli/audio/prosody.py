"""Accents and phrases of speech: the places at which talkers nod, raise their brows and blink."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee

import numpy as np
import scipy  # whose signal is imported on first use: it takes 0.4 s
from scipy import ndimage

from thcli.audio.pitch import PitchRange, peak_amplitude, track_pitch
from thcli.audio.resample_rows import zip_parts
from thcli.audio.voice_activity import detect_speech, power_levels
from thcli.audio.windows import map_windows
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32

ROWS_PER_SECOND = 50
VOICE = PitchRange(floor=60.0, ceiling=500.0)
_SYLLABLE = 0.05  # seconds of smoothing of the level; a syllable lasts about 0.2 s
_AROUND = 1.2  # seconds on each side that a syllable is compared with
_LEVEL_UNIT, _PITCH_UNIT = 4.0, 3.0  # dB and semitones above the surroundings that weigh equally
_MIN_RISE = 2.0  # dB of a syllable's peak over its valleys
_SPACING = 0.45  # seconds between accents; stress groups are about that long
_MIN_SCORE = 0.35
_FULL_SCORE = 4.0  # score of an accent of strength 1


@dataclass(frozen=True, slots=True)
class Prosody:
    """Rhythm of a sound.

    Attributes:
        phrases: (P, 2) begin and end of each stretch of speech between pauses, seconds.
        accents: (A, 2) time in seconds and strength 0..1 of stressed syllables, ascending.
        key: checksum of the samples, for a seed that differs from sound to sound.
    """

    phrases: Array
    accents: Array
    key: int


def analyse_prosody(speech: Speech) -> Prosody:
    """Find phrases and accents of a sound.

    An accent is a syllable whose level and pitch rise above those of the 1.2 s around it (pitch
    accents and loudness: Terken and Hermes 2000, "The perception of prosodic prominence"). It
    keeps 8 bytes for each of 50 rows per second; an hour takes 14 MB at most.
    """
    phrases = detect_speech(speech)
    key = _Checksum()
    hop, window = speech.rate // ROWS_PER_SECOND, speech.rate // 20
    peak = peak_amplitude(key.pass_through(speech.blocks()))
    first, second = tee(speech.blocks(), 2)
    pitch = track_pitch(first, speech.rate, hop, VOICE, 0, peak)
    level = map_windows(second, hop, window, power_levels)
    parts = [np.column_stack(rows) for rows in zip_parts(level, pitch)]
    rows = np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)
    return Prosody(phrases, find_accents(rows, phrases), key.value)


def find_accents(rows: Array32, phrases: Array) -> Array:
    """Return the accents of `Prosody`, (A, 2).

    Args:
        rows: (T, 2) level in dB and pitch in Hz (0: unvoiced), ROWS_PER_SECOND.
        phrases: (P, 2) seconds.
    """
    if not len(rows) or not len(phrases):
        return np.zeros((0, 2))
    seconds = np.arange(len(rows)) / ROWS_PER_SECOND
    phrase = np.searchsorted(phrases[:, 0], seconds, "right") - 1
    spoken = (phrase >= 0) & (seconds < phrases[np.maximum(phrase, 0), 1])
    level = ndimage.gaussian_filter1d(rows[:, 0].astype(np.float64), _SYLLABLE * ROWS_PER_SECOND)
    voiced = spoken & (rows[:, 1] > 0)
    semitones = 12 * np.log2(np.where(voiced, rows[:, 1], 1.0).astype(np.float64))
    louder = level - _local_mean(level, spoken)
    higher = np.where(voiced, semitones - _local_mean(semitones, voiced), 0.0)
    higher = ndimage.maximum_filter1d(higher, round(0.16 * ROWS_PER_SECOND))
    peaks, _ = scipy.signal.find_peaks(np.where(spoken, level, level.min()), prominence=_MIN_RISE)
    score = np.maximum(louder / _LEVEL_UNIT, -1) + np.clip(higher / _PITCH_UNIT, -1, 2)
    peaks = peaks[(score[peaks] > _MIN_SCORE) & spoken[peaks]]
    kept: list[int] = []
    for peak in peaks:
        if kept and peak - kept[-1] < _SPACING * ROWS_PER_SECOND:
            if score[peak] > score[kept[-1]]:
                kept[-1] = int(peak)
        else:
            kept.append(int(peak))
    chosen = np.asarray(kept, np.int64)
    strength = np.clip(score[chosen] / _FULL_SCORE, 0.1, 1)
    return np.stack([chosen / ROWS_PER_SECOND, strength], -1)


def _local_mean(values: Array, counted: Array) -> Array:
    """Return the mean of the counted values (T,) within _AROUND seconds of each row."""
    size = round(2 * _AROUND * ROWS_PER_SECOND) + 1
    weight = ndimage.uniform_filter1d(counted.astype(np.float64), size, mode="constant")
    total = ndimage.uniform_filter1d(values * counted, size, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-6))


class _Checksum:
    """Checksum of samples that pass through, however they are split into blocks."""

    def __init__(self) -> None:
        self.value = 0

    def pass_through(self, blocks: Iterator[Array32]) -> Iterator[Array32]:
        """Yield the blocks unchanged."""
        for block in blocks:
            self.value = zlib.crc32(np.ascontiguousarray(block).tobytes(), self.value)
            yield block
