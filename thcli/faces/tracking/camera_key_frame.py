"""Reduced frames of the estimate of a camera, and those that others are followed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.tracking.corner_flow import find_corners, follow_corners
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import ReducedFrame

MAX_CORNERS = 160
MIN_CORNERS = 8  # seen again; fewer give no estimate
MIN_SPREAD = 0.12  # of the long side, standard deviation of the corners
RENEW_SHARE = 0.5  # of a key frame's corners; below it the next frame becomes the key frame
MIN_AGREEMENT = 0.5  # share of the followed corners that one similarity explains
TOLERANCE = 1.0  # reduced pixels of an inlier
# A neck without hair beside it: the person's width over the box's, at most, and the share of the
# box's height above its lower edge where it is measured.
NECK_WIDTH, NECK_HEIGHT = 1.15, 0.2
LEVELS = 4  # of the pyramid


@dataclass(frozen=True, slots=True)
class CameraView:
    """A reduced frame, and the boxes (N, 4) of its faces in its pixels."""

    frame: ReducedFrame
    boxes: Array

    @property
    def grey(self) -> npt.NDArray[np.uint8]:
        """Return the frame's brightness (h, w)."""
        return self.frame.grey

    def corner_motion(self, motion: Similarity) -> float:
        """Return by how many pixels the frame's corner that moves furthest moves."""
        height, width = self.grey.shape
        corners: Array = np.array([(0, 0), (width, 0), (0, height), (width, height)], np.float64)
        return float(np.linalg.norm(motion.apply(corners) - corners, axis=1).max())

    def below_faces(self, margin: float) -> npt.NDArray[np.bool_]:
        """Find pixels (h, w) below the faces, and away from them by a margin in their widths."""
        below = np.ones(self.grey.shape, np.bool_)
        for x0, _, x1, y1 in self.boxes:
            away = margin * (x1 - x0)
            left, right, bottom = (max(int(v), 0) for v in (x0 - away, x1 + away, y1 + away))
            below[: max(int(y1), 0)] = False
            below[:bottom, left:right] = False
        return below

    def shows_necks(self, people: npt.NDArray[np.uint8]) -> bool:
        """Return whether no hair hangs beside the necks of people (h, w), 1 or 0."""
        for x0, y0, x1, y1 in self.boxes:
            row = int(y1 - NECK_HEIGHT * (y1 - y0))
            if not 0 <= row < len(people) or people[row].sum() > NECK_WIDTH * (x1 - x0):
                return False
        return True

    def find_corners(self, region: npt.NDArray[np.bool_]) -> Array32:
        """Find corners (N, 1, 2) in a region (h, w)."""
        return find_corners(self.grey, region, MAX_CORNERS, 6)


@dataclass(frozen=True, slots=True)
class CameraKeyFrame:
    """A reduced frame and corners (N, 1, 2) of its background, or of a body before a plain one.

    faces: (N, 4) boxes.
    """

    grey: npt.NDArray[np.uint8]
    corners: Array32
    faces: Array
    of_body: bool = False

    def head_motion(self, view: CameraView, known: Similarity) -> list[Similarity]:
        """Return the motion of the largest face that this frame and another show, if any.

        A face further than its own size from where it is expected is another person's. The zoom is
        what both sides of the box agree on: an opening mouth makes it higher, a turn narrower.

        Args:
            view: the other frame.
            known: motion to it that is expected.
        """
        if not len(view.boxes):
            return []
        middles = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
        sizes = self.faces[:, 2:] - self.faces[:, :2]
        for face in np.argsort(-sizes.prod(1)):
            middle = (self.faces[face, :2] + self.faces[face, 2:]) / 2
            away = np.linalg.norm(middles - known.apply(middle[None]), axis=1)
            nearest = int(away.argmin())
            if away[nearest] <= abs(known.a) * sizes[face].max():
                box = view.boxes[nearest]
                low, high = sorted((box[2:] - box[:2]) / np.maximum(sizes[face], 1))
                zoom = float(np.clip(1, low, high))
                return [Similarity(zoom, complex(*middles[nearest]) - zoom * complex(*middle))]
        return []

    def follow(
        self, grey: npt.NDArray[np.uint8], guesses: Sequence[Similarity]
    ) -> tuple[Similarity, float] | None:
        """Return the motion from this frame to another and the share of corners that agree.

        None when too few agree. guesses: motions from which the search starts; later ones are
        tried while too few corners agree.
        """
        best = None
        for guess in guesses:
            found = self._follow_from(grey, guess)
            if found is not None and (best is None or found[1] > best[1]):
                best = found
            if best is not None and best[1] >= RENEW_SHARE:
                break
        return best

    def _follow_from(
        self, grey: npt.NDArray[np.uint8], guess: Similarity
    ) -> tuple[Similarity, float] | None:
        if len(self.corners) < MIN_CORNERS:
            return None
        before, after = follow_corners((self.grey, grey), self.corners, guess, LEVELS)
        fitted = _fit(before, after, max(grey.shape))
        return None if fitted is None else (fitted[0], fitted[1] / len(self.corners))


def _fit(before: Array32, after: Array32, side: int) -> tuple[Similarity, int] | None:
    """Return the similarity of most points and the number of its inliers; None when unsure."""
    if len(before) < MIN_CORNERS or np.hypot(*before.std(0)) < MIN_SPREAD * side:
        return None
    matrix, chosen = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=500
    )
    if matrix is None:
        return None
    inliers = int(np.count_nonzero(chosen))
    if inliers < max(MIN_CORNERS, MIN_AGREEMENT * len(before)):
        return None
    return Similarity(complex(matrix[0, 0], matrix[1, 0]), complex(*matrix[:, 2])), inliers
