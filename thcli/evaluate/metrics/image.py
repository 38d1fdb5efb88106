"""What two pictures have in common: L1, PSNR, SSIM, MS-SSIM and the flow for flicker. Pure functions of arrays.

Pictures are (H, W, 3) uint8 RGB of equal shape; every function returns a plain float. Levels mean 0..255.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.core.types import Array, Array32, Image

WINDOW, SIGMA = 11, 1.5  # of SSIM, as in the paper
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALE_WEIGHTS = (
    0.0448,
    0.2856,
    0.3001,
    0.2363,
    0.1333,
)  # Wang, Simoncelli and Bovik 2003, section 3.2
BEST_PSNR = 100.0
STRIP = 48  # rows worked on at a time
MIDDLE = 127.5  # taken away before squaring, so that float32 is exact enough


def l1(a: Image, b: Image) -> float:
    """Mean absolute difference in levels, 0..255, 0 for equal pictures. Raises ValueError for different shapes."""
    _same_shape(a, b)
    return cv2.norm(a, b, cv2.NORM_L1) / a.size


def mean_squared_error(a: Image, b: Image) -> float:
    """Mean squared difference in levels squared, 0..65025. Raises ValueError for different shapes."""
    _same_shape(a, b)
    return cv2.norm(a, b, cv2.NORM_L2SQR) / a.size


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB, 0..100, of a mean squared error in levels squared.

    100 dB (less than one level in one channel of a 256 x 256 picture) stands for equal pictures, so that a mean over frames stays finite.
    """
    return BEST_PSNR if mse == 0 else min(10 * math.log10(255**2 / mse), BEST_PSNR)


def ssim(a: Image, b: Image) -> float:
    """Structural similarity, -1..1, 1 for equal pictures: mean over the channels and over all windows that lie inside.

    Gaussian window of 11 pixels, sigma 1.5, population covariance. Raises ValueError for different shapes or a side below 11.
    Wang et al. 2004, eq. 13; the same numbers as skimage.metrics.structural_similarity(gaussian_weights=True,
    use_sample_covariance=False) to 1e-4.
    """
    similarity, _ = _ssim_means(_levels(a, b), _levels(b, a))
    return float(similarity.mean())


def ms_ssim(a: Image, b: Image) -> float:
    """Multi-scale structural similarity, 0..1, 1 for equal pictures: mean over the channels.

    Five scales (2x2 means between them); a picture whose shorter side is below 176 pixels uses as many as fit, their weights made
    to sum to 1 again. A negative contrast term counts as 0. Raises ValueError as `ssim`. Wang, Simoncelli and Bovik 2003, eq. 7.
    """
    return both_ssim(a, b)[1]


def both_ssim(a: Image, b: Image) -> tuple[float, float]:
    """`ssim` and `ms_ssim` for little more than the price of one: the finest scale serves both."""
    x, y = _levels(a, b), _levels(b, a)
    scales = min(len(SCALE_WEIGHTS), 1 + int(math.log2(min(a.shape[:2]) / WINDOW)))
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    finest, product = 0.0, np.ones(3)
    for scale, weight in enumerate(weights):
        similarity, contrast = _ssim_means(x, y)
        finest = finest if scale else float(similarity.mean())
        product *= np.maximum(similarity if scale == scales - 1 else contrast, 0) ** weight
        x, y = _halved(x), _halved(y)
    return finest, float(product.mean())


def backward_flow(before: Image, now: Image) -> Array32:
    """Where every pixel of `now` was in `before`: see `faces.flow.flow`."""
    return optical_flow(now, before)


def warping_error(before: Image, now: Image, shift: Array32) -> float:
    """Flicker: mean absolute difference in levels (0..255) between `now` and `before` moved along `shift`.

    shift: of the *true* clip (`backward_flow`), so that true motion is not counted; it is never quite 0 on a real clip (noise,
    uncovered places, errors of the flow): compare with the ground truth's own. After Lai et al. 2018, eq. 12, without the occlusion mask.
    """
    _same_shape(before, now)
    return l1(warp_by_flow(shift, before), now)


def _same_shape(a: Image, b: Image) -> None:
    if a.shape != b.shape:
        raise ValueError(f"pictures of different shapes: {a.shape} and {b.shape}")


def _levels(a: Image, like: Image) -> Array32:
    _same_shape(a, like)
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs pictures of at least {WINDOW} pixels a side, not {a.shape}")
    return a.astype(np.float32) - np.float32(MIDDLE)


def _halved(p: Array32) -> Array32:
    height, width = p.shape[0] // 2, p.shape[1] // 2
    even = p[: height * 2, : width * 2]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _ssim_means(x: Array32, y: Array32) -> tuple[Array, Array]:
    """(3,) means over all windows of the similarity, and of its contrast-structure factor alone, of pictures in levels minus MIDDLE."""
    rim = WINDOW - 1
    height = x.shape[0] - rim
    similarity, contrast = np.zeros(3), np.zeros(3)
    for top in range(
        0, height, STRIP
    ):  # a strip's dozen planes stay in the cache: three times as fast as the whole
        rows = min(STRIP, height - top)
        part = slice(top, top + rows + rim)
        both, one = _ssim_strip(x[part], y[part])
        similarity += rows * both
        contrast += rows * one
    return similarity / height, contrast / height


def _ssim_strip(x: Array32, y: Array32) -> tuple[Array, Array]:
    def windows(p: Array32) -> Array32:
        rim = WINDOW // 2
        return np.asarray(
            cv2.GaussianBlur(p, (WINDOW, WINDOW), SIGMA)[rim:-rim, rim:-rim], np.float32
        )

    mx, my = windows(x), windows(y)
    product, squares, energy = mx * my, mx * mx, x * x
    squares += my * my
    energy += y * y
    raised = mx + my  # brings MIDDLE back into the products of means, and adds C1
    raised *= np.float32(2 * MIDDLE)
    raised += np.float32(2 * MIDDLE**2 + C1)
    contrast = windows(x * y) - product
    contrast *= 2
    contrast += np.float32(C2)
    variances = windows(energy) - squares
    variances += np.float32(C2)
    contrast /= variances
    product *= 2
    product += raised
    squares += raised
    product /= squares  # the luminance factor
    product *= contrast
    return np.array(cv2.mean(product)[:3]), np.array(cv2.mean(contrast)[:3])
