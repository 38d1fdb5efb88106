"""Typed wrappers of the OpenCV calls that the renderer uses. All of them release the GIL."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Crop, Image

Pixels = TypeVar("Pixels", bound=npt.NDArray[Any])
Floats = TypeVar("Floats", bound=npt.NDArray[np.floating[Any]])
REPLICATE, REFLECT = cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101


def remap(
    image: Pixels,
    positions: Array32,
    border: int = REPLICATE,
    interpolation: int = cv2.INTER_LINEAR,
) -> Pixels:
    """Sample an image at pixel positions.

    Args:
        image: (H, W, ...) image.
        positions: (h, w, 2) float32, x and y in pixels.
        border: OpenCV border mode.
        interpolation: OpenCV interpolation, bilinear by default.

    Returns:
        (h, w, ...) of the image's type.
    """
    # The stub does not know that the second map may be None.
    return cv2.remap(  # type: ignore[call-overload, no-any-return]
        image, positions, None, interpolation, borderMode=border
    )


def pair(values: Array32, first: int = 0) -> Array32:
    """Return two neighbouring channels of values (h, w, C), contiguous (h, w, 2).

    Ten times as fast as np.ascontiguousarray.
    """
    both = [cv2.extractChannel(values, channel) for channel in (first, first + 1)]
    return np.asarray(cv2.merge(both), np.float32)


def merge_positions(x: Array32, y: Array32) -> Array32:
    """Return positions (h, w, 2) of their x and y, (h, w) each."""
    return np.asarray(cv2.merge([x, y]), np.float32)


def shift(positions: Array32, by: Sequence[float] | Array | Array32) -> Array32:
    """Return positions (h, w, 2) moved by x and y. Ten times as fast as NumPy's sum of pairs."""
    offset = (float(by[0]), float(by[1]), 0.0, 0.0)
    # The stub does not know scalars.
    return np.asarray(cv2.add(positions, offset), np.float32)  # type: ignore[call-overload]


def cautious_mean(values: npt.NDArray[np.floating[Any]]) -> Array:
    """Average (N, K) over its columns, half of it that of the lower half alone: (N,)."""
    ordered = np.sort(values, 1)
    lower = ordered[:, : values.shape[1] // 2]
    return np.asarray((ordered.mean(1) + lower.mean(1)) / 2)


def box_mean(values: Pixels, size: int) -> Pixels:
    """Average over size x size samples; the border is replicated."""
    # The stub loses the array's type.
    return cv2.blur(values, (size, size), borderType=REPLICATE)  # type: ignore[return-value]


def masked_mean(values: Pixels, weight: Array32, size: int) -> Array32:
    """Average values (h, w) or (h, w, C) by weights (h, w) over size x size samples."""
    total = np.maximum(box_mean(weight, size), 1e-3)
    if values.ndim > weight.ndim:
        weight, total = weight[..., None], total[..., None]
    return np.asarray(box_mean(values * weight, size) / total, np.float32)


def largest(values: Floats) -> Floats:
    """Return the largest magnitude of the channels of values (h, w, C), (h, w).

    Ten times as fast as NumPy's maximum over the last axis.
    """
    # The stub loses the array's type.
    return functools.reduce(np.maximum, cv2.split(np.abs(values)))  # type: ignore[no-any-return]


def distance_to(mask: npt.NDArray[np.bool_]) -> Array32:
    """Return the distance of each sample to a mask (h, w), in samples."""
    away = np.asarray(~mask, np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, 5), np.float32)


def nearest_to(mask: npt.NDArray[np.bool_]) -> tuple[Array32, npt.NDArray[np.intp]]:
    """Return each sample's distance to a mask (h, w), and the index of its nearest sample there.

    The indices (h, w) are of the flattened mask; without any sample in it they are 0, and the
    distances infinite.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32), np.zeros(mask.shape, np.intp)
    distance, labels = cv2.distanceTransformWithLabels(
        np.asarray(~mask, np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(int(labels.max()) + 1, np.intp)
    nearest[labels[mask]] = np.flatnonzero(mask)
    return np.asarray(distance, np.float32), nearest[labels]


def odd_size(size: float) -> int:
    """Return the odd number of samples nearest to a size, 3 or more."""
    return max(3, 2 * round(size / 2) + 1)


def resize(values: Pixels, size: tuple[int, int], *, shrink: bool = False) -> Pixels:
    """Resize to (width, height), bilinearly, or by area averaging when `shrink`."""
    interpolation = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    # The stub loses the array's type.
    return cv2.resize(values, size, interpolation=interpolation)  # type: ignore[return-value]


def mix(first: Image, other: Image, share: Image) -> Image:
    """Return (255 - share) / 255 of a picture plus share / 255 of another; share: (h, w).

    All are uint8. Where the two are equal the result is, too.
    """
    channels = first.shape[2] if first.ndim > 2 else 1
    weight = cv2.merge([share] * channels)
    rest = cv2.multiply(first, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.multiply(other, weight, weight, 1 / 255)
    return np.asarray(cv2.add(weight, rest, rest), np.uint8)


def to_levels(share: Array32) -> Image:
    """Convert shares in 0..1 to uint8; what is above counts as 1."""
    return np.asarray(cv2.convertScaleAbs(share, alpha=255), np.uint8)


def to_samples(positions: Floats, step: float | Array32) -> Floats:
    """Convert pixels to samples of `step` pixels each, or (x, y); their centres are whole."""
    return (positions + 0.5) / step - 0.5  # type: ignore[return-value]  # of the same type


def sample_crop(size: tuple[int, int], step: int) -> Crop:
    """Return a picture as a crop of (width, height) samples, `step` pixels each."""
    shift = (1 / step - 1) / 2  # pixel centres
    return Crop(np.array([[1 / step, 0, shift], [0, 1 / step, shift], [0, 0, 1]]), size)


def polygon_mask(
    points: npt.NDArray[np.floating[Any]], size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Fill a polygon of (N, 2) pixels. Returns (height, width) bool for a size (width, height)."""
    out = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(out, [np.rint(points * 16).astype(np.int32)], (1,), cv2.LINE_8, 4)
    return out > 0
