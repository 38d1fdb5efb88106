"""Motion of the camera in a clip, from the background behind the people.

Corners of a key frame outside of the people are followed into each frame by pyramidal optical flow
(Bouguet 2001), and a similarity is fitted to them robustly (RANSAC, then least squares on the
inliers). The key frame is kept as long as most corners are seen again, so errors do not accumulate
while the camera shakes around one view. Displacements within the noise of a still camera are none.

Before a plain background the corners are those of the body below the faces, close to them where
no hair hangs beside the neck. A body sways by itself: its displacements count from where they are
too large for a person who stays in place. Which of the two is followed is decided by a scene's
first frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.types import Array, Array32, Face
from thcli.faces.tracking.corner_flow import follow_corners
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.torso_motion import TorsoMotionEstimator

LONG_SIDE = 320  # pixels of the reduced frame
MAX_CORNERS = 160
MIN_CORNERS = 8  # seen again; fewer give no estimate
SURE_CORNERS = 16  # of a background; fewer give way to a body that has BODY_RATIO times as many
BODY_RATIO = 3
MIN_SPREAD = 0.12  # of the long side, standard deviation of the corners
RENEW_SHARE = 0.5  # of a key frame's corners; below it the next frame becomes the key frame
MIN_AGREEMENT = 0.5  # share of the followed corners that one similarity explains
TOLERANCE = 1.0  # reduced pixels of an inlier
# Reduced pixels of motion at the frame's corners: a still camera's noise, and all of it motion.
STILL, MOVING = 0.6, 1.6
SWAYING, CARRIED = 16.0, 28.0  # the same of a body before a plain background
BESIDE_FACE = 0.6  # widths of a face's box beside and below it, where hair may hang
BESIDE_NECK = 0.05  # the same where none does
# A neck without hair beside it: the person's width over the box's, at most, and the share of the
# box's height above its lower edge where it is measured.
NECK_WIDTH, NECK_HEIGHT = 1.15, 0.2
MIN_STRENGTH = 5e-5  # least eigenvalue of a corner's structure tensor; noise has less
PERSON = 0.1  # probability of a person above which a pixel is not of the background
MARGIN = 0.03  # of the long side, around people
RETRY = 12  # frames after which a background without corners is looked at again
LEVELS = 4  # of the pyramid
_IDENTITY = Similarity()


PersonProbability = Callable[[npt.NDArray[Any]], Array32]
"""Maps an image (H, W, 3) uint8 to the probability of a person, (H, W) float32 in 0..1."""


class CameraMotionEstimator:
    """Camera of every frame of a clip, against the first frame of its scene. Not thread-safe.

    person: segments the people of a key frame.
    torso: frame_from_scene of the torso in the last frame, in its pixels; None where none is seen.
    torso_track: number of the face that the scene's torso belongs to; None before one was seen.
    """

    def __init__(self, person: PersonProbability) -> None:
        self._person = person
        self._torso = TorsoMotionEstimator()
        self.torso: Similarity | None = None
        self.torso_track: int | None = None
        self._first: _KeyFrame | None = None
        self._key: _KeyFrame | None = None
        self._previous: _View | None = None
        self._key_from_scene = self._frame_from_key = self._step = _IDENTITY
        self._head = 0j
        self._age = 0

    def estimate(
        self, image: npt.NDArray[Any], faces: Sequence[Face] = (), *, cut: bool = False
    ) -> Similarity:
        """Return the similarity frame_from_scene of the next frame, in its pixels.

        It is the identity where the camera is still, and the last one where the background shows
        too little.

        Args:
            image: (H, W, 3) uint8 or uint16.
            faces: of the frame. The largest one's motion is a first guess at the camera's.
            cut: the frame begins a new scene.
        """
        height, width = image.shape[:2]
        factor = min(1.0, LONG_SIDE / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        resized = cv2.resize(to_uint8(image), size, interpolation=cv2.INTER_AREA)
        small = np.asarray(resized, np.uint8)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4) * factor
        view = _View(grey, small, boxes)
        head = _head_position(faces) * factor
        if self._key is None or cut or self._key.grey.shape != grey.shape:
            self._torso, self.torso_track = TorsoMotionEstimator(), None
            self._first = self._key = self._key_frame(view, True, _IDENTITY)
            self._key_from_scene = self._frame_from_key = self._step = _IDENTITY
        else:
            moved = head - self._head if head and self._head else 0j
            before = self._frame_from_key @ self._key_from_scene
            self._follow(view, moved)
            now = self._frame_from_key @ self._key_from_scene
            self._step = now @ before.inverse()
        self._previous, self._head = view, head
        camera = self._camera(self._frame_from_key @ self._key_from_scene, size)
        if self._torso.may_begin(boxes):
            self._torso.begin(small, self._people(small), boxes, camera)
        torso = self._torso.follow(small, boxes, camera)
        self.torso = None if torso is None else _enlarge(torso, factor)
        if self.torso_track is None:
            for face, box in zip(faces, boxes, strict=True):
                if self._torso.box is not None and (box == self._torso.box).all():
                    self.torso_track = face.track
        return _enlarge(camera, factor)

    def _people(self, small: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return where people are in a reduced frame, (h, w) 0 or 1."""
        return (self._person(small) > PERSON).astype(np.uint8)

    def _camera(self, motion: Similarity, size: tuple[int, int]) -> Similarity:
        """Return the camera's motion for what was measured in frames of a reduced size."""
        assert self._first is not None
        limits = (SWAYING, CARRIED) if self._first.of_body else (STILL, MOVING)
        return _without_noise(motion, size, limits)

    def _next_key_frame(self, view: _View, from_scene: Similarity) -> _KeyFrame:
        assert self._first is not None
        height, width = view.grey.shape
        return self._key_frame(view, self._first.of_body, self._camera(from_scene, (width, height)))

    def _key_frame(self, view: _View, may_be_of_body: bool, from_scene: Similarity) -> _KeyFrame:
        """Return a frame as a key frame, and look for a torso until one was seen.

        from_scene: the camera's motion to it.
        """
        self._age = 0
        reach = 2 * round(MARGIN * max(view.grey.shape)) + 1
        people = self._people(view.small)
        if not self._torso.has_begun:
            self._torso.begin(view.small, people, view.boxes, from_scene)
        near = cv2.dilate(people, np.ones((reach, reach), np.uint8))
        strong = view.find_strong()
        corners = view.find_corners(strong & (near == 0))
        if len(corners) >= SURE_CORNERS or not (may_be_of_body and len(view.boxes)):
            return _KeyFrame(view.grey, corners, view.boxes)
        inside = cv2.erode(people, np.ones((reach, reach), np.uint8)) > 0
        body = view.find_corners(strong & inside & view.below_faces(BESIDE_FACE))
        if len(body) < MIN_CORNERS and view.shows_necks(people):
            body = view.find_corners(strong & inside & view.below_faces(BESIDE_NECK))
        of_body = len(body) >= MIN_CORNERS
        if len(corners) >= MIN_CORNERS:  # a wall's noise, or a background that hardly shows
            of_body = len(body) >= BODY_RATIO * len(corners)
        return _KeyFrame(view.grey, body if of_body else corners, view.boxes, of_body)

    def _follow(self, view: _View, head: complex) -> None:
        """Update the motion: from the key frame, else from the previous frame as the key frame.

        head: motion of the largest face since the previous frame.
        """
        assert self._first is not None and self._key is not None and self._previous is not None
        self._age += 1
        if len(self._key.corners) < MIN_CORNERS and self._age < RETRY:
            if self._first.of_body:
                self._follow_head(view)
            return
        known = self._frame_from_key
        guesses = [known, self._step @ known, Similarity(1, head) @ known]
        if self._first.of_body:
            guesses += self._key.head_motion(view, known)
        fitted = self._key.follow(view.grey, guesses)
        if fitted is None and self._age > 1:
            self._key_from_scene = known @ self._key_from_scene
            self._key = self._next_key_frame(self._previous, self._key_from_scene)
            self._frame_from_key = _IDENTITY
            fitted = self._key.follow(view.grey, [_IDENTITY, self._step, Similarity(1, head)])
        if fitted is not None:
            self._frame_from_key, share = fitted
            if share >= RENEW_SHARE:
                if self._may_return:
                    self._return_to_first(view)
                return
        elif self._first.of_body:
            self._follow_head(view)
        self._renew(view)

    def _follow_head(self, view: _View) -> None:
        """Take the head's motion for the camera's where the body is out of the frame."""
        assert self._key is not None
        if not self._return_to_first(view):
            for moved in self._key.head_motion(view, self._frame_from_key):
                self._frame_from_key = moved

    @property
    def _may_return(self) -> bool:
        """True while a later frame than the scene's first is followed on a body.

        Corners of a body are lost soon, and errors of the key frames add up.
        """
        assert self._first is not None
        return self._first.of_body and self._key is not self._first

    def _return_to_first(self, view: _View) -> bool:
        """Follow the scene's first frame again if it is seen, and return whether it is."""
        assert self._first is not None
        guesses = [self._frame_from_key @ self._key_from_scene]
        if self._first.of_body:
            guesses += self._first.head_motion(view, guesses[0])
        fitted = self._first.follow(view.grey, guesses)
        if fitted is None or fitted[1] < RENEW_SHARE:
            return False
        self._key, self._key_from_scene = self._first, _IDENTITY
        self._frame_from_key = fitted[0]
        return True

    def _renew(self, view: _View) -> None:
        """Follow the scene's first frame again if it is seen, else make a frame the key frame."""
        frame_from_scene = self._frame_from_key @ self._key_from_scene
        if self._key is self._first or not self._return_to_first(view):
            self._key = self._next_key_frame(view, frame_from_scene)
            self._key_from_scene, self._frame_from_key = frame_from_scene, _IDENTITY


def _enlarge(motion: Similarity, factor: float) -> Similarity:
    """Return a motion of reduced pixels in those of the frame, reduced by a factor."""
    # pixel centres have whole coordinates: reduced = factor * x + offset
    offset = 0.5 * (factor - 1) * (1 + 1j)
    return Similarity(motion.a, (motion.b + motion.a * offset - offset) / factor)


def _head_position(faces: Sequence[Face]) -> complex:
    """Return the middle of the largest face's box as x + iy, 0 without faces."""
    if not faces:
        return 0j
    box = max(faces, key=lambda face: face.area).box
    return complex(float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)


@dataclass(frozen=True, slots=True)
class _View:
    """A reduced frame (h, w), in colour (h, w, 3), and the boxes (N, 4) of its faces."""

    grey: npt.NDArray[np.uint8]
    small: npt.NDArray[np.uint8]
    boxes: Array

    def find_strong(self) -> npt.NDArray[np.bool_]:
        """Find pixels (h, w) whose corners are stronger than noise."""
        return np.asarray(cv2.cornerMinEigenVal(self.grey, 3) > MIN_STRENGTH)

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
        mask = np.where(region, 255, 0).astype(np.uint8)
        found = cv2.goodFeaturesToTrack(self.grey, MAX_CORNERS, 1e-3, 6, mask=mask)
        return np.asarray(np.zeros((0, 1, 2)) if found is None else found, np.float32)


@dataclass(frozen=True, slots=True)
class _KeyFrame:
    """A reduced frame and corners (N, 1, 2) of its background, or of a body before a plain one.

    faces: (N, 4) boxes.
    """

    grey: npt.NDArray[np.uint8]
    corners: Array32
    faces: Array
    of_body: bool = False

    def head_motion(self, view: _View, known: Similarity) -> list[Similarity]:
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


def _without_noise(
    motion: Similarity, size: tuple[int, int], limits: tuple[float, float]
) -> Similarity:
    """Return the identity for a motion within the first limit, all of it beyond the second."""
    corners: Array = np.array([(0, 0), (size[0], 0), (0, size[1]), size], np.float64)
    largest = np.linalg.norm(motion.apply(corners) - corners, axis=1).max()
    share = float(smoothstep(*limits, largest))
    return Similarity(1 + share * (motion.a - 1), share * motion.b)
