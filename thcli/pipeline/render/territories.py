"""Soft division of an image among the faces that are animated in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.types import Array32, Image

BORDER = 0.1  # of a face's height, over which one face's part passes into another's


def divide_image(boxes: Sequence[Array32], size: tuple[int, int]) -> list[Array32]:
    """Give each pixel to the nearest face, with soft borders.

    Args:
        boxes: (4,) x0, y0, x1, y1 of each face in pixels. Distance is measured in their heights.
        size: (width, height) of the image.

    Returns:
        A weight (height, width, 1) float32 in 0..1 for each face; they add up to 1.
    """
    x, y = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)[:, None]
    distances = np.stack(
        [
            np.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2) / max(float(y1 - y0), 1.0)
            for x0, y0, x1, y1 in boxes
        ]
    )
    distances -= distances.min(0)
    weights = np.exp(distances * np.float32(-2 / BORDER))
    weights /= weights.sum(0)
    return [np.asarray(weight[..., None], np.float32) for weight in weights]


def merge_faces(renders: Sequence[Image], weights: Sequence[Array32], source: Image) -> Image:
    """Merge renders of one image (H, W, 3) uint8 in which one face each is animated.

    Where no face moves the result is the source, bit for bit.

    Args:
        renders: one for each face.
        weights: from `divide_image`.
        source: the image itself.
    """
    change = np.zeros(source.shape, np.float32)
    for render, weight in zip(renders, weights, strict=True):
        change += weight * (render.astype(np.float32) - source)
    return np.asarray(np.clip(np.rint(source + change), 0, 255), np.uint8)
