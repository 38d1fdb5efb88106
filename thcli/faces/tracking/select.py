"""Choice among the faces of a clip, from statistics of each track gathered during pass 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.protocols import Detector, IdentityEncoder, Landmarker
from thcli.core.types import Array32, Face, Image
from thcli.faces.identity.aligned_crop import aligned_crop
from thcli.faces.landmarks.detected import fit_detected
from thcli.faces.tracking.shape import SAME_PERSON_POSSIBLE, shape_distance

SAMPLE_FRAMES = (1, 12, 48, 192, 768)  # frames of a track in which its identity is encoded
AREA_BINS = 8  # of the histogram of areas, per doubling
SPEAKING = "speaking"  # value of --face
ALIKE = 0.5  # prominence over that of a face, from which another may be meant as well
SURE_MARGIN = 0.1  # of the scores of speech: one choice in four below it is wrong, in clips of 5 s


@dataclass(slots=True)
class TrackSummary:
    """Statistics of one track: a few small arrays for any length of clip.

    first: frame in which it was first seen.  box: its box there.  frames: number of frames with the
    face.  logit, mesh: of its best frame.  crops: aligned, for its identity.  areas: histogram of
    box areas.
    """

    track: int
    first: int
    box: Array32
    frames: int = 0
    logit: float = float("-inf")
    mesh: Array32 | None = None
    crops: list[Image] = field(default_factory=list)
    areas: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(32 * AREA_BINS, np.int64))

    @property
    def area(self) -> float:
        """Median area of the box in square pixels, within 5 %."""
        middle = int(np.searchsorted(np.cumsum(self.areas), (self.frames + 1) // 2))
        return float(2.0 ** ((middle + 0.5) / AREA_BINS))

    @property
    def prominence(self) -> float:
        """Median area times the number of frames."""
        return self.area * self.frames


@dataclass(frozen=True, slots=True)
class ReferenceFace:
    """Face of a reference image: its mesh, and its identity vector when there is an encoder."""

    name: str
    mesh: Array32 | None = None
    vector: Array32 | None = None


def ignore_warning(message: str) -> None:
    """Discard a warning."""


class TrackStatistics:
    """Statistics of the tracks of a clip, fed frame by frame with the tracker's faces.

    identity: encoder of a few frames of each track (which needs the images), or None.
    speech: how much the mouth of each track moves with the sound; None where it was not compared.
    """

    def __init__(self, identity: IdentityEncoder | None = None) -> None:
        self._identity = identity
        self._frame = -1
        self.summaries: dict[int, TrackSummary] = {}
        self.first_seen_tracks: list[int] = []  # of the first frame with faces, left to right
        self.first_seen_frame = -1
        self.speech: Mapping[int, float] | None = None

    def mean_vector(self, summary: TrackSummary) -> Array32 | None:
        """Encode a track's identity: the mean of its vectors, (D,); None without an encoder.

        The network is loaded here, and not for a clip whose faces are not compared.
        """
        if self._identity is None or not summary.crops:
            return None
        return np.asarray(self._identity.encode_crops(summary.crops).mean(0), np.float32)

    @property
    def same_person(self) -> float:
        """Cosine from which two faces count as one person."""
        return 1.0 if self._identity is None else self._identity.same_person

    @property
    def tracks(self) -> int:
        """Number of different faces in the clip."""
        return len(self.summaries)

    def add(self, faces: Sequence[Face], image: npt.NDArray[Any] | None = None) -> None:
        """Add the faces of the next frame, each with its track number."""
        self._frame += 1
        if faces and not self.first_seen_tracks:
            self.first_seen_tracks = [
                f.track for f in sorted(faces, key=lambda f: float(f.box[0] + f.box[2]))
            ]
            self.first_seen_frame = self._frame
        for face in faces:
            entry = self.summaries.get(face.track)
            if entry is None:
                entry = self.summaries[face.track] = TrackSummary(face.track, self._frame, face.box)
            entry.frames += 1
            entry.areas[
                min(int(AREA_BINS * np.log2(max(face.area, 1.0))), len(entry.areas) - 1)
            ] += 1
            if face.mesh is not None and face.logit > entry.logit:
                entry.logit, entry.mesh = face.logit, face.mesh
            if self._identity is not None and image is not None and entry.frames in SAMPLE_FRAMES:
                entry.crops.append(aligned_crop(image, face))

    def choose(
        self,
        select: str,
        warn: Callable[[str], None] = ignore_warning,
        *,
        where: str = "the clip",
        reference: Callable[[], ReferenceFace] | None = None,
    ) -> list[int]:
        """Return the numbers of the chosen tracks; never empty.

        Args:
            select: largest (median area times frames seen) | first (the first to appear, of several
                the largest) | all (by track number) | speaking (whose mouth moves with the sound)
                | N (from the left in the first frame with faces) | a reference image.
            warn: receives a warning when the choice is uncertain.
            where: name of the clip, for messages.
            reference: returns the face of the reference image.

        Raises:
            NoFaceError: no face fits; the message lists those found.
            UsageError: a speaking face or a reference image has nothing to compare with.
        """
        tracks = list(self.summaries.values())
        if not tracks:
            raise NoFaceError(
                f"No face was found in {where}.",
                "Faces must be larger than about 20 pixels and not occluded.",
            )
        if select == "largest":
            return [max(tracks, key=lambda t: t.prominence).track]
        if select == "first":
            return [min(tracks, key=lambda t: (t.first, -t.area)).track]
        if select == "all":
            return sorted(self.summaries)
        if select == SPEAKING:
            return [_speaking_track(self, where, warn)]
        if select.isdecimal():
            if int(select) >= len(self.first_seen_tracks):
                raise NoFaceError(
                    f"There is no face number {select} in frame {self.first_seen_frame} of "
                    f"{where}, the first with faces.",
                    f"Found {self.describe_faces()}; numbers count from 0, left to right.",
                )
            return [self.first_seen_tracks[int(select)]]
        if reference is None:
            raise UsageError(f"--face {select!r} is an image, which cannot be used here.")
        return [_most_similar_track(self, reference(), where, warn)]

    def is_one_of_several(self, track: int) -> bool:
        """Return whether the first frame with faces shows another one that is as prominent."""
        least = ALIKE * self.summaries[track].prominence
        there = self.first_seen_tracks
        return track in there and any(
            self.summaries[other].prominence >= least for other in there if other != track
        )

    def find(self, face: TrackSummary) -> int:
        """Return the track of a face of the same clip, tracked once more after small changes."""
        found = min(
            self.summaries.values(),
            key=lambda t: (abs(t.first - face.first), float(np.abs(t.box - face.box).sum())),
        )
        return found.track

    def describe_faces(self) -> str:
        """Describe the faces of the first frame with faces: number, width and position."""
        items = []
        for number, track in enumerate(self.first_seen_tracks):
            x0, y0, x1, y1 = (round(float(v)) for v in self.summaries[track].box)
            items.append(f"{number}: {x1 - x0} pixels wide at ({(x0 + x1) // 2}, {(y0 + y1) // 2})")
        return "; ".join(items)


def is_reference_image(select: str) -> bool:
    """Return True when --face names an image rather than a choice in words or a number.

    Raises UsageError when it is neither.
    """
    if select in ("largest", "first", "all", SPEAKING) or select.isdecimal():
        return False
    if not Path(select).is_file():
        raise UsageError(
            f"The face {select!r} is neither largest, first, all, speaking, a number nor an "
            "existing image.",
            "Give one of these, or the path of an image of the person.",
        )
    return True


def _speaking_track(statistics: TrackStatistics, where: str, warn: Callable[[str], None]) -> int:
    """Return the track whose mouth moves most with the sound."""
    if statistics.speech is None:
        raise UsageError(
            f"The face that speaks is found in a video with sound, not in one picture of {where}.",
            "Choose the face by its number or a picture.",
        )
    scores = statistics.speech
    best, *others = sorted(scores, key=lambda track: -scores[track])
    if others and scores[best] - scores[others[0]] < SURE_MARGIN:
        warn(
            f"Two faces in {where} move about equally with its sound (correlation "
            f"{scores[best]:.2f} and {scores[others[0]]:.2f}): check the result, or choose by "
            f"number. Found {statistics.describe_faces()}."
        )
    return best


def _most_similar_track(
    statistics: TrackStatistics, reference: ReferenceFace, where: str, warn: Callable[[str], None]
) -> int:
    """Return the track that is most similar to the reference.

    Identity vectors decide when both sides have them, else the shape of the mesh.
    """
    vectors = {
        track: statistics.mean_vector(summary)
        for track, summary in statistics.summaries.items()
        if reference.vector is not None
    }
    by_vector = {
        track: _cosine(vector, reference.vector)
        for track, vector in vectors.items()
        if vector is not None and reference.vector is not None
    }
    if by_vector:
        best = max(by_vector, key=lambda track: by_vector[track])
        if by_vector[best] < statistics.same_person:
            raise NoFaceError(
                f"None of the {statistics.tracks} faces in {where} is the one in {reference.name}.",
                f"The most similar is track {best}, with a cosine of {by_vector[best]:.2f}; "
                f"{statistics.same_person} is needed. Found {statistics.describe_faces()}.",
            )
        return best
    by_shape = {
        t.track: shape_distance(reference.mesh, t.mesh)
        for t in statistics.summaries.values()
        if t.mesh is not None and reference.mesh is not None
    }
    if not by_shape:
        raise NoFaceError(
            f"No face in {where} can be compared with {reference.name}.",
            f"Found {statistics.describe_faces()}.",
        )
    best = min(by_shape, key=lambda track: by_shape[track])
    if by_shape[best] > SAME_PERSON_POSSIBLE:
        raise NoFaceError(
            f"None of the {statistics.tracks} faces in {where} has the shape of the one in "
            f"{reference.name}.",
            f"Found {statistics.describe_faces()}; choose one with --face N.",
        )
    if len(by_shape) > 1:
        warn(
            f"{reference.name} was compared with the faces of {where} by face shape alone, which "
            "is unreliable: check the result, or choose with --face N."
        )
    return best


def _cosine(mean: Array32, unit: Array32) -> float:
    """Return the cosine of a vector and a unit vector."""
    return float(mean @ unit / max(float(np.linalg.norm(mean)), 1e-6))


def read_reference_face(
    image: Image,
    name: str,
    detector: Detector,
    landmarker: Landmarker,
    identity: IdentityEncoder | None = None,
) -> ReferenceFace:
    """Return the largest face of a reference image (H, W, 3). Raises NoFaceError without one."""
    faces = fit_detected(image, detector, landmarker)
    face = max(faces, key=lambda face: face.area, default=None)
    if face is None:
        raise NoFaceError(
            f"No face was found in {name}.", "Give an image that shows the face of the person."
        )
    return ReferenceFace(
        name, face.mesh, None if identity is None else identity.identify(image, face).vector
    )
