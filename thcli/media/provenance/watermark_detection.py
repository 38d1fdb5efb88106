"""Detection of the invisible watermark, also after compression, resizing and cropping.

The mean frame loses its own content: what is left of it is divided by its local energy, then
whitened. Correlation with the pattern then has a normal distribution in frames without a mark, so
a score is a number of standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.media.provenance.watermark import (
    GRID,
    PAYLOADS,
    SYNC_SHARE,
    Spectrum,
    band,
    spectrum,
)

Pixels = np.ndarray[Any, Any]

FRAMES = 120  # that are worth averaging
WHOLE_SCORE = 4.7  # standard deviations: 1 in 48,000 unmarked clips, 16 payloads tried
CROPPED_SCORE = 6.3  # about the same for the thousands of crops that are tried
_SIDE = 512  # pixels of the mean frame
_CROPS = np.arange(0.0, 0.1201, 0.01)  # share of a side that may be missing
_DETAIL, _LOCAL, _SMOOTH = 4.0, 6.0, 13.0  # pixels of the mean frame
_NEIGHBOURS = (9, 9)  # frequencies over which the spectrum is whitened


@dataclass(frozen=True, slots=True)
class WatermarkReading:
    """Result of the detection.

    found: a watermark is there.
    score: standard deviations of the best match; 3 to 5 are common without a mark.
    payload: 0..15, None unless found.
    cropped: share of the width and height that is missing, (0, 0) for whole frames.
    """

    found: bool
    score: float
    payload: int | None = None
    cropped: tuple[float, float] = (0.0, 0.0)


class WatermarkDetector:
    """Detector that is fed with frames of one clip."""

    def __init__(self) -> None:
        self._sum = np.zeros((_SIDE, _SIDE), np.float32)
        self._count = 0

    def add(self, pixels: Pixels) -> None:
        """Add a frame (H, W, 3) RGB, uint8 or uint16."""
        level = np.iinfo(pixels.dtype).max / 255
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(level)
        shrinks = min(grey.shape) >= _SIDE
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        self._sum += cv2.resize(grey, (_SIDE, _SIDE), interpolation=mode)
        self._count += 1

    def result(self) -> WatermarkReading:
        """Return what the frames show. Raises ValueError without a frame."""
        if self._count == 0:
            raise ValueError("no frame was added")
        residual = _residual((self._sum / self._count).astype(np.float32))
        whole = _match(residual, 0.0, 0.0)
        if whole.score >= WHOLE_SCORE:
            return whole
        cropped = max(
            (_match(residual, x, y) for x in _CROPS for y in _CROPS if x or y),
            key=lambda reading: reading.score,
        )
        best = max(whole, cropped, key=lambda reading: reading.score)
        if cropped.score >= CROPPED_SCORE:
            return cropped
        return WatermarkReading(False, best.score)


def _residual(mean: Array32) -> Array32:
    """Suppress the content of the mean frame.

    Args:
        mean: (512, 512), levels of 255.

    Returns:
        (GRID, GRID): detail over its local energy, so that edges and hair do not drown the rest.
    """
    detail = mean - cv2.GaussianBlur(mean, (0, 0), _DETAIL)
    energy = cv2.GaussianBlur(detail * detail, (0, 0), _LOCAL)
    smooth = mean - cv2.GaussianBlur(mean, (0, 0), _SMOOTH)
    out = cv2.resize(smooth / (energy + 1), (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.asarray(out, np.float32)


def _match(residual: Array32, crop_x: float, crop_y: float) -> WatermarkReading:
    """Match the pattern, with a share of each side missing at any offset."""
    placed = residual
    if crop_x or crop_y:
        matrix = np.array([[1 - crop_x, 0, -crop_x / 2], [0, 1 - crop_y, -crop_y / 2]])
        placed = np.asarray(cv2.warpAffine(residual, matrix, (GRID, GRID)), np.float32)
    white = _whiten(placed)
    energy = float((np.abs(white) ** 2).sum())
    deviation = max(np.sqrt(2 * energy), 1e-6) / (GRID * GRID)  # 0 for a frame of one colour
    surface = np.fft.irfft2(white * np.conj(spectrum(0)), (GRID, GRID))
    # content was placed at the upper left: the pattern lies before it by the missing margin
    rows, columns = (round(GRID * part) + 1 for part in (crop_y, crop_x))
    window = np.roll(surface, (rows - 1, columns - 1), (0, 1))[:rows, :columns]
    at = np.unravel_index(int(window.argmax()), window.shape)
    shift = int(at[0]) - (rows - 1), int(at[1]) - (columns - 1)
    sync = float(window[at]) / deviation
    payload, height = _read_payload(white, shift)
    score = np.sqrt(SYNC_SHARE) * sync + np.sqrt(1 - SYNC_SHARE) * height / deviation
    limit = CROPPED_SCORE if crop_x or crop_y else WHOLE_SCORE
    found = bool(score >= limit)
    cropped = (float(crop_x), float(crop_y))
    return WatermarkReading(found, float(score), payload if found else None, cropped)


def _whiten(placed: Array32) -> Spectrum:
    inside = band()
    raw = np.fft.rfft2(placed) * inside
    power = cv2.blur((np.abs(raw) ** 2).astype(np.float32), _NEIGHBOURS)
    share = cv2.blur(inside.astype(np.float32), _NEIGHBOURS)
    scale = np.sqrt(np.maximum(power, 0) / np.maximum(share, 1e-3)) + 1e-9  # blur rounds below 0
    return np.asarray(raw / scale, np.complex64)


@cache
def _payload_patterns() -> npt.NDArray[np.complex64]:
    """Return the conjugate spectra of all payloads within the band, (16, frequencies)."""
    inside = band()
    return np.stack([np.conj(spectrum(1 + number)[inside]) for number in range(PAYLOADS)])


def _read_payload(white: Spectrum, shift: tuple[int, int]) -> tuple[int, float]:
    """Return the most likely payload and the height of its correlation at a shift."""
    rows, columns = np.nonzero(band())
    turns = (shift[0] * rows + shift[1] * columns) / GRID
    turned = white[rows, columns] * np.exp(2j * np.pi * turns)
    heights = (_payload_patterns() @ turned).real * 2 / (GRID * GRID)
    best = int(heights.argmax())
    return best, float(heights[best])
