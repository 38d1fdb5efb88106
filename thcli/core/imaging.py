"""Array operations on images that several layers share. No colour management, no I/O.

Conventions of `core.types`: images are (H, W, C), y down, pixel centres at integers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image

Pixels = npt.NDArray[Any]

FLOW_LEAST_SIDE = 16  # pixels: the smallest image that `optical_flow` takes


def to_uint8(pixels: Pixels) -> Image:
    """Convert full-range pixels to 8 bits, rounded to nearest.

    Args:
        pixels: any shape, uint8 (returned as is) or uint16 (0..65535).
    """
    if pixels.dtype == np.uint8:
        return pixels
    return np.asarray((pixels.astype(np.uint32) + 128) // 257, np.uint8)


def smoothstep(low: float | Pixels, high: float | Pixels, x: npt.ArrayLike) -> npt.NDArray[Any]:
    """Interpolate from 0 at `low` to 1 at `high` by the cubic t^2 (3 - 2t), constant outside.

    The result has the shape and floating type of `x`; integers become float64.
    """
    if isinstance(x, float) and isinstance(low, float) and isinstance(high, float) and low != high:
        share = min(max((x - low) / (high - low), 0.0), 1.0)  # NumPy takes five times as long
        return np.asarray(share * share * (3 - 2 * share))
    value = np.asarray(x)
    if value.dtype.kind != "f":
        value = value.astype(np.float64)
    t = np.asarray((value - low) / (high - low))
    t.clip(0, 1, t)
    square = np.asarray(t * t)
    t *= -2
    t += 3
    square *= t
    return square


def to_lab(image: Image) -> Array32:
    """Convert sRGB (h, w, 3) uint8 to CIE Lab, L in 0..100."""
    scaled = image.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), np.float32)


def scale_to_cover(image: Image, size: tuple[int, int]) -> Image:
    """Scale an image to cover `size` (width, height) and cut off the rest around the centre."""
    width, height = size
    factor = max(width / image.shape[1], height / image.shape[0])
    scaled_size = (
        max(round(image.shape[1] * factor), width),
        max(round(image.shape[0] * factor), height),
    )
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(image, scaled_size, interpolation=interpolation)
    left, top = (scaled_size[0] - width) // 2, (scaled_size[1] - height) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width], np.uint8)


def split_alpha(image: Image) -> tuple[Image, Image]:
    """Split an image (H, W, 4) uint8 into its colours (H, W, 3) and its alpha (H, W)."""
    colour = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2RGB), np.uint8)
    return colour, np.asarray(cv2.extractChannel(image, 3), np.uint8)


def lay_over(colour: Image, alpha: Image, below: Image) -> Image:
    """Lay a layer over a picture of the same size.

    Args:
        colour: (H, W, C) uint8, premultiplied.
        alpha: (H, W) uint8.
        below: (H, W, C) uint8.

    Returns:
        (H, W, C) uint8.
    """
    shown = cv2.merge([255 - alpha] * below.shape[2])
    cv2.multiply(below, shown, shown, 1 / 255)
    return np.asarray(cv2.add(shown, colour), np.uint8)


def subsample(image: Pixels, step: int) -> Pixels:
    """Take every step-th pixel of every step-th row, starting with the first.

    An incomplete step at the right or lower edge is dropped. Equal to image[::step, ::step] of
    the trimmed image, several times as fast.
    """
    if step <= 1:
        return image
    height, width = image.shape[0] // step, image.shape[1] // step
    whole = image[: height * step, : width * step]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST))


def optical_flow(image: Image, reference: Image) -> Array32:
    """Estimate dense optical flow by inverse search (Kroeger et al. 2016, OpenCV's fast preset).

    Args:
        image, reference: (H, W, 3) uint8 RGB of one shape, at least 16 pixels a side.

    Returns:
        (H, W, 2) float32 pixels: the content of image[y, x] is in `reference` at
        (x, y) + flow[y, x].

    Raises:
        ValueError: for different shapes, or a side below 16 pixels.
    """
    if image.shape != reference.shape:
        raise ValueError(f"images of different shapes: {image.shape} and {reference.shape}")
    if min(image.shape[:2]) < FLOW_LEAST_SIDE:
        raise ValueError(
            f"optical flow needs at least {FLOW_LEAST_SIDE} pixels a side, not {image.shape}"
        )
    grey = [
        np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        for pixels in (image, reference)
    ]
    return grey_flow(grey[0], grey[1], cv2.DISOPTICAL_FLOW_PRESET_FAST)


def grey_flow(
    image: Image, reference: Image, preset: int = cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
) -> Array32:
    """Estimate the flow of `optical_flow` for (H, W) uint8. preset: of OpenCV, its fastest one."""
    start = np.zeros((*image.shape, 2), np.float32)
    search = cv2.DISOpticalFlow.create(preset)
    return np.asarray(search.calc(image, reference, start), np.float32)


def largest_channel(values: Pixels) -> Pixels:
    """Return the largest of three channels (H, W, 3); several times as fast as along an axis."""
    first, second, third = cv2.split(values)
    return np.asarray(cv2.max(cv2.max(first, second), third))


def three_channels(values: Array32) -> Array32:
    """Repeat (h, w) to (h, w, 3); NumPy's broadcasting over a last axis of 3 is slow."""
    return np.asarray(cv2.merge((values,) * 3), np.float32)


@lru_cache(maxsize=16)
def pixel_positions(side: int) -> Array32:
    """Return the position (x, y) of each pixel of a square, (side, side, 2) float32, read-only."""
    axis = np.arange(side, dtype=np.float32)
    positions = np.dstack(np.meshgrid(axis, axis))
    positions.flags.writeable = False
    return positions


def warp_by_flow(flow: Array32, reference: Pixels) -> Pixels:
    """Sample `reference` bilinearly at each pixel's flow target; the border is replicated.

    Args:
        flow: (H, W, 2) float32 pixels, as `optical_flow` returns it.
        reference: (H, W, C) of any type that OpenCV remaps.
    """
    height, width = reference.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    warped = cv2.remap(
        reference,
        x + flow[..., 0],
        y + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, reference.dtype)
