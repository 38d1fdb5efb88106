"""Crop of the published program: FFHQ's square, its centre and axes smoothed over time.

Before smoothing it is the square of `faces.crops.align.ffhq`. Points and corners are in its
convention: (0, 0) is the corner of the top-left pixel for PIL, and half a pixel is added where
images are sampled.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter1d

from thcli.core.types import Array, Image

CENTRE_SIGMA, AXIS_SIGMA = 1.0, 3.0  # frames


def crop_axes(points: npt.ArrayLike) -> tuple[Array, Array]:
    """Return crop centres (T, 2) and x half-axes (T, 2) of 68 landmarks (T, 68, 2), in pixels."""
    p = np.asarray(points, np.float64)
    left, right = p[:, 36:42].mean(1), p[:, 42:48].mean(1)
    eyes, mouth = (left + right) / 2, (p[:, 48] + p[:, 54]) / 2
    across, down = right - left, mouth - eyes
    axis = across - down[:, ::-1] * (-1, 1)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    half = np.maximum(2.0 * np.linalg.norm(across, axis=1), 1.8 * np.linalg.norm(down, axis=1))
    return eyes + 0.1 * down, axis * half[:, None]


def crop_quads(points: npt.ArrayLike) -> Array:
    """Return the crop corners (T, 4, 2) of a clip, in pixels.

    Corners are ordered top left, bottom left, bottom right, top right.

    Args:
        points: 68 landmarks (T, 68, 2), pixels.
    """
    centre, x = crop_axes(points)
    y = x[:, ::-1] * (-1, 1)
    centre = gaussian_filter1d(centre, CENTRE_SIGMA, axis=0)
    x, y = (gaussian_filter1d(axis, AXIS_SIGMA, axis=0) for axis in (x, y))
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y], 1)


def extract_crop(image: Image, quad: Array, size: int) -> Image:
    """Sample the crop (size, size, 3) of an image (H, W, 3); black outside of the image.

    The image is reduced first where the crop covers more than twice `size` pixels.
    """
    whole = Pillow.fromarray(image)
    diagonal = float(np.hypot(*(quad[3] - quad[1])))
    shrink = int(diagonal / size // 2)
    if shrink > 1:
        smaller = (round(whole.width / shrink), round(whole.height / shrink))
        whole = whole.resize(smaller, Pillow.Resampling.LANCZOS)
        quad, diagonal = quad / shrink, diagonal / shrink
    border = max(round(0.1 * diagonal), 3)
    low = np.maximum(np.floor(quad.min(0)).astype(int) - border, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + border, whole.size)
    if (high - low < whole.size).any():
        whole, quad = whole.crop((*low, *high)), quad - low
    corners = tuple(float(value) for value in (quad + 0.5).ravel())
    return np.asarray(
        whole.transform((size, size), Pillow.Transform.QUAD, corners, Pillow.Resampling.BILINEAR)
    )


def perspective_coefficients(quad: Array, size: int = 256) -> Array:
    """Return the perspective from frame to crop pixels as PIL's 8 coefficients."""
    target = np.array([[0, 0], [0, size], [size, size], [size, 0]], np.float64)
    rows, values = [], []
    for (px, py), (qx, qy) in zip(quad + 0.5, target, strict=True):
        rows += [[px, py, 1, 0, 0, 0, -qx * px, -qx * py], [0, 0, 0, px, py, 1, -qy * px, -qy * py]]
        values += [qx, qy]
    found: Array = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return found


def paste_crop(image: Image, crop: Image, perspective: Array) -> Image:
    """Return the image (H, W, 3) with the crop pasted over it: bilinear, with hard edges."""
    over = Pillow.fromarray(crop).convert("RGBA")
    whole = Pillow.fromarray(image)
    coefficients = tuple(float(value) for value in perspective)
    warped = over.transform(
        whole.size, Pillow.Transform.PERSPECTIVE, coefficients, Pillow.Resampling.BILINEAR
    )
    whole.paste(warped, (0, 0), warped)
    return np.asarray(whole)
