"""Fundamental frequency (F0) of a voice by autocorrelation and a Viterbi path over its candidates.

Boersma 1993, "Accurate short-term analysis of the fundamental frequency", the method of Praat.
The autocorrelation r(lag) is taken of a Hann window of three of the longest periods and divided by
the window's own. The candidates of a frame are its peaks and "unvoiced". A path pays for octave
jumps and for changes of voicing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy  # whose signal is imported on first use: it takes 0.4 s
from scipy import fft

from thcli.audio.mel import HOP
from thcli.audio.read import RATE
from thcli.audio.viterbi import TransitionCosts, decode_path
from thcli.audio.windows import concatenate_parts, map_windows
from thcli.core.protocols import Speech
from thcli.core.types import Array32

_CANDIDATES = 14  # of a frame, besides "unvoiced"
_LAG_OVERSAMPLING = 2  # lags per sample, before parabolic refinement


@dataclass(frozen=True, slots=True)
class PitchRange:
    """Search range and thresholds of the pitch.

    Attributes:
        floor, ceiling: Hz.
        voicing: strength 0..1 that a candidate needs.
        silence: share of the sound's peak below which frames are unvoiced.
    """

    floor: float = 50.0
    ceiling: float = 1100.0
    voicing: float = 0.45
    silence: float = 0.03


VOICE_RANGE = PitchRange()


def pitch(
    samples: Array32, rate: int = RATE, hop: int = HOP, within: PitchRange = VOICE_RANGE
) -> Array32:
    """Return F0 in Hz at samples t * hop; 0 where unvoiced.

    Args:
        samples: (N,) samples.
        rate: samples per second.
        hop: samples between frames.
        within: search range.

    Returns:
        (ceil(N / hop),) float32.
    """
    sound = np.asarray(samples, np.float32)
    return concatenate_parts(track_pitch([sound], rate, hop, within, 0, peak_amplitude([sound])))


def pitch_blocks(
    speech: Speech, hop: int = HOP, within: PitchRange = VOICE_RANGE, first: int = 0
) -> Iterator[Array32]:
    """Yield the `pitch` of a sound in blocks, as (T,) parts.

    The sound is read twice, since silence is relative to the peak of the whole.

    Args:
        speech: the sound.
        hop: samples between frames.
        within: search range.
        first: sample at which frame 0 is centred.
    """
    return track_pitch(
        speech.blocks(), speech.rate, hop, within, first, peak_amplitude(speech.blocks())
    )


def peak_amplitude(blocks: Iterable[Array32]) -> float:
    """Return the largest distance of a sample from the mean of all samples."""
    low = high = total = 0.0
    count = 0
    for block in blocks:
        if len(block):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            total += float(block.sum(dtype=np.float64))
            count += len(block)
    mean = total / max(count, 1)
    return max(high - mean, mean - low)


def track_pitch(
    blocks: Iterable[Array32], rate: int, hop: int, within: PitchRange, first: int, peak: float
) -> Iterator[Array32]:
    """Yield F0 in Hz as `pitch_blocks` does, from blocks that are read once.

    Args:
        blocks: (N,) float32 samples each.
        rate: samples per second.
        hop: samples between frames.
        within: search range.
        first: sample at which frame 0 is centred.
        peak: `peak_amplitude` of the sound.

    Returns:
        (T,) float32 parts; 0 where unvoiced.
    """
    hop_seconds = hop / rate
    costs = TransitionCosts(jump=0.35 * 0.01 / hop_seconds, voicing=0.14 * 0.01 / hop_seconds)
    find_candidates = _CandidateFinder(rate, within, peak)
    return decode_path(
        map_windows(blocks, hop, find_candidates.window, find_candidates, first), costs
    )


class _CandidateFinder:
    """Pitch candidates of windows: Hz (0: unvoiced, or no candidate) and strength."""

    def __init__(self, rate: int, within: PitchRange, peak: float) -> None:
        self._rate, self._within, self._peak = rate, within, peak
        self._period = int(rate / within.floor)
        half = int(3 * rate / within.floor) // 2 - 1
        self.window = 2 * half
        self._taper = scipy.signal.get_window("hann", self.window + 1, fftbins=False)[1:].astype(
            np.float32
        )
        self._size = fft.next_fast_len(round(self.window * 1.5), real=True)
        self._max_lag = min(
            _LAG_OVERSAMPLING * self.window // 3 + 2, _LAG_OVERSAMPLING * self._size // 2 - 2
        )
        self._min_lag = max(2, int(_LAG_OVERSAMPLING * rate / within.ceiling))
        correlation = self._correlation(self._taper[None])
        self._window_correlation = correlation / correlation[:, :1]

    def _correlation(self, windows: Array32) -> Array32:
        """Return (T, max_lag + 2) autocorrelations at lags of 1 / _LAG_OVERSAMPLING samples."""
        spectrum = fft.rfft(windows, self._size, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        correlation: Array32 = fft.irfft(power, self._size * _LAG_OVERSAMPLING, axis=1)[
            :, : self._max_lag + 2
        ]
        return correlation

    def __call__(self, windows: Array32) -> Array32:
        """Return (T, 1 + _CANDIDATES, 2) Hz and strength for windows (T, window)."""
        middle, half = self.window // 2, self._period // 2 + 1
        mean = windows[:, max(0, middle - self._period) : middle + self._period].mean(
            axis=1, keepdims=True
        )
        tapered = (windows - mean) * self._taper
        local = np.abs(tapered[:, middle - half : middle + half]).max(axis=1)
        correlation = self._correlation(tapered)
        strength = correlation / np.maximum(correlation[:, :1], 1e-20) / self._window_correlation
        hertz, strengths = self._find_peaks(strength)
        relative_level = local / self._peak if self._peak > 0 else np.zeros_like(local)
        candidates = np.zeros((len(windows), 1 + _CANDIDATES, 2), np.float32)
        silence_bonus = 2 - np.minimum(relative_level, 1) * (
            (1 + self._within.voicing) / self._within.silence
        )
        candidates[:, 0, 1] = self._within.voicing + np.maximum(0, silence_bonus)
        candidates[:, 1:, 0], candidates[:, 1:, 1] = hertz, strengths
        candidates[relative_level <= 0, 1:, 0] = 0
        return candidates

    def _find_peaks(self, strength: Array32) -> tuple[Array32, Array32]:
        """Return Hz (0: none) and strength of the strongest peaks, (T, _CANDIDATES) each."""
        begin, end = self._min_lag, self._max_lag
        inner = strength[:, begin:end]
        is_peak = (inner > strength[:, begin - 1 : end - 1]) & (
            inner >= strength[:, begin + 1 : end + 1]
        )
        is_peak &= inner > 0.5 * self._within.voicing
        frame, lag = np.nonzero(is_peak)
        lag += begin
        before, at, after = (strength[frame, lag + step] for step in (-1, 0, 1))
        slope = (after - before) / 2
        offset = np.clip(slope / np.maximum(2 * at - before - after, 1e-9), -1, 1)
        height = at + slope * offset / 2
        height = np.where(height > 1, 1 / np.maximum(height, 1e-9), height)
        hertz = self._rate * _LAG_OVERSAMPLING / (lag + offset)
        # of equal peaks the shortest lag is the pitch; the others are its multiples
        score = height - 0.01 * np.log2(self._within.ceiling / hertz)
        order = np.lexsort((-score, frame))
        order = order[hertz[order] <= self._within.ceiling]
        rank = np.arange(len(order)) - np.searchsorted(frame[order], frame[order])
        order, rank = order[rank < _CANDIDATES], rank[rank < _CANDIDATES]
        result = np.zeros((2, len(strength), _CANDIDATES), np.float32)
        result[:, frame[order], rank] = hertz[order], score[order]
        return result[0], result[1]
