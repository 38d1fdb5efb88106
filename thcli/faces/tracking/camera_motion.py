"""Motion of the camera in a clip, from the background behind the people.

Corners of a key frame outside of the people are followed into each frame by pyramidal optical flow
(Bouguet 2001), and a similarity is fitted to them robustly (RANSAC, then least squares on the
inliers). The key frame is kept as long as most corners are seen again, so errors do not accumulate
while the camera shakes around one view. Displacements within the noise of a still camera are none.

Before a plain background the corners are those of the body below the faces, close to them where
no hair hangs beside the neck. A body sways by itself: its displacements count from where they are
too large for a person who stays in place, unless the background's shading shows that the camera
rests. Which of the two is followed is decided by a scene's first frame; but a camera that has moved
further than bodies sway goes on with the body where it loses the background, until the first frame
is seen again, and with the head where it loses both. Where neither can be followed, the torso's
motion counts as a body's does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array32, Face
from thcli.faces.tracking.aligned_pixels import GOOD, AlignedPixels
from thcli.faces.tracking.camera_key_frame import (
    MIN_CORNERS,
    RENEW_SHARE,
    CameraKeyFrame,
    CameraView,
)
from thcli.faces.tracking.corner_flow import find_strong
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import ReducedFrame
from thcli.faces.tracking.torso_motion import TorsoMotionEstimator

LONG_SIDE = 320  # pixels of the reduced frame
SURE_CORNERS = 16  # of a background; fewer give way to a body that has BODY_RATIO times as many
BODY_RATIO = 3
# Reduced pixels of motion at the frame's corners: a still camera's noise, and all of it motion.
STILL, MOVING = 0.6, 1.6
SWAYING, CARRIED = 16.0, 28.0  # the same of a body before a plain background
BESIDE_FACE = 0.6  # widths of a face's box beside and below it, where hair may hang
BESIDE_NECK = 0.05  # the same where none does
PERSON = 0.1  # probability of a person above which a pixel is not of the background
MARGIN = 0.03  # of the long side, around people
KEPT_SHARE = 0.4  # of the first frame's corners, with which it is followed on
RETRY = 12  # frames after which a background without corners is looked at again
# Difference of the first frame's background from where it is seen now, over that from the same
# places (rest), below which its pixels decide: to begin with, and while they do; the same over that
# from where corners show it; levels of 255 of noise, which do not count as difference from rest
EXPLAINED, CARRIES_ON, BETTER, NOISE = 0.5, 0.9, 0.9, 0.6
LEAST_SEEN = 0.25  # of that difference, from noise alone; nothing that is so still has moved
# Levels of difference from rest, and their share of those after the motion of a body or head, below
# which the camera rests: to begin with, and while it does
RESTS, KEEPS_RESTING = (GOOD, 0.8), (2.5, 1.15)
WAIT = 3  # frames after which pixels that could not decide are looked at again
MAX_SCALE = 1.8  # of a camera that pixels show, and its inverse
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
        self._first: CameraKeyFrame | None = None
        self._key: CameraKeyFrame | None = None
        self._previous: CameraView | None = None
        self._key_from_scene = self._frame_from_key = self._step = _IDENTITY
        self._head = 0j
        self._age = 0
        self._pixels: AlignedPixels | None = None
        self._lost = False
        self._by_pixels, self._waiting = False, 0
        self._at_rest = self._has_moved = False

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
        frame = ReducedFrame.of(image, LONG_SIDE)
        grey, factor = frame.grey, frame.factor
        boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4) * factor
        view = CameraView(frame, boxes)
        head = _head_position(faces) * factor
        if self._key is None or cut or self._key.grey.shape != grey.shape:
            self._torso, self.torso_track = TorsoMotionEstimator(), None
            people = self._people(view)
            self._first = self._key = self._key_frame(view, people, True, _IDENTITY)
            self._by_pixels, self._waiting = False, 0
            self._at_rest = self._has_moved = False
            self._pixels = AlignedPixels.of(grey, ~_near(people))
            self._key_from_scene = self._frame_from_key = self._step = _IDENTITY
        else:
            moved = head - self._head if head and self._head else 0j
            before = self._frame_from_key @ self._key_from_scene
            self._lost = True
            self._follow(view, moved)
            self._align_pixels(view, before)
            now = self._frame_from_key @ self._key_from_scene
            self._step = now @ before.inverse()
        self._previous, self._head = view, head
        camera = self._camera(self._frame_from_key @ self._key_from_scene, view)
        if self._torso.may_begin(boxes):
            self._torso.begin(frame, self._people(view), boxes, camera)
        torso = self._torso.follow(frame, boxes, camera)
        if torso is not None and self._shows_nothing:  # as of a body, less than its sway is none
            self._frame_from_key = torso @ self._key_from_scene.inverse()
            camera = self._camera(torso, view)
        self.torso = None if torso is None else _enlarge(torso, factor)
        if self.torso_track is None:
            for face, box in zip(faces, boxes, strict=True):
                if self._torso.box is not None and (box == self._torso.box).all():
                    self.torso_track = face.track
        return _enlarge(camera, factor)

    def _people(self, view: CameraView) -> npt.NDArray[np.uint8]:
        """Return where people are in a reduced frame, (h, w) 0 or 1."""
        return (self._person(view.frame.colour()) > PERSON).astype(np.uint8)

    def _camera(self, motion: Similarity, view: CameraView) -> Similarity:
        """Return the camera's motion to a frame for what was measured there."""
        assert self._first is not None
        unsure = self._first.of_body or len(self._first.corners) < MIN_CORNERS
        camera = _without_noise(motion, view, (SWAYING, CARRIED) if unsure else (STILL, MOVING))
        is_told = self._key is self._first and not unsure and not self._lost
        if self._pixels is None or is_told or self._has_moved or camera == _IDENTITY:
            return camera
        rest, moved = self._pixels.compare(view.grey, motion)
        most, ratio = KEEPS_RESTING if self._at_rest else RESTS
        self._at_rest = rest < min(most, ratio * moved)
        self._has_moved = not self._at_rest and _is_carried(camera, view)
        return _IDENTITY if self._at_rest else camera

    def _next_key_frame(self, view: CameraView, from_scene: Similarity) -> CameraKeyFrame:
        assert self._first is not None
        carried = _is_carried(from_scene, view)
        camera = self._camera(from_scene, view)
        may_be_of_body, people = self._first.of_body or carried, self._people(view)
        return self._key_frame(view, people, may_be_of_body, camera, carried=carried)

    def _key_frame(
        self,
        view: CameraView,
        people: npt.NDArray[np.uint8],
        may_be_of_body: bool,
        from_scene: Similarity,
        *,
        carried: bool = False,
    ) -> CameraKeyFrame:
        """Return a frame as a key frame, and look for a torso until one was seen.

        Args:
            view: the frame.
            people: (h, w) 0 or 1, where it shows people.
            may_be_of_body: whether a body may take the place of a background.
            from_scene: the camera's motion to it.
            carried: the camera has moved further than a body sways, so that hair beside the neck,
                which swings, hardly counts.
        """
        self._age = 0
        if not self._torso.has_begun:
            self._torso.begin(view.frame, people, view.boxes, from_scene)
        strong = find_strong(view.grey)
        corners = view.find_corners(strong & ~_near(people))
        if len(corners) >= SURE_CORNERS or not (may_be_of_body and len(view.boxes)):
            return CameraKeyFrame(view.grey, corners, view.boxes)
        inside = cv2.erode(people, _margin(people)) > 0
        body = view.find_corners(strong & inside & view.below_faces(BESIDE_FACE))
        if len(body) < MIN_CORNERS and (carried or view.shows_necks(people)):
            body = view.find_corners(strong & inside & view.below_faces(BESIDE_NECK))
        of_body = len(body) >= MIN_CORNERS
        if len(corners) >= MIN_CORNERS:  # a wall's noise, or a background that hardly shows
            of_body = len(body) >= BODY_RATIO * len(corners)
        return CameraKeyFrame(view.grey, body if of_body else corners, view.boxes, of_body)

    def _follow(self, view: CameraView, head: complex) -> None:
        """Update the motion: from the key frame, else from the previous frame as the key frame.

        head: motion of the largest face since the previous frame.
        """
        assert self._first is not None and self._key is not None and self._previous is not None
        self._age += 1
        if len(self._key.corners) < MIN_CORNERS and self._age < RETRY:
            self._follow_person(view)
            return
        known = self._frame_from_key
        guesses = [known, self._step @ known, Similarity(1, head) @ known]
        if self._is_of_body:
            guesses += self._key.head_motion(view, known)
        fitted = self._key.follow(view.grey, guesses)
        if fitted is None and self._age > 1:
            self._key_from_scene = known @ self._key_from_scene
            self._key = self._next_key_frame(self._previous, self._key_from_scene)
            self._frame_from_key = _IDENTITY
            fitted = self._key.follow(view.grey, [_IDENTITY, self._step, Similarity(1, head)])
        if fitted is not None:
            self._frame_from_key, share = fitted
            if share >= (KEPT_SHARE if self._key is self._first else RENEW_SHARE):
                self._lost = False
                if self._key is not self._first:  # errors of later key frames add up
                    self._return_to_first(view)
                return
        else:
            self._follow_person(view)
        self._renew(view)

    def _align_pixels(self, view: CameraView, before: Similarity) -> None:
        """Move the camera to where the pixels of the first frame's background are seen.

        Corners of that frame need no help. Its other pixels decide where they tell a motion from
        rest, and from what later key frames say, whose errors add up.

        Args:
            view: the frame.
            before: the motion to the frame before it.
        """
        assert self._first is not None
        on_first = self._key is self._first and not self._lost
        if self._pixels is None or (on_first and not self._first.of_body):
            return
        self._waiting -= 1
        if self._waiting > 0:
            return
        now = self._frame_from_key @ self._key_from_scene
        guesses = [now, before, *self._first.head_motion(view, before)]
        least = CARRIES_ON if self._by_pixels else EXPLAINED
        found = self._pixels.align(view.grey, guesses, NOISE + LEAST_SEEN / least)
        accepted = found is not None and 1 / MAX_SCALE < abs(found[0].a) < MAX_SCALE
        if found is not None and accepted:
            motion, seen, followed, rest = found
            out_of_frame = rest != rest
            accepted = (self._by_pixels and out_of_frame) or seen < least * (rest - NOISE)
            if accepted and not followed * BETTER <= seen:
                self._frame_from_key = motion @ self._key_from_scene.inverse()
        self._by_pixels, self._waiting = accepted, 0 if accepted else WAIT

    def _follow_person(self, view: CameraView) -> None:
        """Take the head's motion for the camera's where nothing else that it moves is seen.

        So do a camera that follows a body and one that has moved further than a person sways.
        """
        assert self._key is not None
        from_scene = self._frame_from_key @ self._key_from_scene
        if not (self._is_of_body or _is_carried(from_scene, view)):
            return
        if not self._return_to_first(view):
            for moved in self._key.head_motion(view, self._frame_from_key):
                self._frame_from_key = moved

    @property
    def _is_of_body(self) -> bool:
        assert self._first is not None and self._key is not None
        return self._first.of_body or self._key.of_body

    @property
    def _shows_nothing(self) -> bool:
        """True where neither the first frame nor the key frame has anything to be followed by."""
        assert self._first is not None and self._key is not None
        corners = max(len(self._first.corners), len(self._key.corners))
        return corners < MIN_CORNERS and not self._by_pixels

    def _return_to_first(self, view: CameraView) -> bool:
        """Follow the scene's first frame again if it is seen, and return whether it is."""
        assert self._first is not None
        guesses = [self._frame_from_key @ self._key_from_scene]
        if self._is_of_body:
            guesses += self._first.head_motion(view, guesses[0])
        fitted = self._first.follow(view.grey, guesses)
        if fitted is None or fitted[1] < RENEW_SHARE:
            return False
        self._key, self._key_from_scene = self._first, _IDENTITY
        self._frame_from_key = fitted[0]
        return True

    def _renew(self, view: CameraView) -> None:
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


def _near(people: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return where people (h, w) are, and what is close to them."""
    return np.asarray(cv2.dilate(people, _margin(people)) > 0)


def _margin(people: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the square of MARGIN in pixels of a mask (h, w)."""
    reach = 2 * round(MARGIN * max(people.shape)) + 1
    return np.ones((reach, reach), np.uint8)


def _head_position(faces: Sequence[Face]) -> complex:
    """Return the middle of the largest face's box as x + iy, 0 without faces."""
    if not faces:
        return 0j
    box = max(faces, key=lambda face: face.area).box
    return complex(float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)


def _without_noise(motion: Similarity, view: CameraView, limits: tuple[float, float]) -> Similarity:
    """Return the identity for a motion within the first limit, all of it beyond the second."""
    share = float(smoothstep(*limits, view.corner_motion(motion)))
    return Similarity(1 + share * (motion.a - 1), share * motion.b)


def _is_carried(motion: Similarity, view: CameraView) -> bool:
    """Return whether a camera has moved further than a person sways."""
    return view.corner_motion(motion) > CARRIED
