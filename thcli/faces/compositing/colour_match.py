"""Colour match of a changed crop to the frame, from the pixels that both show along the rim.

A gain per channel matches contrast. The remaining difference where the mask is half open is spread
smoothly over the crop, as in membrane cloning (Farbman et al. 2009), on a coarse grid. It has no
detail of its own, hides a step of brightness or a colour cast at the rim, and is a few numbers a
frame, so it can be smoothed over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.faces.compositing.pixel_ops import OPENCV, PixelOps, Values
from thcli.faces.crops.stabilize import local_linear_fit

GRID = 16  # the correction is a GRID x GRID x 3 field over the crop
_WORK_SIDE = 64  # side of the crop while it is measured, in pixels
_MAX_OFFSET = 0.25  # of full scale: a larger difference is another object at the rim
# Of full scale: pixels that differ more from the rim's median are mostly other content.
_TOLERANCE = 0.15
_ITERATIONS = 3  # of gain and weights, each from the other
_PRIOR = 0.1  # weight of the rim's median difference against the local one
_MAX_GAIN = 1.5
_MIN_VARIANCE = 0.04**2  # without more contrast than this the gain stays near 1
_REACH = 9.0  # standard deviation of the Gaussian that spreads the rim's difference, of _WORK_SIDE


@dataclass(frozen=True, slots=True)
class ColourTransfer:
    """Correction `gain * crop + offset` of a crop, in parts of full scale.

    gain: (3,).  offset: (GRID, GRID, 3), smooth over the crop.
    """

    gain: Array32
    offset: Array32

    def apply(self, pixels: Values, top: float, ops: PixelOps = OPENCV) -> Values:
        """Return the corrected pixels (h, w, 3) float32 in 0..top, not clipped.

        The identity correction is bit-exact. ops: of the device that holds the pixels.
        """
        height, width = pixels.shape[:2]
        # Cubic on a coarse grid, then linear: as smooth, and a tenth of the time.
        field = ops.resize(ops.load(self.offset, top), (_WORK_SIDE, _WORK_SIDE), "cubic")
        out = ops.resize(field, (width, height), "linear")
        out += ops.times(pixels, self.gain)
        return out


def estimate_transfer(
    frame_crop: npt.NDArray[Any],
    crop_pixels: npt.NDArray[Any],
    mask: Array32,
    occlusion_mask: Array32 | None = None,
) -> ColourTransfer:
    """Estimate the correction that matches the crop's rim to the frame's.

    The gain matches the contrast along the rim (Reinhard et al. 2001, in RGB), because a colour
    cast or exposure multiplies; the rest is an offset that varies over the crop. Matching standard
    deviations instead of regressing keeps the gain right where the two are misaligned.

    Args:
        frame_crop: the frame under the crop, (H, W, 3).
        crop_pixels: the changed crop, (h, w, 3). Both are uint8, uint16, or float32 in 0..1, of any
            sizes.
        mask: (h, w) 0..1.
        occlusion_mask: (h, w) 0..1, objects in front of the face, which do not count.

    Returns:
        The correction; the identity when the mask has no rim.
    """
    before, after = _downsample(frame_crop), _downsample(crop_pixels)
    soft = cv2.resize(mask, (_WORK_SIDE, _WORK_SIDE), interpolation=cv2.INTER_AREA)
    soft = np.clip(cv2.GaussianBlur(soft, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE), 0, 1)
    rim = (4 * soft * (1 - soft)).astype(np.float32)
    if occlusion_mask is not None:
        occluded = cv2.resize(
            occlusion_mask, (_WORK_SIDE, _WORK_SIDE), interpolation=cv2.INTER_AREA
        )
        rim *= np.clip(1 - 2 * occluded, 0, 1)
    if float(rim.sum()) < 1e-3:
        return ColourTransfer(np.ones(3, np.float32), np.zeros((GRID, GRID, 3), np.float32))
    gain = np.ones(3, np.float32)
    for _ in range(_ITERATIONS):
        difference = before - after * gain
        centre = np.median(difference[rim > 0.3 * rim.max()], axis=0)
        # Other content (moved hair, a hand) must not tint the face: Welsch's weights.
        off = np.abs(difference - centre).max(-1)
        weight = np.asarray(rim * np.exp(-((off / _TOLERANCE) ** 2)), np.float32)
        ratio = (_weighted_variance(before, weight) + _MIN_VARIANCE) / (
            _weighted_variance(after, weight) + _MIN_VARIANCE
        )
        gain = np.clip(np.sqrt(ratio), 1 / _MAX_GAIN, _MAX_GAIN).astype(np.float32)
    difference = before - after * gain
    blurred = cv2.GaussianBlur(rim, (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT)
    median = np.median(difference[weight > 0.3 * weight.max()], axis=0)
    offset = _normalized_convolution(difference, weight, median, _PRIOR * float(blurred.max()))
    small = cv2.resize(offset, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return ColourTransfer(gain, np.asarray(np.clip(small, -_MAX_OFFSET, _MAX_OFFSET), np.float32))


def smooth_transfers(
    transfers: Sequence[ColourTransfer],
    seconds: npt.ArrayLike,
    scene: npt.ArrayLike | None = None,
    *,
    width: float = 0.25,
    reach: int = 32,
) -> list[ColourTransfer]:
    """Smooth the corrections of a window of frames over `width` seconds without lag.

    Args:
        transfers: one a frame.
        seconds: one a frame, increasing.
        scene: labels; nothing is smoothed across a change.
        width: standard deviation of the filter, in seconds.
        reach: frames on both sides, which the window needs beyond the frames it is for.
    """
    count = len(transfers)
    rows = np.array([np.concatenate([t.gain, t.offset.ravel()]) for t in transfers], np.float64)
    time = np.asarray(seconds, np.float64)
    label = np.zeros(count, np.int64) if scene is None else np.asarray(scene)
    smooth = local_linear_fit(rows, time, np.ones(count, bool), label, width, reach)
    return [
        ColourTransfer(row[:3], row[3:].reshape(GRID, GRID, 3)) for row in smooth.astype(np.float32)
    ]


def _downsample(pixels: npt.NDArray[Any]) -> Array32:
    full = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    reduced = cv2.resize(pixels, (_WORK_SIDE, _WORK_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.float32) / np.float32(full)


def _normalized_convolution(
    difference: Array32, weight: Array32, everywhere: Array32, prior: float
) -> Array32:
    """Return the weighted mean around each pixel, with a prior mean `everywhere` (3,).

    prior: weight of that mean.
    """
    top = cv2.GaussianBlur(
        difference * weight[..., None], (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT
    )
    bottom = cv2.GaussianBlur(weight, (0, 0), _REACH, borderType=cv2.BORDER_CONSTANT)
    return np.asarray((top + prior * everywhere) / (bottom + prior)[..., None], np.float32)


def _weighted_variance(pixels: Array32, weight: Array32) -> Array32:
    """Return the weighted variance of each channel, (3,)."""
    w = weight[..., None] / max(float(weight.sum()), 1e-9)
    mean = (pixels * w).sum((0, 1))
    return np.asarray((((pixels - mean) ** 2) * w).sum((0, 1)))
