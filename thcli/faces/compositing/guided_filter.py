"""Guided filter: soft maps whose edges follow those of an image."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32

_SYMMETRIC = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def guided_filter(guide: Array32, values: Array32, radius: int, smoothness: float) -> Array32:
    """Move the edges of maps to those of a colour image. He, Sun, Tang 2010, eq. 14-16.

    Args:
        guide: (h, w, 3) in 0..1.
        values: (h, w) or (K, h, w).
        radius: pixels of the window.
        smoothness: variance of colour above which an edge is kept.
    """
    side = 2 * radius + 1

    def mean(x: Array32) -> Array32:
        return np.asarray(cv2.blur(x, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)

    colour = [np.ascontiguousarray(guide[..., i]) for i in range(3)]
    middle = [mean(c) for c in colour]
    xx, xy, xz, yy, yz, zz = (
        mean(colour[i] * colour[j]) - middle[i] * middle[j] for i, j in _SYMMETRIC
    )
    xx, yy, zz = (a + np.float32(smoothness) for a in (xx, yy, zz))
    # The inverse of each pixel's symmetric 3 x 3 matrix by its cofactors.
    inverse = [
        [yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy],
        [xz * yz - xy * zz, xx * zz - xz * xz, xz * xy - xx * yz],
        [xy * yz - xz * yy, xz * xy - xx * yz, xx * yy - xy * xy],
    ]
    scale = 1 / (xx * inverse[0][0] + xy * inverse[0][1] + xz * inverse[0][2])
    out = np.empty_like(values)
    planes = (-1, *values.shape[-2:])
    for target, plane in zip(out.reshape(planes), values.reshape(planes), strict=True):
        level = mean(plane)
        covariance = [mean(c * plane) - m * level for c, m in zip(colour, middle, strict=True)]
        slope = [
            scale * (a[0] * covariance[0] + a[1] * covariance[1] + a[2] * covariance[2])
            for a in inverse
        ]
        offset = level - slope[0] * middle[0] - slope[1] * middle[1] - slope[2] * middle[2]
        target[:] = mean(offset)
        for a, c in zip(slope, colour, strict=True):
            target += mean(a) * c
    return out
