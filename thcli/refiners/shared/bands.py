"""Bands of detail of a grey crop, and local means of products of bands."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from thcli.core.types import Array32, Image

SIGMAS = (0.7, 1.3, 2.4)
"""Pixels at UNIT pixels a crop: standard deviations of the low-passes between which bands lie."""
UNIT = 256.0  # side of a crop in which SIGMAS, WINDOW and LIGHT count
WINDOW = 6.0  # pixels: standard deviation of local means
LIGHT = 6.0  # pixels: what is broader belongs to the light
_WIDE = 3.0  # pixels
_HALVED = 0.25  # variance, squared half pixels by which halving and doubling blur
_STEP = 4  # pixels per sample of a local mean


def to_grey(image: Image) -> Array32:
    """Return the luma of (H, W, 3) uint8 RGB in levels of 255, (H, W) float32."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.float32)


def blur(values: Array32, sigma: float) -> Array32:
    """Blur (H, W) by a Gaussian of `sigma` pixels; a wide one at half the resolution."""
    height, width = values.shape
    if sigma < _WIDE or height % 2 or width % 2:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    half = cv2.resize(values, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    own = (sigma**2 / 4 - _HALVED) ** 0.5
    small = cv2.GaussianBlur(half, (0, 0), own)
    return np.asarray(
        cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32
    )


def split(grey: Array32, unit: float) -> list[Array32]:
    """Split (H, W) into bands from fine to coarse, without the rest below them.

    Args:
        grey: luma.
        unit: pixels of `grey` for one pixel of a crop of UNIT pixels.
    """
    rests = [grey, *(blur(grey, sigma * unit) for sigma in SIGMAS)]
    return [fine - coarse for fine, coarse in pairwise(rests)]


def local_mean(product: Array32, sigma: float) -> Array32:
    """Average (H, W) over `sigma` pixels, on samples of _STEP pixels; see `upsample`."""
    height, width = product.shape
    small = cv2.resize(product, (width // _STEP, height // _STEP), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / _STEP), np.float32)


def upsample(samples: Array32, side: int) -> Array32:
    """Resize samples of a local mean to side x side pixels."""
    return np.asarray(cv2.resize(samples, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
