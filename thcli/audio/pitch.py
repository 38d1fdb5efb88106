"""The pitch of a voice (F0) by autocorrelation, with the likeliest path through its candidates.

Boersma 1993, "Accurate short-term analysis of the fundamental frequency", the method of Praat: r(lag) of a Hann window of three of the
longest periods, divided by the window's own; the candidates of a frame are its peaks and "unvoiced"; a path pays for octaves,
jumps and changes of voicing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, signal

from thcli.audio.mel import HOP
from thcli.audio.read import RATE
from thcli.audio.viterbi import Costs, likeliest
from thcli.audio.windows import framed, joined
from thcli.core.protocols import Speech
from thcli.core.types import Array32

_CANDIDATES = 14  # of a frame, beside "unvoiced"
_FINER = 2  # lags between two samples, which a parabola then refines


@dataclass(frozen=True, slots=True)
class Range:
    """floor, ceiling: Hz.  voicing: strength 0..1 that a candidate needs.  silence: share of the sound's peak under which nothing is voiced."""

    floor: float = 50.0
    ceiling: float = 1100.0
    voicing: float = 0.45
    silence: float = 0.03


VOICES = Range()


def pitch(samples: Array32, rate: int = RATE, hop: int = HOP, within: Range = VOICES) -> Array32:
    """(N,) samples -> (ceil(N / hop),) float32: F0 in Hz about sample t * hop, 0 where nothing is voiced."""
    sound = np.asarray(samples, np.float32)
    return joined(tracked([sound], rate, hop, within, 0, peak([sound])))


def pitch_blocks(
    speech: Speech, hop: int = HOP, within: Range = VOICES, first: int = 0
) -> Iterator[Array32]:
    """`pitch` of a sound that comes in blocks, in parts (T,); reads it twice (the silence is a share of the whole's peak).

    first: sample about which frame 0 is taken.
    """
    return tracked(speech.blocks(), speech.rate, hop, within, first, peak(speech.blocks()))


def peak(blocks: Iterable[Array32]) -> float:
    """The largest distance of a sample from the mean of all."""
    low = high = total = 0.0
    count = 0
    for block in blocks:
        if len(block):
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            total += float(block.sum(dtype=np.float64))
            count += len(block)
    mean = total / max(count, 1)
    return max(high - mean, mean - low)


def tracked(
    blocks: Iterable[Array32], rate: int, hop: int, within: Range, first: int, loudest: float
) -> Iterator[Array32]:
    """`pitch_blocks` of blocks that are read once, where the peak is known."""
    seconds = hop / rate
    costs = Costs(jump=0.35 * 0.01 / seconds, voicing=0.14 * 0.01 / seconds)
    finder = _Finder(rate, within, loudest)
    return likeliest(framed(blocks, hop, finder.window, finder, first), costs)


class _Finder:
    """Windows -> (T, 1 + _CANDIDATES, 2): Hz (0: unvoiced, or none) and strength of each candidate."""

    def __init__(self, rate: int, within: Range, loudest: float) -> None:
        self._rate, self._within, self._loudest = rate, within, loudest
        self._period = int(rate / within.floor)
        half = int(3 * rate / within.floor) // 2 - 1
        self.window = 2 * half
        self._taper = signal.get_window("hann", self.window + 1, fftbins=False)[1:].astype(
            np.float32
        )
        self._size = fft.next_fast_len(round(self.window * 1.5), real=True)
        self._longest = min(_FINER * self.window // 3 + 2, _FINER * self._size // 2 - 2)
        self._shortest = max(2, int(_FINER * rate / within.ceiling))
        own = self._correlation(self._taper[None])
        self._own = own / own[:, :1]

    def _correlation(self, windows: Array32) -> Array32:
        """(T, longest + 2): autocorrelation at lags of 1 / _FINER samples."""
        spectrum = fft.rfft(windows, self._size, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        found: Array32 = fft.irfft(power, self._size * _FINER, axis=1)[:, : self._longest + 2]
        return found

    def __call__(self, windows: Array32) -> Array32:
        middle, half = self.window // 2, self._period // 2 + 1
        mean = windows[:, max(0, middle - self._period) : middle + self._period].mean(
            axis=1, keepdims=True
        )
        tapered = (windows - mean) * self._taper
        local = np.abs(tapered[:, middle - half : middle + half]).max(axis=1)
        raw = self._correlation(tapered)
        strength = raw / np.maximum(raw[:, :1], 1e-20) / self._own
        hertz, strengths = self._peaks(strength)
        share = local / self._loudest if self._loudest > 0 else np.zeros_like(local)
        found = np.zeros((len(windows), 1 + _CANDIDATES, 2), np.float32)
        quiet = 2 - np.minimum(share, 1) * ((1 + self._within.voicing) / self._within.silence)
        found[:, 0, 1] = self._within.voicing + np.maximum(0, quiet)
        found[:, 1:, 0], found[:, 1:, 1] = hertz, strengths
        found[share <= 0, 1:, 0] = 0
        return found

    def _peaks(self, strength: Array32) -> tuple[Array32, Array32]:
        """(T, _CANDIDATES) Hz, 0 for none, and strength, of the strongest peaks."""
        begin, end = self._shortest, self._longest
        inner = strength[:, begin:end]
        top = (inner > strength[:, begin - 1 : end - 1]) & (
            inner >= strength[:, begin + 1 : end + 1]
        )
        top &= inner > 0.5 * self._within.voicing
        frame, lag = np.nonzero(top)
        lag += begin
        before, at, after = (strength[frame, lag + step] for step in (-1, 0, 1))
        slope = (after - before) / 2
        fine = np.clip(slope / np.maximum(2 * at - before - after, 1e-9), -1, 1)
        height = at + slope * fine / 2
        height = np.where(height > 1, 1 / np.maximum(height, 1e-9), height)
        hertz = self._rate * _FINER / (lag + fine)
        # among equals the shortest lag is the pitch, its multiples are not
        value = height - 0.01 * np.log2(self._within.ceiling / hertz)
        order = np.lexsort((-value, frame))
        order = order[hertz[order] <= self._within.ceiling]
        rank = np.arange(len(order)) - np.searchsorted(frame[order], frame[order])
        order, rank = order[rank < _CANDIDATES], rank[rank < _CANDIDATES]
        found = np.zeros((2, len(strength), _CANDIDATES), np.float32)
        found[:, frame[order], rank] = hertz[order], value[order]
        return found[0], found[1]


def semitones(hertz: Array32, middle: float) -> Array32:
    """Distance from `middle` Hz in semitones, 0 where unvoiced."""
    voiced: npt.NDArray[np.bool_] = hertz > 0
    return np.where(voiced, 12 * np.log2(np.where(voiced, hertz, middle) / middle), 0).astype(
        np.float32
    )
