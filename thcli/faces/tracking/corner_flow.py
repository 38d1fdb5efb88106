"""Corners of a reduced frame, and their optical flow to another one (Bouguet 2001)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32
from thcli.faces.tracking.head_motion import Similarity

EDGE = 4  # reduced pixels; a corner that comes nearer to the frame's edge is lost
MIN_STRENGTH = 5e-5  # least eigenvalue of a corner's structure tensor; noise has less
_WINDOW = 15
# Steps of the search for a corner, and reduced pixels of a step that is the last: the corners are
# .002 pixels off on average
_SEARCH = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 30, 0.03)


def find_strong(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Find pixels (h, w) of a frame whose corners are stronger than noise."""
    return np.asarray(cv2.cornerMinEigenVal(grey, 3) > MIN_STRENGTH)


def find_corners(
    grey: npt.NDArray[np.uint8], region: npt.NDArray[np.bool_], most: int, apart: int
) -> Array32:
    """Find corners (N, 1, 2) of a frame in a region (h, w).

    Args:
        grey: (h, w).
        region: where they may be.
        most: number of corners.
        apart: least distance between two in pixels.
    """
    mask = np.where(region, 255, 0).astype(np.uint8)
    found = cv2.goodFeaturesToTrack(grey, most, 1e-3, apart, mask=mask)
    return np.asarray(np.zeros((0, 1, 2)) if found is None else found, np.float32)


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
        criteria=_SEARCH,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    limits = np.array([second.shape[1], second.shape[0]]) - EDGE
    kept = (seen[:, 0] > 0) & ((moved[:, 0] >= EDGE) & (moved[:, 0] < limits)).all(1)
    return corners[kept, 0], np.asarray(moved[kept, 0], np.float32)
