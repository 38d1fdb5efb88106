"""Voice activity detection by energy above the recording's noise and by spectral flatness."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy  # whose parts are imported on first use: they take up to 0.4 s

from thcli.audio.mel import HOP, WINDOW
from thcli.audio.windows import concatenate_parts, map_windows
from thcli.core.protocols import Speech
from thcli.core.types import Array, Array32

_BAND = (100.0, 4000.0)  # Hz of voices
_NOISE_PERCENTILE, _VOICE_PERCENTILE = 10, 95  # of the band's level over all frames
_MIN_RANGE = 6.0  # dB between the two percentiles; below it the sound is steady noise or a tone
_MIN_LEVEL = -60.0  # dB; a recording below it is silent
_ON, _OFF = (9.0, 0.5), (5.0, 0.3)  # dB above the noise, at most this share of the range
_DEPTH = 28.0  # dB below the voice; softer sounds are breath and rustle
_SMOOTH = 5  # frames of the moving average of the power
# spectral flatness of a held vowel: tones have under 0.0001, the noise of rooms 0.018 and more
_HELD_FLATNESS = (0.0002, 0.015)
_HELD_RANGE = 40.0  # dB from the voice to the noise where a recording has a voice throughout
_MAX_FLATNESS = 0.45  # spectral flatness of speech; white noise has about 0.56, a voice < 0.2
_MIN_PAUSE = 0.2  # seconds; shorter pauses are closures of consonants
_MIN_SPEECH = 0.05  # seconds; shorter speech is a click
_BEFORE, _AFTER = 0.06, 0.1  # seconds added to each stretch for soft beginnings and ends


def energy(samples: Array32, rate: int, hop: int = HOP, window: int = WINDOW) -> Array32:
    """Return the mean power at samples t * hop in dB of full scale, at least -80.

    Args:
        samples: (N,) samples.
        rate: samples per second.
        hop, window: samples.

    Returns:
        (ceil(N / hop),) float32.
    """
    return concatenate_parts(map_windows([samples], hop, window, power_levels))


def power_levels(windows: Array32) -> Array32:
    """Return the mean power of windows (T, window) in dB, (T,), at least -80."""
    decibels: Array32 = 10 * np.log10(
        np.maximum(np.einsum("tw,tw->t", windows, windows) / windows.shape[1], 1e-8)
    )
    return decibels


def detect_speech(speech: Speech) -> Array:
    """Return the stretches of speech in seconds, (S, 2) float64, in order.

    Silence, steady noise and steady tones give (0, 2). Speech begins where the voice band (100 to
    4000 Hz) rises 9 dB above the noise (10th percentile; less where the range is small) with a
    spectrum that is not flat. It ends where the level falls to 5 dB. Pauses under 0.2 s are
    closures of consonants and belong to the speech. Stretches under 50 ms are clicks. A vowel that
    is held without any rest is speech too (singing). Music counts as speech: it too has notes and
    rests.
    """
    hop = round(0.01 * speech.rate)
    rows = concatenate_parts(_measure_band(speech, hop), 2)
    if not len(rows):
        return np.zeros((0, 2))
    power, flatness = rows.T
    level = 10 * np.log10(
        scipy.ndimage.uniform_filter1d(power.astype(np.float64), _SMOOTH, mode="nearest")
    )
    noise, voice = np.percentile(level, [_NOISE_PERCENTILE, _VOICE_PERCENTILE])
    if _is_held(flatness[np.abs(level - noise) <= 1.5]):
        noise = voice - _HELD_RANGE
    level_range = voice - noise
    if level_range < _MIN_RANGE or voice < _MIN_LEVEL:
        return np.zeros((0, 2))
    on = max(noise + min(_ON[0], _ON[1] * level_range), voice - _DEPTH)
    off = max(noise + min(_OFF[0], _OFF[1] * level_range), voice - _DEPTH - (_ON[0] - _OFF[0]))
    runs = _find_runs(_apply_hysteresis((level > on) & (flatness < _MAX_FLATNESS), level < off)) * (
        hop / speech.rate
    )
    if not len(runs):
        return runs
    separate = runs[1:, 0] - runs[:-1, 1] >= _MIN_PAUSE
    runs = np.stack([runs[np.r_[True, separate], 0], runs[np.r_[separate, True], 1]], axis=1)
    runs = runs[runs[:, 1] - runs[:, 0] >= _MIN_SPEECH] + [-_BEFORE, _AFTER]
    return np.clip(runs, 0, speech.length / speech.rate)


def _is_held(flatness: Array32) -> bool:
    """Tell if the quiet frames of a recording, with flatness (T,), are a held vowel."""
    low, high = _HELD_FLATNESS
    return len(flatness) > 0 and low < float(np.median(flatness)) < high


def _measure_band(speech: Speech, hop: int) -> list[Array32]:
    """Return power (a full-scale sine has 0.5) and spectral flatness 0..1 of the voice band.

    Parts (T, 2), one row every hop.
    """
    window = round(0.025 * speech.rate)
    size = scipy.fft.next_fast_len(window, real=True)
    taper = scipy.signal.get_window("hann", window).astype(np.float32)
    scale = np.float32(2 / (size * np.square(taper).mean() * window))  # unit of `power_levels`
    low, high = (round(edge * size / speech.rate) for edge in _BAND)

    def measure(windows: Array32) -> Array32:
        spectrum = scipy.fft.rfft(windows * taper, size, axis=1)[:, low:high]
        power = (np.square(spectrum.real) + np.square(spectrum.imag)) * scale + np.float32(1e-12)
        flatness = np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)
        return np.stack([power.sum(axis=1), flatness], axis=1)

    return list(map_windows(speech.blocks(), hop, window, measure))


def _apply_hysteresis(
    rises: npt.NDArray[np.bool_], falls: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return flags that are true from a rise to the next fall."""
    decided = np.flatnonzero(rises | falls)
    last = np.searchsorted(decided, np.arange(len(rises)), "right") - 1
    states = np.append(rises[decided], False)  # index -1, before any decision: no speech
    return np.asarray(states[last])


def _find_runs(flags: npt.NDArray[np.bool_]) -> Array:
    """Return the first frame and the one after the last of each run of True, (R, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).astype(np.float64)
