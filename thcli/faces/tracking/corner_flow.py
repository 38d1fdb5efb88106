"""Optical flow of corners from one reduced frame to another (Bouguet 2001)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.faces.tracking.head_motion import Similarity

EDGE = 4  # reduced pixels; a corner that comes nearer to the frame's edge is lost
_WINDOW = 15


def follow_corners(
    frames: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    corners: Array32,
    guess: Similarity,
    levels: int,
) -> tuple[Array32, Array32]:
    """Return the corners that are seen in both frames, in the first and in the second, (N, 2).

    Args:
        frames: (h, w) each.
        corners: (N, 1, 2) of the first.
        guess: motion from which the search starts.
        levels: of the pyramid.
    """
    first, second = frames
    moved, seen, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        corners,
        guess.apply(corners).astype(np.float32),
        winSize=(_WINDOW, _WINDOW),
        maxLevel=levels,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    limits = np.array([second.shape[1], second.shape[0]]) - EDGE
    kept = (seen[:, 0] > 0) & ((moved[:, 0] >= EDGE) & (moved[:, 0] < limits)).all(1)
    return corners[kept, 0], np.asarray(moved[kept, 0], np.float32)
