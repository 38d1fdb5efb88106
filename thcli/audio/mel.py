"""Log-mel energies of speech."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import scipy  # whose parts are imported on first use: they take up to 0.4 s

from thcli.audio.read import RATE
from thcli.audio.windows import concatenate_parts, map_windows
from thcli.core.types import Array32

HOP, WINDOW, BINS = 160, 400, 80
FLOOR = 1e-8  # least energy; a full-scale sine has about 1 (-80 dB, ln = -18.42)
LOWEST = 50.0  # Hz


def log_mel(
    samples: Array32, rate: int = RATE, hop: int = HOP, window: int = WINDOW, bins: int = BINS
) -> Array32:
    """Return ln(max(energy, FLOOR)) of mel bands from 50 Hz to rate / 2.

    Frame t is centred at sample t * hop, with silence outside of the sound. The window is a Hann
    window. Energies are scaled so that a sine of amplitude 1 gives about 0. Bands are triangles
    of height 1 on Slaney's scale (linear below 1 kHz, logarithmic above).

    Args:
        samples: (N,) samples.
        rate: samples per second.
        hop, window: samples.
        bins: number of bands.

    Returns:
        (ceil(N / hop), bins) float32.
    """
    return concatenate_parts(log_mel_blocks([samples], rate, hop, window, bins), bins)


def log_mel_blocks(
    blocks: Iterable[Array32],
    rate: int = RATE,
    hop: int = HOP,
    window: int = WINDOW,
    bins: int = BINS,
) -> Iterator[Array32]:
    """Yield the `log_mel` of a sound in blocks of any size, as (T, bins) parts.

    The parts are bit-identical to the rows of the whole sound.
    """
    taper = scipy.signal.get_window("hann", window).astype(np.float32)
    taper *= 2 / taper.sum()
    size = scipy.fft.next_fast_len(1 << (window - 1).bit_length(), real=True)
    filters = mel_filters(rate, size, bins)

    def log_energies(windows: Array32) -> Array32:
        spectrum = scipy.fft.rfft(windows * taper, size, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        energies: Array32 = np.log(np.maximum(power @ filters, np.float32(FLOOR)))
        return energies

    return map_windows(blocks, hop, window, log_energies)


@lru_cache(maxsize=8)
def mel_filters(rate: int, size: int, bins: int) -> Array32:
    """Return (size // 2 + 1, bins) float32 triangles of height 1 from 50 Hz to rate / 2.

    No triangle is narrower than a line of the spectrum.
    """
    lines = np.arange(size // 2 + 1) * (rate / size)
    edges = _hertz(np.linspace(_mels(LOWEST), _mels(rate / 2), bins + 2))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rise = 1 + (lines[:, None] - centre) / np.maximum(centre - left, rate / size)
    fall = 1 + (centre - lines[:, None]) / np.maximum(right - centre, rate / size)
    filters = np.clip(np.minimum(rise, fall), 0, None).astype(np.float32)
    filters.setflags(write=False)
    return filters


_LINEAR, _KNEE, _LOG = 200 / 3, 1000.0, np.log(6.4) / 27  # Slaney, Auditory Toolbox 1998


def _mels(hertz: float) -> float:
    return (
        hertz / _LINEAR if hertz < _KNEE else float(_KNEE / _LINEAR + np.log(hertz / _KNEE) / _LOG)
    )


def _hertz(
    mels: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    knee = _KNEE / _LINEAR
    return np.where(mels < knee, mels * _LINEAR, _KNEE * np.exp(_LOG * (mels - knee)))
