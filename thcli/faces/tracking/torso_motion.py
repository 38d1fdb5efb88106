"""Motion of a person's torso in a clip, apart from the head.

Corners of the clothes below the largest face are followed from the scene's first frame by pyramidal
optical flow (Bouguet 2001), and a similarity is fitted to most of them (RANSAC, then least
squares). Hands that move before them are outvoted. Where the first frame's corners are lost, those
of a later frame are followed until they are seen again.

A motion counts as far as it explains the pixels of the torso better than a torso at rest in the
scene does: arms, sleeves and what hands hold also agree on a motion now and then.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32, Image
from thcli.faces.tracking.corner_flow import find_corners, find_strong, follow_corners
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.reduced_frame import Grey, ReducedFrame
from thcli.faces.tracking.torso_alignment import TorsoAlignment
from thcli.faces.tracking.torso_pixels import TorsoPixels

MAX_CORNERS = 40
MIN_CORNERS = 6  # seen again; fewer give no estimate
MIN_AGREEMENT = 0.5  # share of the followed corners that one similarity explains
# Distance of Cr and Cb from the face's that is skin: hands; least of a face that is not grey
SKIN, MIN_COLOUR = 9.0, 8.0
KEPT_SHARE = 0.4  # of a key frame's corners; below it a later frame becomes the key frame
TOLERANCE = 1.0  # reduced pixels of an inlier
MIN_SPREAD = 0.3  # widths of the face's box, deviation of corners that tell zoom and roll
# Widths of the face's box from which corners are taken: beside its middle, and below its edge.
# Hair hangs beside the first depth, hands and laps are below the second.
REACH, BELOW = 1.7, (0.35, 2.0)
FACE_SIDE = 0.6  # widths beside the middle within which there may be hair down to HAIR_BELOW
HAIR_BELOW = 0.6
MAX_STEP = 0.5  # widths of the face's box between two frames, above which the flow is wrong
INSIDE = 0.02  # of the long side, from a person's edge to its corners
LEVELS = 3  # of the pyramid
TRUST_FRAMES = 6.0  # over which trust fades
# A scene that began without a face: frames that are searched for a torso, and frames between them
LATE_LOOKS, RETRY = 4, 12
_IDENTITY = Similarity()


@dataclass(frozen=True, slots=True)
class _KeyFrame:
    """A reduced frame whose corners (N, 1, 2) are followed, and its motion from the scene.

    box: (4,) of the face.  people: (h, w) 0 or 1.
    """

    grey: Grey
    corners: Array32
    box: Array
    people: Grey
    from_scene: Similarity = _IDENTITY


class TorsoMotionEstimator:
    """Torso of every frame of a clip, against the first frame of its scene. Not thread-safe."""

    def __init__(self) -> None:
        self._first: _KeyFrame | None = None
        self._key: _KeyFrame | None = None
        self._previous: tuple[ReducedFrame, Array] | None = None
        self._motion = self._camera = _IDENTITY
        self._pixels: TorsoPixels | None = None
        self._alignment: TorsoAlignment | None = None
        self._from_scene, self._trust = _IDENTITY, 1.0
        self._looks: int | None = None  # that are left
        self._since_look = RETRY

    def begin(
        self, frame: ReducedFrame, people: Grey, boxes: Array, from_scene: Similarity = _IDENTITY
    ) -> None:
        """Begin a scene, or look for a torso in a later frame of it.

        Args:
            frame: that shows the scene.
            people: (h, w) where people are, 0 or 1.
            boxes: (N, 4) of the faces in reduced pixels.
            from_scene: motion of the camera since the scene's first frame, in reduced pixels.
        """
        self._motion, self._camera, self._previous = from_scene, from_scene, None
        self._from_scene, self._trust = from_scene, 1.0
        self._first = self._key = self._alignment = None
        if self._looks is None:
            self._looks = 0 if len(boxes) else LATE_LOOKS
        if len(boxes):
            box = _largest(boxes)
            self._first = _find_key(frame, people, box, from_scene)
            self._key, self._previous = self._first, (frame, box)
            skin = _skin(frame.colour(), box)
            self._alignment = TorsoAlignment.of(frame.grey, people, box, skin)
            self._pixels = TorsoPixels.of(frame.grey, people, box)

    def may_begin(self, boxes: Array) -> bool:
        """Return whether to look for a torso in a frame with faces (N, 4), after `begin`.

        A scene that began without a face is searched a few times; the camera's key frames may be
        far apart.
        """
        self._since_look += 1
        if self.has_begun or not self._looks or not len(boxes) or self._since_look < RETRY:
            return False
        self._looks, self._since_look = self._looks - 1, 0
        return True

    @property
    def has_begun(self) -> bool:
        """True when the scene has shown a torso that can be followed."""
        return self._first is not None or self._alignment is not None

    @property
    def box(self) -> Array | None:
        """Return the box (4,) of the torso's face as last seen; None before it has begun."""
        return self._previous[1] if self.has_begun and self._previous is not None else None

    def follow(
        self, frame: ReducedFrame, boxes: Array, camera: Similarity = _IDENTITY
    ) -> Similarity | None:
        """Return the torso's motion frame_from_scene in reduced pixels; see `begin`.

        It fades to rest in the scene where it explains the torso's pixels no better. None where the
        torso is not seen.

        Args:
            frame, boxes: see `begin`.
            camera: its motion since the scene's first frame.
        """
        if not self.has_begun or self._previous is None:
            return None
        grey, box = frame.grey, _nearest(boxes, self._previous[1])
        # what the torso does not tell, above all its zoom, is the camera's
        step, self._camera = camera @ self._camera.inverse(), camera
        expected = step @ self._motion
        at = _middle(self._previous[1])
        moved = 0j if box is None else _middle(box) - (step.a * at + step.b)
        found = self._by_corners(grey, expected, moved)
        if found is None and self._alignment is not None:
            begun = self._from_scene
            guesses = [
                guess @ begun.inverse() for guess in (expected, Similarity(1, moved) @ expected)
            ]
            aligned = self._alignment.follow(grey, guesses)
            found = None if aligned is None else aligned @ begun
        self._motion = expected if found is None else found
        self._previous = frame, self._previous[1] if box is None else box
        return None if found is None else self._trusted(grey, found, camera)

    def _by_corners(self, grey: Grey, expected: Similarity, head: complex) -> Similarity | None:
        """Return the motion that corners show; see `_from_key`."""
        if self._first is None or self._key is None:
            return None
        found = self._from_key(self._key, grey, expected, head)
        if found is None or self._key is not self._first:
            again = self._from_key(self._first, grey, expected, head)
            if again is not None:
                self._key, found = self._first, again
        if found is None:
            self._renew()
            found = self._from_key(self._key, grey, expected, head)
        return found

    def _trusted(self, grey: Grey, found: Similarity, camera: Similarity) -> Similarity:
        """Return a motion, faded to the camera's as far as it is not trusted."""
        assert self._pixels is not None
        begun = self._from_scene.inverse()
        trust, surely = self._pixels.judge(grey, found @ begun, camera @ begun)
        self._trust += (trust - self._trust) * surely / TRUST_FRAMES
        share = self._trust
        return Similarity(
            camera.a + share * (found.a - camera.a), camera.b + share * (found.b - camera.b)
        )

    def _from_key(
        self, key: _KeyFrame, grey: Grey, expected: Similarity, head: complex
    ) -> Similarity | None:
        """Return the motion as a key frame's corners show it, if most agree.

        expected: motion of a torso that has moved with the camera alone since the previous frame.
        head: motion of the face since then without the camera's, a guess at the
            torso's.
        """
        known = expected @ key.from_scene.inverse()
        for guess in (known, Similarity(1, head) @ known):
            found = _follow_corners(key, grey, guess)
            if found is None:
                continue
            here = np.array([[(key.box[0] + key.box[2]) / 2, key.box[3]]])
            step = float(np.linalg.norm(found.apply(here) - known.apply(here)))
            if step <= MAX_STEP * float(key.box[2] - key.box[0]):
                return found @ key.from_scene
        return None

    def _renew(self) -> None:
        """Make the previous frame the key frame, with the people moved to where they are."""
        assert self._first is not None and self._previous is not None
        frame, box = self._previous
        moved = self._motion @ self._first.from_scene.inverse()
        a, b = moved.a, moved.b
        matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float64)
        people = cv2.warpAffine(
            self._first.people, matrix, frame.grey.shape[::-1], flags=cv2.INTER_NEAREST
        )
        found = _find_key(frame, np.asarray(people, np.uint8), box, self._motion)
        if found is not None:
            self._key = found


def _find_key(
    frame: ReducedFrame, people: Grey, box: Array, from_scene: Similarity
) -> _KeyFrame | None:
    """Return a key frame with the corners of the torso below a face; None with too few."""
    grey = frame.grey
    width, (x, _) = float(box[2] - box[0]), ((box[:2] + box[2:]) / 2)
    side = 2 * max(1, round(INSIDE * max(grey.shape))) + 1
    region = cv2.erode(people, np.ones((side, side), np.uint8))
    rows, columns = np.arange(grey.shape[0])[:, None], np.arange(grey.shape[1])[None]
    below, beside = (rows - box[3]) / max(width, 1), np.abs(columns - x) / max(width, 1)
    within = (below > BELOW[0]) & (below < BELOW[1]) & (beside < REACH)
    within &= (beside > FACE_SIDE) | (below > HAIR_BELOW)
    within &= ~_skin(frame.colour(), box)
    within &= find_strong(grey) & (region > 0)
    corners = find_corners(grey, within, MAX_CORNERS, 5)
    if len(corners) < MIN_CORNERS:
        return None
    return _KeyFrame(grey, corners, box, people, from_scene)


def _follow_corners(key: _KeyFrame, grey: Grey, guess: Similarity) -> Similarity | None:
    """Return the similarity of most of a key frame's corners; None where they are lost."""
    before, after = follow_corners((key.grey, grey), key.corners, guess, LEVELS)
    if len(before) < max(MIN_CORNERS, KEPT_SHARE * len(key.corners)):
        return None
    matrix, chosen = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=TOLERANCE, maxIters=300
    )
    if matrix is None:
        return None
    agree = chosen[:, 0] > 0
    if agree.sum() < max(MIN_CORNERS, MIN_AGREEMENT * len(before)):
        return None
    before, after = before[agree], after[agree]
    if np.hypot(*before.std(0)) < MIN_SPREAD * (key.box[2] - key.box[0]):
        return Similarity(guess.a, complex(*(after - guess.apply(before)).mean(0)) + guess.b)
    return Similarity(complex(matrix[0, 0], matrix[1, 0]), complex(*matrix[:, 2]))


def _largest(boxes: Array) -> Array:
    return np.asarray(boxes[int(np.argmax((boxes[:, 2:] - boxes[:, :2]).prod(1)))])


def _nearest(boxes: Array, to: Array) -> Array | None:
    """Return the box that is nearest to another one, None where all are a face away."""
    if not len(boxes):
        return None
    away = np.abs((boxes[:, :2] + boxes[:, 2:] - to[:2] - to[2:]) / 2).max(1)
    nearest = int(np.argmin(away))
    return np.asarray(boxes[nearest]) if away[nearest] <= to[2] - to[0] else None


def _middle(box: Array) -> complex:
    return complex(box[0] + box[2], box[1] + box[3]) / 2


def _skin(small: Image, box: Array) -> npt.NDArray[np.bool_]:
    """Return where a reduced frame has the colour of the face in a box (4,), (h, w).

    Hands before the body have; what a face in black and white has says nothing.
    """
    colour = cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb)
    (x, y), size = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 4
    rows, columns = (
        slice(max(int(c - r), 0), max(int(c + r), 0) + 1) for c, r in ((y, size[1]), (x, size[0]))
    )
    face = colour[rows, columns, 1:].reshape(-1, 2)
    if not len(face):
        return np.zeros(small.shape[:2], np.bool_)
    tone = np.median(face, 0)
    if np.abs(tone - 128).sum() < MIN_COLOUR:
        return np.zeros(small.shape[:2], np.bool_)
    low, high = np.floor(tone - SKIN) + 1, np.ceil(tone + SKIN) - 1
    alike = cv2.inRange(colour, np.array([0, *low]), np.array([255, *high]))
    return np.asarray(cv2.dilate(alike, np.ones((3, 3), np.uint8)) > 0)
