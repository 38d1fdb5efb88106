"""Scene cut detection, frame by frame, on a thumbnail.

Two measures fail in different ways, and a cut moves both. The correlation of thumbnails after local
brightness and contrast are removed stays high in flashes and lamps, and drops with motion. The
distance of colour histograms ignores positions, so it stays low with motion. Of 2,211 pairs from
two clips of talking heads 94 % are detected as cuts, and none of 1,864 steps within a clip
(correlation 0.96 and more, distance 0.04 and less). Black bars beside or above a picture are the
same in every scene, which hides its cuts: what is black at the edges of both frames is left out.
A fast pan changes a frame as a cut does: what seems to be one is compared again where both frames
show the same place, at the shift between them (phase correlation, Kuglin and Hines 1975).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import subsample
from thcli.core.types import Array32

SIDE = 32  # pixels of the thumbnail
# A cut: correlation below and distance above, in either pair.
CUT_LIMITS = ((0.6, 0.15), (0.35, 0.08))
FLAT_STD = 0.02  # standard deviation, of 0..1, below which a frame is blank (flash, fade, black)
BINS = 6
# Bars: brightest sample, of 0..1, of a row or column that is one, and the most of a side, a share
BLACK, MOST_BAR = 0.08, 0.4
MOST_PAN = 0.4  # of a side, between two frames


def thumbnail(image: npt.NDArray[Any]) -> Array32:
    """Reduce an image (H, W, 3) uint8 or uint16 to (32, 32, 3) float32 0..1.

    At most 128 x 128 of its pixels are read.
    """
    return _shrink(_sample(image))


def _sample(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return subsample(image, max(min(image.shape[:2]) // (2 * SIDE), 1))


def _shrink(image: npt.NDArray[Any]) -> Array32:
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(np.iinfo(image.dtype).max)


def _black_bars(image: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the black rows at the top and bottom and columns at the left and right, (4,)."""
    lit = image.max(2) > BLACK * np.iinfo(image.dtype).max
    bars = []
    for lines in (lit.any(1), lit.any(0)):
        most = int(MOST_BAR * len(lines))
        bars += [int(np.append(side[:most], True).argmax()) for side in (lines, lines[::-1])]
    return np.array(bars, np.intp)


class FrameSignature:
    """Features of one frame that are compared.

    contrast: standard deviation of the brightness.  pattern: (32, 32), normalized.  histogram:
    (6, 6, 6), sum 1.
    """

    def __init__(self, thumb: Array32) -> None:
        grey = thumb.mean(2)
        detail = cv2.GaussianBlur(grey, (0, 0), 1)
        self.contrast = float(detail.std())
        detail = detail - cv2.GaussianBlur(grey, (0, 0), 5)
        local_contrast = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 5))
        pattern = detail / (local_contrast + np.float32(0.01))
        pattern -= pattern.mean()
        self.pattern = pattern / max(float(np.linalg.norm(pattern)), 1e-6)
        # Without global brightness and contrast: exposure may change within a scene.
        level = (grey - grey.mean()) / max(float(grey.std()), 0.02)
        tint = (thumb[..., (0, 2)] - grey[..., None]) / np.maximum(grey[..., None], 0.1)
        index = np.zeros(grey.shape, np.int32)
        for value, low, high in (
            (level, -2, 2),
            (tint[..., 0], -0.6, 0.6),
            (tint[..., 1], -0.6, 0.6),
        ):
            bin_of = np.clip((value - low) * (BINS / (high - low)), 0, BINS - 0.5).astype(np.int32)
            index = index * BINS + bin_of
        counts = np.bincount(index.ravel(), minlength=BINS**3).reshape(BINS, BINS, BINS)
        soft = counts.astype(np.float32)
        for axis in range(3):  # a value near a bin's edge counts in both bins
            soft = 0.5 * soft + 0.25 * (_shift(soft, axis, 1) + _shift(soft, axis, -1))
        self.histogram = soft / soft.sum()


def _shift(values: Array32, axis: int, by: int) -> Array32:
    """Shift values by one along an axis; the end is repeated."""
    index = np.clip(np.arange(BINS) - by, 0, BINS - 1)
    return np.asarray(np.take(values, index, axis), np.float32)


def compare_signatures(a: FrameSignature, b: FrameSignature) -> tuple[float, float]:
    """Return the correlation of patterns, -1..1, and the distance of histograms, 0..1."""
    correlation = float((a.pattern * b.pattern).sum())
    return correlation, 0.5 * float(np.abs(a.histogram - b.histogram).sum())


class CutDetector:
    """Scene cut detector, fed frame by frame; it keeps one frame, reduced, and its signature."""

    def __init__(self) -> None:
        self._last: tuple[FrameSignature, npt.NDArray[Any], npt.NDArray[np.intp]] | None = None

    def is_cut(self, image: npt.NDArray[Any]) -> bool:
        """Return True when this frame, (H, W, 3), begins a new scene.

        False for the first frame and for blank ones. After a flash or a fade through black, the
        next frame with content is compared with the last one before.
        """
        sampled = _sample(image)
        signature = FrameSignature(_shrink(sampled))
        last = self._last
        if signature.contrast < FLAT_STD:
            return False
        bars = _black_bars(sampled)
        self._last = signature, sampled.copy(), bars
        if last is None:
            return False
        before, previous, its_bars = last
        if previous.shape == sampled.shape and (common := np.minimum(bars, its_bars)).any():
            previous, sampled = (_without(one, common) for one in (previous, sampled))
            before, signature = (FrameSignature(_shrink(one)) for one in (previous, sampled))
        if not _differ(before, signature):
            return False
        shared = _same_place(previous, sampled)
        return shared is None or _differ(*(FrameSignature(_shrink(one)) for one in shared))


def _differ(before: FrameSignature, after: FrameSignature) -> bool:
    correlation, distance = compare_signatures(before, after)
    return any(correlation < low and distance > high for low, high in CUT_LIMITS)


def _same_place(
    before: npt.NDArray[Any], after: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Return the parts of two frames that show one place if the camera has panned between them.

    None where they differ in size or are too small, and for a shift beyond MOST_PAN.
    """
    height, width = before.shape[:2]
    if before.shape != after.shape or min(height, width) < SIDE:
        return None
    window = cv2.createHanningWindow((width, height), cv2.CV_32F)
    grey, its_grey = (one.mean(2, dtype=np.float32) for one in (before, after))
    x, y = (round(shift) for shift in cv2.phaseCorrelate(grey, its_grey, window)[0])
    if abs(x) > MOST_PAN * width or abs(y) > MOST_PAN * height:
        return None
    here = np.s_[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)]
    there = np.s_[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)]
    return before[there], after[here]


def _without(image: npt.NDArray[Any], bars: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    height, width = image.shape[:2]
    return image[bars[0] : height - bars[1], bars[2] : width - bars[3]]
