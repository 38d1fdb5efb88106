"""Faint watermark: a fixed spread-spectrum pattern with four bits of payload.

The pattern is band-limited noise with random phases (Cox et al. 1997, spread spectrum), in
coordinates of the whole frame, so that resizing does not move it. It is the same in all frames:
nothing flickers, and the detector averages over time. Its waves are long enough to survive strong
compression (20 to 48 per side of the frame), and weak enough to look like faint grain.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

Pixels = np.ndarray[Any, Any]
Spectrum = npt.NDArray[np.complex64]

GRID = 256  # samples per side of the grid on which the pattern is defined
PAYLOADS = 16
SYNC_SHARE = 0.6  # of the energy, for the part that does not depend on the payload
_BAND = (20, 48)  # cycles per side of the frame
_KEY = b"thcli watermark 1"
_STRONG, _WEAK = 1.25, 0.7  # RMS in levels of 255, for small and for large frames
_SMALL_SIDE = 360  # pixels; up to here compression takes most of the pattern
_LARGEST = 4.0  # levels


@cache
def band() -> npt.NDArray[np.bool_]:
    """Return the frequencies of the pattern, (GRID, GRID / 2 + 1), in the layout of rfft2."""
    rows, columns = np.fft.fftfreq(GRID) * GRID, np.fft.rfftfreq(GRID) * GRID
    radius = np.hypot(rows[:, None], columns[None])
    inside: npt.NDArray[np.bool_] = (radius >= _BAND[0]) & (radius < _BAND[1])
    inside[:, 0] = False  # its two halves mirror each other
    return inside


@cache
def spectrum(index: int) -> Spectrum:
    """Return the spectrum of one pattern: magnitude 1 within the band, keyed phases.

    Args:
        index: 0 for the pattern that all frames have, 1 + payload for the others.

    Returns:
        (GRID, GRID / 2 + 1) complex64, read-only.
    """
    inside = band()
    key = hashlib.shake_256(_KEY + bytes([index])).digest(2 * inside.size)
    phase = np.frombuffer(key, "<u2").reshape(inside.shape) * (2 * np.pi / 65536)
    out = np.where(inside, np.exp(1j * phase), 0).astype(np.complex64)
    out.flags.writeable = False
    return out


def pattern(size: tuple[int, int], payload: int) -> Array32:
    """Return what is added to each channel of a frame.

    Args:
        size: (width, height) of the frame in pixels.
        payload: 0..15.

    Returns:
        (height, width) float32, whole numbers, in levels of 255.
    """
    if not 0 <= payload < PAYLOADS:
        raise ValueError(f"payload must be within 0..{PAYLOADS - 1}, not {payload}")
    mixed = np.sqrt(SYNC_SHARE) * spectrum(0) + np.sqrt(1 - SYNC_SHARE) * spectrum(1 + payload)
    field = np.fft.irfft2(mixed, (GRID, GRID)).astype(np.float32)
    shrinks = size[0] < GRID or size[1] < GRID
    scaled = cv2.resize(field, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    short = min(size)
    rms = float(np.clip(_STRONG * _SMALL_SIDE / short, _WEAK, _STRONG))
    levels = scaled * (rms / max(float(scaled.std()), 1e-12))
    return np.asarray(np.rint(np.clip(levels, -_LARGEST, _LARGEST)), np.float32)


class Watermark:
    """The watermark of frames of one size."""

    def __init__(self, size: tuple[int, int], payload: int) -> None:
        """Prepare the pattern.

        Args:
            size: (width, height) of the frames in pixels.
            payload: 0..15, four bits that the detector reads back.
        """
        self._levels = pattern(size, payload)
        self._terms: dict[str, tuple[Pixels, Pixels]] = {}

    def __call__(self, pixels: Pixels) -> Pixels:
        """Return a marked copy of a frame (H, W, 3), uint8 or uint16."""
        added, subtracted = self._terms.get(pixels.dtype.name) or self._prepare(pixels.dtype)
        return np.asarray(cv2.subtract(cv2.add(pixels, added), subtracted))

    def _prepare(self, dtype: np.dtype[Any]) -> tuple[Pixels, Pixels]:
        """Split the pattern by sign: unsigned, saturating sums are the fastest."""
        level = np.iinfo(dtype).max // 255

        def channels(part: Array32) -> Pixels:
            return np.repeat((np.maximum(part, 0) * level).astype(dtype)[..., None], 3, axis=2)

        terms = channels(self._levels), channels(-self._levels)
        self._terms[dtype.name] = terms
        return terms
