"""Matching a changed crop's colour and light to the frame around it, from what both show along the rim.

Contrast is matched by a gain for each channel; the difference that is left where the mask is half open is spread smoothly over
the crop, as membrane cloning does (Farbman et al. 2009), on a coarse grid: what it adds has no detail of its own, hides a step
of brightness or a colour cast at the rim, and is a few numbers a frame, so that it can be calmed over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.faces.crops.stabilize import local_line

GRID = 16  # the correction is a GRID x GRID x 3 field over the crop
_WORK = 64  # pixels of the crop while it is measured
_LIMIT = 0.25  # of full scale: a larger difference is another object at the rim, not another light
_TOLERANCE = (
    0.15  # of full scale: differences this far from the rim's common one are mostly other content
)
_ROUNDS = 3  # of gain and weights, each from the other
_PRIOR = 0.1  # how much the rim's common difference counts against the one nearby
_GAIN = 1.5  # the most that contrast is raised or lowered
_NOISE = 0.04**2  # variance below which there is no contrast to match: the gain stays near 1
_REACH = 9.0  # of _WORK: width of the Gaussian that carries the rim's difference inwards


@dataclass(frozen=True, slots=True)
class Transfer:
    """A correction of a crop: `gain * crop + offset`, in parts of full scale. gain: (3,).  offset: (GRID, GRID, 3), smooth over the crop."""

    gain: Array32
    offset: Array32

    def apply(self, pixels: Array32, top: float) -> Array32:
        """(h, w, 3) float32 in 0..top -> the same, corrected, not clipped; bit-equal where there is nothing to correct."""
        height, width = pixels.shape[:2]
        # Cubic on a coarse grid, then linear: as smooth, and a tenth of the time.
        fine = cv2.resize(
            self.offset * np.float32(top), (_WORK, _WORK), interpolation=cv2.INTER_CUBIC
        )
        out = np.asarray(
            cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
        )
        rows = out.reshape(
            height, -1
        )  # long rows: numpy is slow at broadcasting over a last axis of 3
        rows += np.ascontiguousarray(pixels).reshape(height, -1) * np.tile(self.gain, width)
        return out


def rim_transfer(
    frame_crop: npt.NDArray[Any],
    crop_pixels: npt.NDArray[Any],
    mask: Array32,
    keep: Array32 | None = None,
) -> Transfer:
    """What makes the crop's rim look like the frame's.

    frame_crop: the frame under the crop, (H, W, 3).  crop_pixels: the changed crop, (h, w, 3).  Both uint8, uint16, or
    float32 in 0..1; any sizes.  mask: (h, w) 0..1.  keep: (h, w) 0..1, things in front of the face, which do not count.  The
    identity when the mask has no rim.

    The gain matches the contrast along the rim (Reinhard et al. 2001, in RGB), as a cast or an exposure multiplies; what is
    left is an offset that varies over the crop.  Matching spreads instead of regressing keeps the gain right where the two
    show the same things at other places.
    """
    before, after = _small(frame_crop), _small(crop_pixels)
    soft = cv2.resize(mask, (_WORK, _WORK), interpolation=cv2.INTER_AREA)
    soft = np.clip(cv2.GaussianBlur(soft, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE), 0, 1)
    rim = (4 * soft * (1 - soft)).astype(np.float32)
    if keep is not None:
        rim *= np.clip(1 - 2 * cv2.resize(keep, (_WORK, _WORK), interpolation=cv2.INTER_AREA), 0, 1)
    if float(rim.sum()) < 1e-3:
        return Transfer(np.ones(3, np.float32), np.zeros((GRID, GRID, 3), np.float32))
    gain = np.ones(3, np.float32)
    for _ in range(_ROUNDS):
        difference = before - after * gain
        centre = np.median(difference[rim > 0.3 * rim.max()], axis=0)
        # Hair that moved, a hand: other content, which must not tint the face (Welsch's weights).
        off = np.abs(difference - centre).max(-1)
        weight = np.asarray(rim * np.exp(-((off / _TOLERANCE) ** 2)), np.float32)
        ratio = (_variance(before, weight) + _NOISE) / (_variance(after, weight) + _NOISE)
        gain = np.clip(np.sqrt(ratio), 1 / _GAIN, _GAIN).astype(np.float32)
    difference = before - after * gain
    around = _PRIOR * float(
        cv2.GaussianBlur(rim, (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT).max()
    )
    offset = _spread(
        difference, weight, np.median(difference[weight > 0.3 * weight.max()], axis=0), around
    )
    small = cv2.resize(offset, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return Transfer(gain, np.asarray(np.clip(small, -_LIMIT, _LIMIT), np.float32))


def steady_transfers(
    transfers: Sequence[Transfer],
    seconds: npt.ArrayLike,
    shot: npt.ArrayLike | None = None,
    *,
    width: float = 0.25,
    reach: int = 32,
) -> list[Transfer]:
    """The corrections of a window of frames, calmed over `width` seconds without lag.

    seconds: one for each, increasing.  shot: labels; nothing is calmed across a change.  reach: frames looked at on both sides: what the window needs beyond the frames it is for.
    """
    count = len(transfers)
    rows = np.array([np.concatenate([t.gain, t.offset.ravel()]) for t in transfers], np.float64)
    time = np.asarray(seconds, np.float64)
    label = np.zeros(count, np.int64) if shot is None else np.asarray(shot)
    calm = local_line(rows, time, np.ones(count, bool), label, width, reach).astype(np.float32)
    return [Transfer(row[:3], row[3:].reshape(GRID, GRID, 3)) for row in calm]


def _small(pixels: npt.NDArray[Any]) -> Array32:
    full = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    reduced = cv2.resize(pixels, (_WORK, _WORK), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.float32) / np.float32(full)


def _spread(difference: Array32, weight: Array32, everywhere: Array32, prior: float) -> Array32:
    """Normalised convolution: the weighted mean around each pixel, drawn to `everywhere` (3,) as by a weight of `prior`."""
    top = cv2.GaussianBlur(
        difference * weight[..., None], (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT
    )
    bottom = cv2.GaussianBlur(weight, (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT)
    return np.asarray((top + prior * everywhere) / (bottom + prior)[..., None], np.float32)


def _variance(pixels: Array32, weight: Array32) -> Array32:
    """Weighted variance of each channel, (3,)."""
    w = weight[..., None] / max(float(weight.sum()), 1e-9)
    mean = (pixels * w).sum((0, 1))
    return np.asarray((((pixels - mean) ** 2) * w).sum((0, 1)))
