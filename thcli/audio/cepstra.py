"""Mel cepstra of pocketsphinx's en-us model: pre-emphasis, noise removal, DCT and liftering.

Source: pocketsphinx 5.1.1, src/fe (fe_sigproc.c, fe_noise.c), with the model's `feat.params`:
25 filters from 130 to 6800 Hz, DCT-II, liftering by 22, 13 cepstra at 100 rows per second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np
from scipy import fft

from thcli.audio.windows import map_windows
from thcli.core.types import Array, Array32

RATE = 16000
HOP, WINDOW, SIZE = 160, 410, 512  # samples
CEPSTRA = 13
FILTERS = 25
FULL_SCALE = 32768.0
_LOWEST, _HIGHEST = 130.0, 6800.0  # Hz
_ALPHA = 0.97  # of the pre-emphasis
_LIFTER = 22
_LOG_FLOOR = 1e-4
_POWER, _RISE, _FALL = 0.7, 0.995, 0.5  # forgetting of power, and of noise while it rises or falls
_MASK, _MASKED = 0.85, 0.2  # forgetting of the peak, and share of it that is left when masked
_MAX_GAIN = 20.0
_SMOOTH = 4  # filters to each side over which gains are averaged


def cepstra_blocks(blocks: Iterable[Array32], first: int = 0) -> Iterator[Array32]:
    """Yield the cepstra of a sound in blocks of any size.

    Args:
        blocks: (N,) float32 each, samples at RATE, full scale 1.
        first: sample at which row 0 is centred (pocketsphinx: WINDOW / 2).

    Returns:
        (T, CEPSTRA) float32 parts, row t centred at sample first + t * HOP.
    """
    noise = _NoiseRemoval()

    def cepstra(windows: Array32) -> Array32:
        scaled = windows[:, :-1].astype(np.float64) * FULL_SCALE  # with the sample before
        emphasised = (scaled[:, 1:] - _ALPHA * scaled[:, :-1]) * _hamming()
        spectrum = fft.rfft(emphasised, SIZE, axis=1)
        energies = noise((np.square(spectrum.real) + np.square(spectrum.imag)) @ _filters())
        return (np.log(energies + _LOG_FLOOR) @ _dct()).astype(np.float32)

    return map_windows(blocks, HOP, WINDOW + 2, cepstra, first)


class _NoiseRemoval:
    """Spectral subtraction of a running noise estimate and temporal masking (fe_noise.c)."""

    def __init__(self) -> None:
        self._state: tuple[Array, Array, Array, Array] | None = None

    def __call__(self, energies: Array) -> Array:
        """Return (T, FILTERS) energies without noise; rows continue those of the last call."""
        if self._state is None:
            begin = energies[0]
            self._state = begin, begin / _MAX_GAIN, begin / _MAX_GAIN, np.zeros(FILTERS)
        power, noise, floor, peak = self._state
        gains = np.empty_like(energies)
        for row, current in enumerate(energies):
            power = _POWER * power + (1 - _POWER) * current
            noise = _lower_envelope(power, noise)
            signal = np.maximum(power - noise, 1.0)
            floor = _lower_envelope(signal, floor)
            peak = peak * _MASK
            masked = np.where(signal < _MASK * peak, peak * _MASKED, signal)
            peak = np.maximum(peak, signal)
            gains[row] = np.maximum(masked, floor) / np.maximum(power, 1e-300)
        self._state = power, noise, floor, peak
        return np.asarray(energies * (np.clip(gains, 1 / _MAX_GAIN, _MAX_GAIN) @ _smoothing()))


def _lower_envelope(values: Array, envelope: Array) -> Array:
    forget = np.where(values >= envelope, _RISE, _FALL)
    return np.asarray(forget * envelope + (1 - forget) * values)


@cache
def _hamming() -> Array:
    return np.asarray(0.54 - 0.46 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1)))


@cache
def _smoothing() -> Array:
    """Return (FILTERS, FILTERS) weights of a moving mean over the filters, by columns."""
    at = np.arange(FILTERS)
    near = (np.abs(at[:, None] - at) <= _SMOOTH).astype(np.float64)
    return np.asarray(near / near.sum(0))


@cache
def _filters() -> Array:
    """Return (SIZE // 2 + 1, FILTERS) triangles of unit area with edges on lines of the spectrum.

    They are equally wide on the scale 2595 log10(1 + f / 700).
    """
    step = RATE / SIZE
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (_LOWEST, _HIGHEST))
    edges = 700 * (10 ** (np.linspace(low, high, FILTERS + 2) / 2595) - 1)
    edges = np.floor(edges / step + 0.5) * step
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    lines = np.arange(SIZE // 2 + 1)[:, None] * step
    rise, fall = (lines - left) / (centre - left), (right - lines) / (right - centre)
    return np.asarray(np.clip(np.minimum(rise, fall), 0, None) * 2 / (right - left))


@cache
def _dct() -> Array:
    """Return (FILTERS, CEPSTRA) of the unitary DCT-II with liftering."""
    row, column = np.arange(FILTERS)[:, None] + 0.5, np.arange(CEPSTRA)
    basis = np.cos(np.pi / FILTERS * row * column) * np.sqrt(2 / FILTERS)
    basis[:, 0] = np.sqrt(1 / FILTERS)
    return np.asarray(basis * (1 + _LIFTER / 2 * np.sin(column * np.pi / _LIFTER)))
