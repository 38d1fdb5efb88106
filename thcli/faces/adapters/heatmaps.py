"""Decoding of landmark heat maps: sub-cell peaks, and landmarks in the frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thcli.core.geometry import transform_points
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.adapters.keypoints import six_keypoints
from thcli.faces.landmarks.layouts import five_points

# Median height of the maps below which there is no face; those of faces are several times as high.
_MIN_HEIGHT = 0.1


def heatmap_peaks(heatmaps: Array32) -> tuple[Array, Array32]:
    """Locate the maximum of each heat map, a quarter of a cell towards its higher neighbour.

    Newell et al. 2016, sec. 3.1.

    Args:
        heatmaps: (N, H, W).

    Returns:
        (N, 2) x, y in cells (0 is the centre of the first cell), and (N,) heights.
    """
    count, height, width = heatmaps.shape
    flat = heatmaps.reshape(count, -1)
    best = flat.argmax(1)
    y, x = np.divmod(best, width)
    rows = np.arange(count)
    left, right = np.maximum(x - 1, 0), np.minimum(x + 1, width - 1)
    above, below = np.maximum(y - 1, 0), np.minimum(y + 1, height - 1)
    slope_x = heatmaps[rows, y, right] - heatmaps[rows, y, left]
    slope_y = heatmaps[rows, below, x] - heatmaps[rows, above, x]
    inner_x, inner_y = (x > 0) & (x < width - 1), (y > 0) & (y < height - 1)
    peak_x = x + 0.25 * np.sign(slope_x) * inner_x
    peak_y = y + 0.25 * np.sign(slope_y) * inner_y
    return np.stack([peak_x, peak_y], 1).astype(np.float64), flat[rows, best]


def landmarks_from_heatmaps(heatmaps: Array32, face: Face, placement: Crop) -> Face | None:
    """Return the face with the points of its heat maps; None when the maps show no face.

    Args:
        heatmaps: (N, H, W), a map per landmark of the square crop.
        face: face to complete.
        placement: placement of the crop that the network read.

    Returns:
        The face with `points` (N, 2) and keypoints, in pixels of the frame.
    """
    cells, heights = heatmap_peaks(heatmaps)
    if float(np.median(heights)) < _MIN_HEIGHT:
        return None
    in_crop = (cells + 0.5) * (placement.size[0] / heatmaps.shape[-1]) - 0.5
    frame_from_crop = np.asarray(np.linalg.inv(placement.crop_from_frame))
    points = transform_points(frame_from_crop, in_crop).astype(np.float32)
    return replace(face, points=points, keypoints=six_keypoints(five_points(points)))
