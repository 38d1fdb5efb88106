"""Image metrics: L1, PSNR, SSIM, MS-SSIM and warping error, as pure functions of arrays.

Images are (H, W, 3) uint8 RGB of equal shape. Every function returns a float. Levels are 0..255.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.core.types import Array, Array32, Image

WINDOW, SIGMA = 11, 1.5  # of SSIM, as in the paper
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Wang, Simoncelli and Bovik 2003, section 3.2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
BEST_PSNR = 100.0  # of equal images, dB
STRIP = 48  # rows processed at a time
MIDDLE = 127.5  # subtracted before squaring, so that float32 is exact enough


def l1(a: Image, b: Image) -> float:
    """Return the mean absolute difference in levels, 0..255.

    Raises ValueError for different shapes.
    """
    _same_shape(a, b)
    return cv2.norm(a, b, cv2.NORM_L1) / a.size


def mean_squared_error(a: Image, b: Image) -> float:
    """Return the mean squared difference, 0..65025. Raises ValueError for different shapes."""
    _same_shape(a, b)
    return cv2.norm(a, b, cv2.NORM_L2SQR) / a.size


def relative_sharpness(truth: Image, result: Image) -> float:
    """Return the energy of the result's Laplacian over the truth's, in octaves (log2).

    Args:
        truth, result: (H, W, 3) uint8 of one shape.
    """
    energies = []
    for image in (truth, result):
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
        energies.append(float((cv2.Laplacian(grey, cv2.CV_32F) ** 2).mean()) + 1e-3)
    return float(np.log2(energies[1] / energies[0]))


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB, 0..100.

    Equal images have 100 dB, so that a mean over frames stays finite. That is less than one level
    in one channel of a 256 x 256 image.

    Args:
        mse: mean squared error, levels squared.
    """
    return BEST_PSNR if mse == 0 else min(10 * math.log10(255**2 / mse), BEST_PSNR)


def ssim(a: Image, b: Image) -> float:
    """Return the structural similarity, -1..1, over the channels and all windows inside the image.

    The window is Gaussian with 11 pixels and sigma 1.5; covariances are population covariances.
    Wang et al. 2004, eq. 13. It equals skimage.metrics.structural_similarity(gaussian_weights=True,
    use_sample_covariance=False) to 1e-4. Raises ValueError for different shapes or a side below 11.
    """
    similarity, _ = _ssim_means(_levels(a, b), _levels(b, a))
    return float(similarity.mean())


def ms_ssim(a: Image, b: Image) -> float:
    """Return the multi-scale structural similarity, 0..1: mean over the channels.

    There are five scales with 2 x 2 means between them. An image whose shorter side is below 176
    pixels uses the scales that fit, with weights that sum to 1. Negative contrast terms count as 0.
    Wang, Simoncelli and Bovik 2003, eq. 7. Raises ValueError as `ssim`.
    """
    return both_ssim(a, b)[1]


def both_ssim(a: Image, b: Image) -> tuple[float, float]:
    """Return `ssim` and `ms_ssim`, which share the finest scale."""
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


def backward_flow(previous: Image, now: Image) -> Array32:
    """Return the optical flow from `now` to `previous`; see `core.imaging.optical_flow`."""
    return optical_flow(now, previous)


def warping_error(previous: Image, now: Image, shift: Array32) -> float:
    """Return the flicker: mean absolute difference in levels to the warped previous frame.

    It is not 0 for a real clip, because of noise, disocclusions and errors of the flow: compare it
    with the truth's own. After Lai et al. 2018, eq. 12, without the occlusion mask.

    Args:
        previous, now: consecutive frames of the result.
        shift: `backward_flow` of the true clip, so that true motion does not count.
    """
    _same_shape(previous, now)
    return l1(warp_by_flow(shift, previous), now)


def _same_shape(a: Image, b: Image) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images of different shapes: {a.shape} and {b.shape}")


def _levels(a: Image, like: Image) -> Array32:
    _same_shape(a, like)
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs sides of at least {WINDOW} pixels, not {a.shape}")
    return a.astype(np.float32) - np.float32(MIDDLE)


def _halved(p: Array32) -> Array32:
    height, width = p.shape[0] // 2, p.shape[1] // 2
    even = p[: height * 2, : width * 2]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _ssim_means(x: Array32, y: Array32) -> tuple[Array, Array]:
    """Return the means (3,) over all windows of similarity and contrast-structure factor.

    The images are in levels minus MIDDLE.
    """
    rim = WINDOW - 1
    height = x.shape[0] - rim
    similarity, contrast = np.zeros(3), np.zeros(3)
    # The dozen planes of a strip stay in the cache: three times as fast as the whole image.
    for top in range(0, height, STRIP):
        rows = min(STRIP, height - top)
        part = slice(top, top + rows + rim)
        both, one = _ssim_strip(x[part], y[part])
        similarity += rows * both
        contrast += rows * one
    return similarity / height, contrast / height


def _ssim_strip(x: Array32, y: Array32) -> tuple[Array, Array]:
    def windows(p: Array32) -> Array32:
        rim = WINDOW // 2
        blurred = cv2.GaussianBlur(p, (WINDOW, WINDOW), SIGMA)
        return np.asarray(blurred[rim:-rim, rim:-rim], np.float32)

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
