"""Non-maximum suppression of detections, by OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


def nonmax_suppression(
    boxes: npt.NDArray[Any], scores: npt.NDArray[Any], overlap: float
) -> list[int]:
    """Return the rows to keep, best first, without boxes that overlap a better one.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,), greater than 0.
        overlap: intersection over union above which the box of the lower score is dropped.
    """
    corners = np.asarray(boxes, np.float64)
    rectangles = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(rectangles.tolist(), scores.tolist(), 0.0, overlap)
    return [int(row) for row in np.ravel(kept)]
