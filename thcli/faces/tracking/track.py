"""Face tracker: the mesh network from frame to frame, the detector only when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.core.geometry import box_iou, is_apart
from thcli.core.protocols import Detector, FastDetector, IdentityEncoder, Landmarker
from thcli.core.types import Array32, Face, Image
from thcli.faces.crops.crop import transform_face
from thcli.faces.identity.aligned_crop import aligned_crop
from thcli.faces.landmarks.detected import CERTAIN_LOGIT, drop_doubtful
from thcli.faces.tracking.cuts import CutDetector
from thcli.faces.tracking.shape import (
    SAME_PERSON_CERTAIN,
    SAME_PERSON_LIKELY,
    SAME_PERSON_POSSIBLE,
    shape_distance,
)

Pixels = npt.NDArray[Any]
# Frames of a track, with a confident mesh, at which its face is kept for later recognition.
SAMPLE_AGES = (1, 12, 48, 192)
MAX_REMEMBERED_TRACKS = 64  # tracks kept beyond the memory, for their identity
# Of the cosine of one person: below it even a face in the right place is another person.
DIFFERENT_PERSON = 0.5
STEADY_STEP = 0.03  # of a face's side a frame, below which it is expected where it was


@runtime_checkable
class MeshLandmarker(Protocol):
    """Landmarker that can also follow a face from the frame before."""

    def fit(self, image: Pixels, face: Face) -> Face | None: ...
    def refit(self, image: Pixels, face: Face) -> Face | None: ...


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    """Parameters of the tracker; lengths are in frames."""

    detect_every: int = 24  # search for more faces, while some are tracked
    detect_every_missing: int = 6  # the same, while a face is missing
    # A face that returns within this keeps its number, when position and size are plausible.
    memory: int = 250
    # With no face: search for small and rotated faces, with a fast pass in between.
    thorough_every: int = 12
    # Logit of the mesh network to begin a track (a face has 15 to 32, a wall -24 to 3).
    start_logit: float = 10.0
    confident_logit: float = CERTAIN_LOGIT  # from which a mesh represents the shape of its face
    # Below it a track ends: a face half out of the image has 10, a half-occluded one 18.
    end_logit: float = 5.0
    overlap: float = 0.3  # share of the smaller box above which two tracks are one face
    max_faces: int = 12


@dataclass(slots=True)
class _Track:
    """State of one track.

    face: as last seen.  last_seen: its frame.  age: frames seen.  confident_face: as last seen with
    a confident mesh, because a face at the edge is distorted.  sample_count: crops taken.  crops:
    aligned, not yet encoded.  vector: sum of identity vectors.  step: (2,) pixels that it moved by
    from the frame before.
    """

    number: int
    face: Face
    last_seen: int
    age: int = 1
    confident_face: Face | None = None
    sample_count: int = 0
    crops: list[Image] = field(default_factory=list)
    vector: Array32 | None = None
    before_cut: bool = False
    step: Array32 = field(default_factory=lambda: np.zeros(2, np.float32))


class Tracker:
    """Stable numbers for the faces of a clip, fed frame by frame in display order.

    Holds the last face of each track, and with `identity` four small crops of it; no frames. The
    identity network runs only when a face appears that may be a lost one (after a cut, among
    several, in another place): a clip of one person never needs it. Not thread-safe.

    Raises UsageError for a landmarker that cannot follow a mesh.
    """

    def __init__(
        self,
        detector: Detector,
        landmarker: Landmarker,
        *,
        identity: IdentityEncoder | None = None,
        options: TrackerOptions | None = None,
    ) -> None:
        if not isinstance(landmarker, MeshLandmarker):
            raise UsageError(
                f"The landmarker {type(landmarker).__name__} fits no mesh; it cannot follow faces.",
                "Use --landmarker facemesh. Others can add their points to a face with a mesh.",
            )
        self._detector = detector
        self._landmarker = landmarker
        self._identity = identity
        self._options = options or TrackerOptions()
        self._cuts = CutDetector()
        self._active: list[_Track] = []
        self._lost: list[_Track] = []
        self._frame = -1
        self._next = 0
        self._last_detection = 0
        self._last_thorough = -(10**9)
        self.cut = False  # True when the last frame began a new scene
        self.detections = 0  # runs of the detector

    def update(self, image: Pixels) -> list[Face]:
        """Return the faces of the next frame, oldest track first; [] when there is none.

        image: (H, W, 3) RGB uint8 or uint16. Each face has mesh, iris, logit and its track number.
        """
        self._frame += 1
        self.cut = self._cuts.is_cut(image)
        if self.cut:
            for track in self._active:
                track.before_cut = True
            self._lost += self._active
            self._active = []
        self._follow(image)
        if self._detection_due():
            self._detect_new(image)
        self._lost = [t for t in self._lost if self._in_memory(t) or t.sample_count][
            -MAX_REMEMBERED_TRACKS:
        ]
        return [track.face for track in self._active]

    def _follow(self, image: Pixels) -> None:
        """Refit every active track; drop those that lost their face or overlap another."""
        kept: list[_Track] = []
        for track in self._active:
            face = self._landmarker.refit(image, _predict(track))
            # After a jump the region was wrong: refit once more around the new position.
            if face is not None and _jumped(track.face, face):
                face = self._landmarker.refit(image, face)
            if face is None or face.logit < self._options.end_logit or not _inside(face, image):
                self._lost.append(track)
            elif is_apart(face.box, (other.face.box for other in kept), self._options.overlap):
                track.step = _box_centre(face) - _box_centre(track.face)
                track.face = replace(face, track=track.number)
                if face.logit >= self._options.confident_logit:
                    track.confident_face = track.face
                track.last_seen = self._frame
                track.age += 1
                self._sample_identity(track, image)
                kept.append(track)
            else:
                self._lost.append(track)
        self._active = kept

    def _detection_due(self) -> bool:
        """Return True when the detector runs on this frame."""
        if not self._active or self.cut:
            return True
        missing = any(
            self._frame - t.last_seen < self._options.detect_every * 4 for t in self._lost
        )
        wait = self._options.detect_every_missing if missing else self._options.detect_every
        return (
            self._frame - self._last_detection >= wait
            and len(self._active) < self._options.max_faces
        )

    def _detect_new(self, image: Pixels) -> None:
        """Detect, and begin or resume a track for each face without one."""
        self._last_detection = self._frame
        self.detections += 1
        tracked = [t.face for t in self._active]
        new: list[Face] = []
        for found in self._run_detector(image):
            taken = tracked + new
            boxes, overlap = [face.box for face in taken], self._options.overlap
            if len(taken) >= self._options.max_faces or not is_apart(found.box, boxes, overlap):
                continue
            face = self._landmarker.fit(image, replace(found, mesh=None))
            if face is None or face.logit < self._options.start_logit or not _inside(face, image):
                continue
            if is_apart(face.box, boxes, overlap):
                new.append(face)
        new = drop_doubtful(image, new, self._detector, beside=tracked)
        # Faces that appear together are numbered from left to right.
        for face in sorted(new, key=lambda f: float(f.box[0])):
            self._active.append(self._start_track(image, face))

    def _run_detector(self, image: Pixels) -> list[Face]:
        """Run the detector: thorough at first, after a cut and periodically, else its fast pass."""
        thorough = self.cut or self._frame - self._last_thorough >= self._options.thorough_every
        if isinstance(self._detector, FastDetector) and (self._active or not thorough):
            return self._detector.detect_fast(image)
        self._last_thorough = self._frame
        return self._detector.detect(image)

    def _start_track(self, image: Pixels, face: Face) -> _Track:
        """Return the track of a new face: a lost one when that is plausible, else a new one."""
        track = self._match_lost_track(image, face)
        if track is None:
            track = _Track(self._next, face, self._frame)
            self._next += 1
        else:
            self._lost.remove(track)
        track.face = replace(face, track=track.number)
        if face.logit >= self._options.confident_logit:
            track.confident_face = track.face
        track.last_seen = self._frame
        track.before_cut = False
        track.step = np.zeros(2, np.float32)
        self._sample_identity(track, image)
        return track

    def _in_memory(self, track: _Track) -> bool:
        return self._frame - track.last_seen <= self._options.memory

    def _sample_identity(self, track: _Track, image: Pixels) -> None:
        """Keep a crop of a track's face at SAMPLE_AGES; it is encoded only when needed."""
        due = track.sample_count < len(SAMPLE_AGES) and track.age >= SAMPLE_AGES[track.sample_count]
        if self._identity is not None and due and track.face.logit >= self._options.confident_logit:
            track.sample_count += 1
            track.crops.append(aligned_crop(image, track.face))

    def _match_lost_track(self, image: Pixels, face: Face) -> _Track | None:
        """Return the lost track that `face` continues, or None.

        Position and size decide, and identity where these could be wrong.
        """
        cost = {
            t.number: value
            for t in self._lost
            if self._in_memory(t)
            and np.isfinite(value := _reentry_cost(t, face, self._frame - t.last_seen))
        }
        nearest = min(
            (t for t in self._lost if t.number in cost), key=lambda t: cost[t.number], default=None
        )
        alone = self._next == 1 and nearest is not None and not nearest.before_cut
        if alone or self._identity is None or not any(t.sample_count for t in self._lost):
            return nearest
        vector = self._identity.encode_crops([aligned_crop(image, face)])[0]
        cosine = {
            t.number: float(vector @ mean)
            for t in self._lost
            if (mean := self._vector(t)) is not None
        }
        best = max((t for t in self._lost if t.number in cosine), key=lambda t: cosine[t.number])
        same = self._identity.same_person
        if best is nearest:
            same *= DIFFERENT_PERSON
        if cosine[best.number] >= same:
            return best
        return nearest if nearest is not None and nearest.number not in cosine else None

    def _vector(self, track: _Track) -> Array32 | None:
        """Return the mean identity of a track, a unit vector; None without a confident sample."""
        if track.crops and self._identity is not None:
            found = np.asarray(self._identity.encode_crops(track.crops).sum(0), np.float32)
            track.vector = found if track.vector is None else track.vector + found
            track.crops.clear()
        if track.vector is None:
            return None
        return track.vector / max(float(np.linalg.norm(track.vector)), 1e-6)


def _box_side(face: Face) -> float:
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1], 1.0))


def _box_centre(face: Face) -> Array32:
    return np.asarray((face.box[:2] + face.box[2:]) / 2, np.float32)


def _predict(track: _Track) -> Face:
    """Return the face where it is expected in the next frame.

    A steady one stays, a fast one moves on as it did: the fit in a region beside its face lags.
    """
    speed = float(np.linalg.norm(track.step)) / _box_side(track.face)
    shift = float(np.clip(speed / STEADY_STEP - 1, 0, 1)) * track.step
    if not shift.any():
        return track.face
    return transform_face(track.face, np.column_stack([np.eye(2), shift]))


def _jumped(old: Face, new: Face) -> bool:
    """Return True when a face moved or changed size by more than a sixth within one frame."""
    side = _box_side(old)
    shift = float(np.abs(_box_centre(new) - _box_centre(old)).max()) / side
    return shift > 1 / 6 or not 5 / 6 < _box_side(new) / side < 6 / 5


def _inside(face: Face, image: Pixels) -> bool:
    """Return True when the centre of the face is in the image and its side is 8 pixels or more."""
    height, width = image.shape[:2]
    x, y = _box_centre(face)
    return bool(0 <= x < width and 0 <= y < height and _box_side(face) >= 8)


def _reentry_cost(track: _Track, new: Face, gap: int) -> float:
    """Return the cost of `new` being the lost track after `gap` frames; infinite when impossible.

    Within a scene a face may have moved by its own size, and more with time. Over a cut positions
    mean little: the face must be nearly where it was, or have very nearly the same shape.
    """
    old = track.face
    ratio = _box_side(new) / _box_side(old)
    shift = float(np.linalg.norm(_box_centre(new) - _box_centre(old)))
    distance = shift / max(_box_side(old), _box_side(new))
    confident = track.confident_face
    shape = 0.0
    if confident is not None and confident.mesh is not None and new.mesh is not None:
        shape = shape_distance(confident.mesh, new.mesh)
    if track.before_cut:
        limit = SAME_PERSON_LIKELY if box_iou(old.box, new.box) > 0.3 else SAME_PERSON_CERTAIN
        return shape if shape < limit else float("inf")
    reach = min(1.0 + 0.05 * gap, 3.0)
    if distance > reach or not 0.5 < ratio < 2 or shape >= SAME_PERSON_POSSIBLE:
        return float("inf")
    return distance + abs(float(np.log(ratio)))
