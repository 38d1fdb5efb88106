"""Follows faces through a clip: the mesh net from frame to frame, the detector only when it is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError
from thcli.core.geometry import box_iou
from thcli.core.protocols import Detector, IdentityEncoder, Landmarker
from thcli.core.types import Array32, Face, Image
from thcli.faces.identity.aligned import aligned
from thcli.faces.tracking.cuts import Cuts
from thcli.faces.tracking.shape import SAME_AT_ALL, SAME_LIKELY, SAME_SURELY, shape_distance

Pixels = npt.NDArray[Any]
SIGHTINGS = (
    1,
    12,
    48,
    192,
)  # ages of a track at which its face is kept, to be known again by (those of a sure mesh)
REMEMBERED = 64  # tracks that are kept in mind beyond the memory, for who they are
UNLIKE = (
    0.5  # of the cosine of one person: below it even a face in the right place is somebody else
)


@runtime_checkable
class MeshLandmarker(Protocol):
    """A landmarker that can also follow a face from the frame before."""

    def fit(self, picture: Pixels, face: Face) -> Face | None: ...
    def refit(self, picture: Pixels, face: Face) -> Face | None: ...


@runtime_checkable
class QuickDetector(Protocol):
    """A detector that has a cheaper way for every frame beside its thorough one."""

    def detect(self, picture: Pixels) -> list[Face]: ...
    def quick(self, picture: Pixels) -> list[Face]: ...


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """How faces are followed. Lengths are in frames."""

    every: int = 24  # look for more faces this often while some are tracked
    every_missing: int = 6  # and this often while one that was there is missing
    memory: int = (
        250  # a face that returns within this keeps its number, when place and size are plausible
    )
    thorough: int = 12  # with nobody in sight, search for small and turned faces this often, with a quick look in between
    first_logit: float = (
        10.0  # of the mesh net, to begin a track (a face has 15 to 32, a wall -24 to 3)
    )
    sure_logit: float = 18.0  # from which a mesh may stand for the shape of its face
    lowest_logit: float = (
        5.0  # below it a track ends: a face half out of the picture has 10, one half covered 18
    )
    overlap: float = 0.3  # two tracks that share more of the smaller box are one face
    most: int = 12  # faces at a time


@dataclass(slots=True)
class _Track:
    number: int
    face: Face  # as last seen
    seen: int  # frame in which it was last seen
    age: int = 1  # frames seen
    sure: Face | None = None  # as last seen well: a face on its way out is misshapen
    sightings: int = 0
    crops: list[Image] = field(default_factory=list)  # aligned, as yet without a vector
    vector: Array32 | None = None  # sum of identity vectors
    before_cut: bool = False


class Tracker:
    """Stable numbers for the faces of a clip, fed frame by frame in display order.

    Holds the last face of each track, and with `identity` four small crops of it; no frames. The identity network is asked only when a
    face appears that may be a lost one (after a cut, among several, in another place): a clip of one person never needs it.
    Not safe to share between threads.
    Raises UsageError for a landmarker that cannot follow a mesh.
    """

    def __init__(
        self,
        detector: Detector,
        landmarker: Landmarker,
        *,
        identity: IdentityEncoder | None = None,
        options: TrackOptions | None = None,
    ) -> None:
        if not isinstance(landmarker, MeshLandmarker):
            raise UsageError(
                f"The landmarker {type(landmarker).__name__} fits no mesh, so it cannot follow faces.",
                "Take --landmarker facemesh; the other one can add its points to a face that has a mesh.",
            )
        self._detector = detector
        self._landmarker = landmarker
        self._identity = identity
        self._options = options or TrackOptions()
        self._cuts = Cuts()
        self._live: list[_Track] = []
        self._gone: list[_Track] = []
        self._frame = -1
        self._next = 0
        self._looked = 0
        self._searched = -(10**9)
        self.cut = False  # whether the frame last fed began a new scene
        self.detections = 0  # how often the detector ran

    def update(self, picture: Pixels) -> list[Face]:
        """The faces of the next frame, oldest track first; [] when there is none.

        picture: (H, W, 3) RGB uint8 or uint16.  Each face has mesh, iris, logit and its track number.
        """
        self._frame += 1
        self.cut = self._cuts.is_cut(picture)
        if self.cut:
            for track in self._live:
                track.before_cut = True
            self._gone += self._live
            self._live = []
        self._follow(picture)
        if self._due():
            self._look(picture)
        self._gone = [t for t in self._gone if self._in_memory(t) or t.sightings][-REMEMBERED:]
        return [track.face for track in self._live]

    def _follow(self, picture: Pixels) -> None:
        """Refits every live track; those that lost their face, or sit on another's, go."""
        kept: list[_Track] = []
        for track in self._live:
            face = self._landmarker.refit(picture, track.face)
            if face is not None and _jumped(
                track.face, face
            ):  # the region was off: once more around the new place
                face = self._landmarker.refit(picture, face)
            if (
                face is None
                or face.logit < self._options.lowest_logit
                or not _inside(face, picture)
            ):
                self._gone.append(track)
            elif not any(_shared(face, other.face) > self._options.overlap for other in kept):
                track.face = replace(face, track=track.number)
                if face.logit >= self._options.sure_logit:
                    track.sure = track.face
                track.seen = self._frame
                track.age += 1
                self._sight(track, picture)
                kept.append(track)
            else:
                self._gone.append(track)
        self._live = kept

    def _due(self) -> bool:
        """Whether the detector shall look at this frame."""
        if not self._live or self.cut:
            return True
        missing = any(self._frame - t.seen < self._options.every * 4 for t in self._gone)
        wait = self._options.every_missing if missing else self._options.every
        return self._frame - self._looked >= wait and len(self._live) < self._options.most

    def _look(self, picture: Pixels) -> None:
        """Detects, and begins or resumes a track for each face that none has."""
        self._looked = self._frame
        self.detections += 1
        new: list[Face] = []
        for found in self._detected(picture):
            taken = [t.face for t in self._live] + new
            if len(taken) >= self._options.most or any(
                _shared(found, f) > self._options.overlap for f in taken
            ):
                continue
            face = self._landmarker.fit(picture, replace(found, mesh=None))
            if face is None or face.logit < self._options.first_logit or not _inside(face, picture):
                continue
            if not any(_shared(face, other) > self._options.overlap for other in taken):
                new.append(face)
        for face in sorted(
            new, key=lambda f: float(f.box[0])
        ):  # a first frame numbers its faces from left to right
            self._live.append(self._begin(picture, face))

    def _detected(self, picture: Pixels) -> list[Face]:
        """What the detector finds: thoroughly at first, after a cut and now and then, else in its quick way if it has one."""
        thorough = self.cut or self._frame - self._searched >= self._options.thorough
        if isinstance(self._detector, QuickDetector) and (self._live or not thorough):
            return self._detector.quick(picture)
        self._searched = self._frame
        return self._detector.detect(picture)

    def _begin(self, picture: Pixels, face: Face) -> _Track:
        """The track of a face that nobody follows: one that was lost, when that is plausible, else a new one."""
        track = self._returning(picture, face)
        if track is None:
            track = _Track(self._next, face, self._frame)
            self._next += 1
        else:
            self._gone.remove(track)
        track.face = replace(face, track=track.number)
        if face.logit >= self._options.sure_logit:
            track.sure = track.face
        track.seen = self._frame
        track.before_cut = False
        self._sight(track, picture)
        return track

    def _in_memory(self, track: _Track) -> bool:
        return self._frame - track.seen <= self._options.memory

    def _sight(self, track: _Track, picture: Pixels) -> None:
        """Keeps a crop of a track's face now and then; what it says is worked out only when it is asked for."""
        due = track.sightings < len(SIGHTINGS) and track.age >= SIGHTINGS[track.sightings]
        if self._identity is not None and due and track.face.logit >= self._options.sure_logit:
            track.sightings += 1
            track.crops.append(aligned(picture, track.face))

    def _returning(self, picture: Pixels, face: Face) -> _Track | None:
        """The lost track that `face` continues: by place and size, and by identity where these could deceive."""
        near = {
            t.number: cost
            for t in self._gone
            if self._in_memory(t)
            and np.isfinite(cost := _implausible(t, face, self._frame - t.seen))
        }
        by_place = min(
            (t for t in self._gone if t.number in near), key=lambda t: near[t.number], default=None
        )
        alone = self._next == 1 and by_place is not None and not by_place.before_cut
        if alone or self._identity is None or not any(t.sightings for t in self._gone):
            return by_place
        own = self._identity.vectors([aligned(picture, face)])[0]
        alike = {
            t.number: float(own @ mean) for t in self._gone if (mean := self._vector(t)) is not None
        }
        best = max((t for t in self._gone if t.number in alike), key=lambda t: alike[t.number])
        same = self._identity.same_person
        if alike[best.number] >= same or (best is by_place and alike[best.number] >= UNLIKE * same):
            return best
        return by_place if by_place is not None and by_place.number not in alike else None

    def _vector(self, track: _Track) -> Array32 | None:
        """Who a track shows, as a unit vector; None when its face was never seen well."""
        if track.crops and self._identity is not None:
            found = np.asarray(self._identity.vectors(track.crops).sum(0), np.float32)
            track.vector = found if track.vector is None else track.vector + found
            track.crops.clear()
        return (
            None
            if track.vector is None
            else track.vector / max(float(np.linalg.norm(track.vector)), 1e-6)
        )


def _side(face: Face) -> float:
    return float(max(face.box[2] - face.box[0], face.box[3] - face.box[1], 1.0))


def _middle(face: Face) -> Array32:
    return np.asarray((face.box[:2] + face.box[2:]) / 2, np.float32)


def _shared(a: Face, b: Face) -> float:
    """Area that two boxes share over the smaller one's, 0..1."""
    low, high = np.maximum(a.box[:2], b.box[:2]), np.minimum(a.box[2:], b.box[2:])
    return float(np.clip(high - low, 0, None).prod()) / max(min(a.area, b.area), 1e-6)


def _jumped(old: Face, new: Face) -> bool:
    """Whether a face moved by more than a sixth of its size, or grew or shrank by as much, within one frame."""
    side = _side(old)
    moved = float(np.abs(_middle(new) - _middle(old)).max()) / side
    return moved > 1 / 6 or not 5 / 6 < _side(new) / side < 6 / 5


def _inside(face: Face, picture: Pixels) -> bool:
    """Whether the face's centre lies in the picture and the face is large enough to be one (8 pixels)."""
    height, width = picture.shape[:2]
    x, y = _middle(face)
    return bool(0 <= x < width and 0 <= y < height and _side(face) >= 8)


def _implausible(track: _Track, new: Face, gap: int) -> float:
    """A cost for `new` being the lost track after `gap` frames unseen; infinite when it cannot be.

    Within a scene a face may have wandered by its own size and somewhat more with time. Over a cut places mean little: the
    face must be nearly where it was, or have very nearly the same shape.
    """
    old = track.face
    ratio = _side(new) / _side(old)
    distance = float(np.linalg.norm(_middle(new) - _middle(old))) / max(_side(old), _side(new))
    unlike = 0.0
    if track.sure is not None and track.sure.mesh is not None and new.mesh is not None:
        unlike = shape_distance(track.sure.mesh, new.mesh)
    if track.before_cut:
        limit = SAME_LIKELY if box_iou(old.box, new.box) > 0.3 else SAME_SURELY
        return unlike if unlike < limit else float("inf")
    reach = min(1.0 + 0.05 * gap, 3.0)
    near = distance <= reach and 0.5 < ratio < 2
    return distance + abs(float(np.log(ratio))) if near and unlike < SAME_AT_ALL else float("inf")
