"""Which face of a clip is meant: statistics of each track, gathered while pass 1 streams by, and the choice at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.protocols import Detector, IdentityEncoder, Landmarker
from thcli.core.types import Array32, Face, Image
from thcli.faces.tracking.shape import SAME_AT_ALL, shape_distance

SAMPLES = (1, 12, 48, 192, 768)  # the frames of a track in which its identity is looked at
BINS = 8  # of the histogram of areas, per doubling


@dataclass(slots=True)
class TrackSummary:
    """What is kept of one track: a few hundred bytes, however long the clip is (and one mesh, of its best frame)."""

    track: int
    first: int  # frame in which it was first seen
    box: Array32  # as first seen
    frames: int = 0  # in which it was seen
    logit: float = float("-inf")  # the best one
    mesh: Array32 | None = None  # of that frame
    vectors: list[Array32] = field(default_factory=list)
    areas: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(32 * BINS, np.int64))

    @property
    def area(self) -> float:
        """Median area of its box in square pixels, within 5 %."""
        middle = int(np.searchsorted(np.cumsum(self.areas), (self.frames + 1) // 2))
        return float(2.0 ** ((middle + 0.5) / BINS))


@dataclass(frozen=True, slots=True)
class Reference:
    """Who is looked for: the mesh of a reference picture's face, and its identity vector when there is an encoder."""

    name: str
    mesh: Array32 | None = None
    vector: Array32 | None = None


def ignore(message: str) -> None:
    """Takes a warning and drops it."""


class TrackStatistics:
    """Counts the faces of a clip, fed frame by frame with what the tracker gave.

    identity: with it, each track's identity is looked at in a few of its frames (the picture is needed then).
    """

    def __init__(self, identity: IdentityEncoder | None = None) -> None:
        self._identity = identity
        self._frame = -1
        self.summaries: dict[int, TrackSummary] = {}
        self.opening: list[int] = []  # tracks of the first frame with faces, left to right
        self.opening_frame = -1

    @property
    def same_person(self) -> float:
        """The cosine from which a face is held to be the one looked for."""
        return 1.0 if self._identity is None else self._identity.same_person

    @property
    def tracks(self) -> int:
        """How many different faces were seen."""
        return len(self.summaries)

    def add(self, faces: Sequence[Face], picture: npt.NDArray[Any] | None = None) -> None:
        """The faces of the next frame, each with its track number."""
        self._frame += 1
        if faces and not self.opening:
            self.opening = [
                f.track for f in sorted(faces, key=lambda f: float(f.box[0] + f.box[2]))
            ]
            self.opening_frame = self._frame
        for face in faces:
            entry = self.summaries.get(face.track)
            if entry is None:
                entry = self.summaries[face.track] = TrackSummary(face.track, self._frame, face.box)
            entry.frames += 1
            entry.areas[min(int(BINS * np.log2(max(face.area, 1.0))), len(entry.areas) - 1)] += 1
            if face.mesh is not None and face.logit > entry.logit:
                entry.logit, entry.mesh = face.logit, face.mesh
            if self._identity is not None and picture is not None and entry.frames in SAMPLES:
                entry.vectors.append(self._identity.identify(picture, face).vector)

    def choose(
        self,
        select: str,
        warn: Callable[[str], None] = ignore,
        *,
        where: str = "the clip",
        reference: Callable[[], Reference] | None = None,
    ) -> list[int]:
        """The numbers of the chosen tracks; never empty.

        select: largest (median area times frames seen) | first (the first to appear, of several the largest) | all (by track
        number) | N (from the left in the first frame that has faces) | a picture, whose face `reference` gives.
        where: the clip's name, for messages.  Raises NoFaceError, listing what was found, when no face fits.
        """
        tracks = list(self.summaries.values())
        if not tracks:
            raise NoFaceError(
                f"No face was found in {where}.",
                "Faces must be larger than about 20 pixels and not covered.",
            )
        if select == "largest":
            return [max(tracks, key=lambda t: t.area * t.frames).track]
        if select == "first":
            return [min(tracks, key=lambda t: (t.first, -t.area)).track]
        if select == "all":
            return sorted(self.summaries)
        if select.isdecimal():
            if int(select) >= len(self.opening):
                raise NoFaceError(
                    f"There is no face number {select} in frame {self.opening_frame} of {where}, the first with faces.",
                    f"Found {self.described()}; numbers count from 0, left to right.",
                )
            return [self.opening[int(select)]]
        if reference is None:
            raise UsageError(f"--face {select!r} is a picture, which cannot be used here.")
        return [_resembling(self, reference(), where, warn)]

    def described(self) -> str:
        """The faces of the first frame that has some, for messages: number, width and place."""
        items = []
        for number, track in enumerate(self.opening):
            x0, y0, x1, y1 = (round(float(v)) for v in self.summaries[track].box)
            items.append(f"{number}: {x1 - x0} pixels wide at ({(x0 + x1) // 2}, {(y0 + y1) // 2})")
        return "; ".join(items)


def is_reference(select: str) -> bool:
    """Whether --face names a picture rather than largest, first, all or a number. Raises UsageError when it is neither."""
    if select in ("largest", "first", "all") or select.isdecimal():
        return False
    if not Path(select).is_file():
        raise UsageError(
            f"--face {select!r} is neither largest, first, all, a number nor a picture that exists.",
            "Take one of these, or the path of a picture of the person.",
        )
    return True


def _resembling(
    census: TrackStatistics, who: Reference, where: str, warn: Callable[[str], None]
) -> int:
    """The track that is most like the reference, by identity when both sides have vectors, else by the shape of the mesh."""
    by_vector = {
        t.track: float(
            np.mean(t.vectors, 0)
            @ who.vector
            / max(float(np.linalg.norm(np.mean(t.vectors, 0))), 1e-6)
        )
        for t in census.summaries.values()
        if t.vectors and who.vector is not None
    }
    if by_vector:
        best = max(by_vector, key=lambda track: by_vector[track])
        if by_vector[best] < census.same_person:
            raise NoFaceError(
                f"None of the {census.tracks} faces in {where} is the one in {who.name}.",
                f"Most like it is track {best}, with a cosine of {by_vector[best]:.2f} where {census.same_person} is needed. Found {census.described()}.",
            )
        return best
    by_shape = {
        t.track: shape_distance(who.mesh, t.mesh)
        for t in census.summaries.values()
        if t.mesh is not None and who.mesh is not None
    }
    if not by_shape:
        raise NoFaceError(
            f"No face in {where} can be compared with {who.name}.", f"Found {census.described()}."
        )
    best = min(by_shape, key=lambda track: by_shape[track])
    if by_shape[best] > SAME_AT_ALL:
        raise NoFaceError(
            f"None of the {census.tracks} faces in {where} has the shape of the one in {who.name}.",
            f"Found {census.described()}; choose one with --face N.",
        )
    if len(by_shape) > 1:
        warn(
            f"{who.name} was compared with the faces of {where} by the shape of the face alone, which is weak: check the result, or choose with --face N."
        )
    return best


def reference_of(
    picture: Image,
    name: str,
    detector: Detector,
    landmarker: Landmarker,
    identity: IdentityEncoder | None = None,
) -> Reference:
    """The largest face of a reference picture (H, W, 3). Raises NoFaceError when it has none."""
    fitted = [landmarker.fit(picture, found) for found in detector.detect(picture)]
    face = max((f for f in fitted if f is not None), key=lambda f: f.area, default=None)
    if face is None:
        raise NoFaceError(
            f"No face was found in {name}.", "Give a picture of the person that shows the face."
        )
    return Reference(
        name, face.mesh, None if identity is None else identity.identify(picture, face).vector
    )
