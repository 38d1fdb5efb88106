"""Occlusion of a face (a hand, a microphone), found without training.

Each frame's face is unwrapped to a UV map by its mesh, which removes expression and pose. The
median of many frames is the person's own appearance. A frame is compared with it after its lighting
is removed, relative to the variation of the face itself, and with a tolerance of one cell for
errors of the mesh. The result is closed and cleaned; `occlusion_edges` aligns it with the edges of
the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from thcli.core.types import Array, Array32, Image
from thcli.faces.compositing.uv_map import FaceTexture, Flags

SAMPLES = 48  # textures kept of a clip, evenly over its length
_MIN_SAMPLES = 8
_LOG_OFFSET = 10.0  # levels of 255 added before the logarithm: dark differences are noise
# Differences in log brightness and log colour within one appearance, with noise.
_LIGHT_TOLERANCE, _TINT_TOLERANCE = 0.14, 0.035
_DEVIATION_FACTOR = 1.3  # allowed deviations of a cell, in addition
_LIGHT_ITERATIONS = 4  # of the fit of a frame's lighting, each without the outliers before
_OUTLIER = 2.0  # allowed differences from which a cell does not count for the lighting
_MAX_DIFFERENCE = 3.0  # allowed differences; more carries no more evidence
_NEIGHBOURHOOD = 2.2  # cells: range over which differences are averaged
# Excess difference at which occlusion has probability 0.5: at least this, and at least this many
# deviations of the face's own difference.
_MIN_LIMIT = 0.35
_LIMIT_DEVIATIONS = 3.0
# Standard deviation of a normal distribution over the distance of its 15th and 40th percentile.
_QUANTILE_TO_STD = 1.28
_STEEPNESS = 6.0  # of the logistic function of the excess
_MIN_AREA = 0.01  # of the UV map: smaller regions are the face's own
_CLOSING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))  # cells: holes to close


class TextureSamples:
    """Textures of a clip of any length: SAMPLES of them, evenly spaced."""

    def __init__(self) -> None:
        self._kept: list[FaceTexture] = []
        self._every, self._count = 1, 0

    def add(self, texture: FaceTexture) -> None:
        """Add the next frame's face, in order."""
        if self._count % self._every == 0:
            if len(self._kept) == SAMPLES:
                self._kept = self._kept[::2]
                self._every *= 2
            if self._count % self._every == 0:
                self._kept.append(texture)
        self._count += 1

    def appearance_model(self) -> AppearanceModel | None:
        """Fit the appearance of the unoccluded face; None with too few samples."""
        return fit_appearance(self._kept) if len(self._kept) >= _MIN_SAMPLES else None


@dataclass(frozen=True, slots=True)
class AppearanceModel:
    """Appearance of an unoccluded face and its own variation.

    median: (UV_SIDE, UV_SIDE, 3) log brightness and two log colours.  low, high: its range within
    one cell around.  spread: (UV_SIDE, UV_SIDE, 3) standard deviation.  observed: (UV_SIDE,
    UV_SIDE) cells with enough samples.  typical_difference, limit: (UV_SIDE, UV_SIDE), difference
    of the face itself, and excess over it at which occlusion has probability 0.5.
    """

    median: Array32
    low: Array32
    high: Array32
    spread: Array32
    observed: Flags
    typical_difference: Array32
    limit: Array32

    def difference(self, face: FaceTexture) -> Array32:
        """Return the difference of a face around each cell, in allowed differences."""
        usable = face.visible & self.observed
        colours = _log_colours(face.texture)
        tolerance = np.array([_LIGHT_TOLERANCE, _TINT_TOLERANCE, _TINT_TOLERANCE], np.float32)
        allowed = tolerance + np.float32(_DEVIATION_FACTOR) * self.spread
        weight, off = usable.astype(np.float32), np.zeros(usable.shape, np.float32)
        for _ in range(_LIGHT_ITERATIONS):
            relit = colours - _fit_plane(colours - self.median, weight)
            beyond = np.maximum(np.maximum(relit - self.high, self.low - relit), 0)
            off = np.asarray(np.sqrt(((beyond / allowed) ** 2).sum(-1)), np.float32)
            weight = np.where(usable, np.exp(-((off / _OUTLIER) ** 2)), 0).astype(np.float32)
        return _visible_mean(np.minimum(off, _MAX_DIFFERENCE), usable, _NEIGHBOURHOOD)

    def occlusion_probability(self, face: FaceTexture) -> Array32:
        """Return the probability of an occlusion at each cell, (UV_SIDE, UV_SIDE) 0..1."""
        excess = (self.difference(face) - self.typical_difference) / self.limit
        probability = np.asarray(1 / (1 + np.exp(-_STEEPNESS * (excess - 1))), np.float32)
        probability = np.where(face.visible & self.observed, probability, 0).astype(np.float32)
        closed = cv2.morphologyEx(probability, cv2.MORPH_CLOSE, _CLOSING)
        return _drop_small_regions(np.asarray(closed, np.float32))


def fit_appearance(samples: Sequence[FaceTexture]) -> AppearanceModel:
    """Fit the median appearance of many frames and its variation, each in its own lighting."""
    colours = np.stack([_log_colours(s.texture) for s in samples])
    visible = np.stack([s.visible for s in samples])
    observed = visible.sum(0) >= max(len(samples) // 6, 4)
    for _ in range(3):
        median = _visible_median(colours, visible)
        for sample, shown in zip(colours, visible, strict=True):
            off = np.abs(sample - median).max(-1)
            weight = np.where(shown & observed, np.exp(-((off / 0.2) ** 2)), 0)
            sample -= _fit_plane(sample - median, weight.astype(np.float32))
    median = _visible_median(colours, visible)
    spread = 1.4826 * _visible_median(np.abs(colours - median), visible)
    cell = np.ones((3, 3), np.uint8)
    lowest = np.asarray(cv2.erode(median, cell), np.float32)
    highest = np.asarray(cv2.dilate(median, cell), np.float32)
    widened = np.asarray(cv2.dilate(spread, cell))
    spread = np.asarray(cv2.GaussianBlur(widened, (0, 0), 1.0), np.float32)
    zero, one = np.zeros(observed.shape, np.float32), np.ones(observed.shape, np.float32)
    model = AppearanceModel(median, lowest, highest, spread, observed, zero, one)
    differences = np.stack([model.difference(sample) for sample in samples])
    # Occlusions only increase the difference: the lower quantiles are the face's own.
    low, typical = np.quantile(differences, [0.15, 0.4], axis=0).astype(np.float32)
    deviation = _QUANTILE_TO_STD * (typical - low)
    limit = np.maximum(_MIN_LIMIT, _LIMIT_DEVIATIONS * deviation).astype(np.float32)
    return replace(model, typical_difference=typical, limit=limit)


def _log_colours(texture: Image) -> Array32:
    """Return log brightness, log red over green, log blue over green of (h, w, 3) uint8."""
    r, g, b = (
        np.log(channel.astype(np.float32) + np.float32(_LOG_OFFSET))
        for channel in cv2.split(texture)
    )
    return np.stack([(r + g + b) / 3, r - g, b - g], -1)


def _visible_median(values: Array32, visible: Flags) -> Array32:
    """Return the median over the first axis of visible values; of all where none is visible."""
    used = np.where(visible.any(0), visible, True)
    count, *shape = values.shape
    # Hidden values are sorted behind all others; sorting is fastest along the last axis.
    masked = np.where(used[..., None], values, np.float32(np.inf))
    ordered = np.sort(np.ascontiguousarray(masked.reshape(count, -1).T), axis=1)
    seen = np.repeat(used.sum(0).ravel(), shape[-1])
    cell = np.arange(len(ordered))
    middle = ordered[cell, (seen - 1) // 2] + ordered[cell, seen // 2]
    return np.asarray(middle / 2, np.float32).reshape(shape)


def _fit_plane(values: Array32, weight: Array32) -> Array32:
    """Fit a plane to each channel of (h, w, 3), weighted by (h, w): light from a side."""
    basis = _plane_basis(weight.shape)
    weighted = basis * weight.ravel()
    normal = weighted @ basis.T + 1e-3 * np.eye(3) * max(float(weight.sum()), 1e-6)
    plane = basis.T @ np.linalg.solve(normal, weighted @ values.reshape(-1, 3))
    return np.asarray(plane.reshape(values.shape), np.float32)


@cache
def _plane_basis(shape: tuple[int, int]) -> Array:
    """Return (3, h * w), one and the position of each cell. Read-only: threads share it."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64) / max(shape) - 0.5
    basis = np.stack([np.ones(x.size), x.ravel(), y.ravel()])
    basis.flags.writeable = False
    return basis


def _visible_mean(values: Array32, visible: Flags, sigma: float) -> Array32:
    weight = cv2.GaussianBlur(visible.astype(np.float32), (0, 0), sigma)
    masked = np.where(visible, values, 0).astype(np.float32)
    total = cv2.GaussianBlur(masked, (0, 0), sigma)
    return np.asarray(total / np.maximum(weight, 1e-3), np.float32)


def _drop_small_regions(mask: Array32) -> Array32:
    """Return the mask without regions that are too small to be an object."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] < _MIN_AREA * mask.size
    small[0] = count == 1  # the background itself, when there is nothing else
    small_regions = small[labels].astype(np.uint8) * (labels > 0)
    dropped = cv2.dilate(small_regions, np.ones((3, 3), np.uint8)) > 0
    large_regions = (~small[labels] & (labels > 0)).astype(np.uint8)
    near_large = cv2.dilate(large_regions, np.ones((5, 5), np.uint8)) > 0
    return np.where(dropped | ((labels == 0) & ~near_large), 0, mask).astype(np.float32)
