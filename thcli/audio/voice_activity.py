"""Where somebody speaks: energy against the recording's own noise, a spectrum that is not a hiss, with hysteresis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, signal

from thcli.audio.mel import HOP, WINDOW
from thcli.audio.windows import framed, joined
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32

_BAND = (100.0, 4000.0)  # Hz, where voices are
_NOISE, _VOICE = 10, 95  # percentiles of the band's level over all frames
_LEAST_RANGE = 6.0  # dB between them: what is steadier than that is noise, or a tone
_FAINTEST = -60.0  # dB: a recording that never gets louder than that is silent
_ON, _OFF = (9.0, 0.5), (5.0, 0.3)  # dB above the noise, but at most this share of the range
_DEPTH = (
    28.0  # dB under the voice: breath and rustle, which do not begin speech however low the noise
)
_SMOOTH = 5  # frames whose power is averaged: noise flickers
_HISS = 0.45  # flatness of the band's spectrum, where white noise has about 0.56 and a voice less than 0.2
_GAP, _BURST = (
    0.2,
    0.05,
)  # seconds: shorter pauses are closures of consonants, shorter speech is a click
_BEFORE, _AFTER = 0.06, 0.1  # seconds that soft beginnings and ends reach beyond what was found


def energy(samples: Array32, rate: int, hop: int = HOP, window: int = WINDOW) -> Array32:
    """(N,) samples -> (ceil(N / hop),) float32: mean power about sample t * hop in dB of full scale, at least -80."""
    return joined(framed([samples], hop, window, levels))


def levels(windows: Array32) -> Array32:
    """(T, window) samples -> (T,) their mean power in dB, at least -80."""
    found: Array32 = 10 * np.log10(
        np.maximum(np.einsum("tw,tw->t", windows, windows) / windows.shape[1], 1e-8)
    )
    return found


def spoken(speech: Speech) -> Array:
    """(S, 2) float64 seconds: the stretches in which somebody speaks, in order; (0, 2) for silence, steady noise and steady tones.

    Speech begins where the band of voices (100 to 4000 Hz) rises 9 dB above the noise (the 10th percentile; less where the whole
    range is small) with a spectrum that has a shape, and ends where it falls to 5 dB. Pauses under 0.2 s are closures of consonants
    and stay in; what is shorter than 50 ms is a click. Music counts as speech: it too has notes and rests.
    """
    hop = round(0.01 * speech.rate)
    rows = joined(_band(speech, hop), 2)
    if not len(rows):
        return np.zeros((0, 2))
    power, flatness = rows.T
    level = 10 * np.log10(
        ndimage.uniform_filter1d(power.astype(np.float64), _SMOOTH, mode="nearest")
    )
    noise, voice = np.percentile(level, [_NOISE, _VOICE])
    span = voice - noise
    if span < _LEAST_RANGE or voice < _FAINTEST:
        return np.zeros((0, 2))
    on = max(noise + min(_ON[0], _ON[1] * span), voice - _DEPTH)
    off = max(noise + min(_OFF[0], _OFF[1] * span), voice - _DEPTH - (_ON[0] - _OFF[0]))
    runs = _runs(_held((level > on) & (flatness < _HISS), level < off)) * (hop / speech.rate)
    if not len(runs):
        return runs
    apart = runs[1:, 0] - runs[:-1, 1] >= _GAP
    runs = np.stack([runs[np.r_[True, apart], 0], runs[np.r_[apart, True], 1]], axis=1)
    runs = runs[runs[:, 1] - runs[:, 0] >= _BURST] + [-_BEFORE, _AFTER]
    return np.clip(runs, 0, speech.length / speech.rate)


def _band(speech: Speech, hop: int) -> list[Array32]:
    """(T, 2): power (a sine of full scale has 0.5) and spectral flatness 0..1 of the band of voices, every hop."""
    window = round(0.025 * speech.rate)
    size = fft.next_fast_len(window, real=True)
    taper = signal.get_window("hann", window).astype(np.float32)
    scale = np.float32(
        2 / (size * np.square(taper).mean() * window)
    )  # so that levels are those of `levels`
    low, high = (round(edge * size / speech.rate) for edge in _BAND)

    def measure(windows: Array32) -> Array32:
        spectrum = fft.rfft(windows * taper, size, axis=1)[:, low:high]
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) * scale + np.float32(1e-12)
        flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
        return np.stack([power.sum(axis=1), flatness], axis=1)

    return list(framed(speech.blocks(), hop, window, measure))


def _held(rises: npt.NDArray[np.bool_], falls: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """True from a rise to the next fall."""
    decided = np.flatnonzero(rises | falls)
    last = np.searchsorted(decided, np.arange(len(rises)), "right") - 1
    states = np.append(rises[decided], False)  # -1, before any decision: not speaking
    return np.asarray(states[last])


def _runs(flags: npt.NDArray[np.bool_]) -> Array:
    """(R, 2) first frame and the one after the last, of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.float64)
