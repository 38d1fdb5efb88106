"""Scene cuts, frame by frame, on a thumbnail: cheap, and neither flashes nor fast motion count as one.

Two measures that fail in different ways: the correlation of the thumbnails (blind to brightness, so a flash leaves it high,
while motion lowers it) and the distance of their colour histograms (blind to place, so motion leaves it low). A cut moves both.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32

SIDE = 32  # pixels of the thumbnail
CORRELATION = 0.55  # below: the places changed
DISTANCE = 0.35  # above: the colours changed
UNLIKE = 0.10  # correlation below which a middling colour change is enough
FLAT = 0.02  # standard deviation (of 0..1) of a picture that shows nothing: a flash, a fade, a black frame
BINS = 6


def thumbnail(picture: npt.NDArray[Any]) -> Array32:
    """(32, 32, 3) float32 0..1 of a (H, W, 3) uint8 or uint16 picture; reads at most 128 x 128 of its pixels."""
    step = max(min(picture.shape[:2]) // (2 * SIDE), 1)
    sparse = np.ascontiguousarray(picture[step // 2 :: step, step // 2 :: step])
    small = cv2.resize(sparse, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(np.iinfo(picture.dtype).max)


class _Look:
    """What is compared of one frame."""

    def __init__(self, thumb: Array32) -> None:
        grey = thumb.mean(2)
        centred = cv2.GaussianBlur(grey, (0, 0), 1.5)
        centred = centred - centred.mean()
        self.spread = float(centred.std())
        self.pattern = centred / max(float(np.linalg.norm(centred)), 1e-6)
        # brightness and contrast are taken out of the histogram: exposure may change within a scene
        level = (grey - grey.mean()) / max(float(grey.std()), 0.02)
        tint = (thumb[..., (0, 2)] - grey[..., None]) / np.maximum(grey[..., None], 0.1)
        places = np.stack([(level + 2) / 4, (tint[..., 0] + 0.6) / 1.2, (tint[..., 1] + 0.6) / 1.2], -1)
        counts, _ = np.histogramdd(
            np.clip(places, 0, 1 - 1e-6).reshape(-1, 3), bins=(BINS, BINS, BINS), range=((0, 1),) * 3
        )
        soft = counts.astype(np.float32)
        for axis in range(3):  # a value near a bin's edge belongs to both
            soft = 0.5 * soft + 0.25 * (_shift(soft, axis, 1) + _shift(soft, axis, -1))
        self.histogram = soft / soft.sum()


def _shift(values: Array32, axis: int, by: int) -> Array32:
    """values moved by one along an axis, the end repeated."""
    index = np.clip(np.arange(BINS) - by, 0, BINS - 1)
    return np.asarray(np.take(values, index, axis), np.float32)


class Cuts:
    """Fed frame by frame; remembers one thumbnail's worth of numbers."""

    def __init__(self) -> None:
        self._last: _Look | None = None

    def is_cut(self, picture: npt.NDArray[Any]) -> bool:
        """Whether this (H, W, 3) frame begins a new scene; False for the first one and for frames that show nothing.

        After a flash or a fade through black the next frame with a picture is compared with the last one before it.
        """
        look = _Look(thumbnail(picture))
        last = self._last
        if look.spread < FLAT:
            return False
        self._last = look
        if last is None:
            return False
        correlation = float((look.pattern * last.pattern).sum())
        distance = 0.5 * float(np.abs(look.histogram - last.histogram).sum())
        return (correlation < CORRELATION and distance > DISTANCE) or (
            correlation < UNLIKE and distance > 0.5 * DISTANCE
        )
