"""The source: one picture, and the faces in it that are meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import FaceOptions, ReadOptions, RenderOptions, RunOptions
from thcli.core.protocols import Detector, IdentityEncoder
from thcli.core.types import Face, Image
from thcli.faces.backends import DETECTORS, LANDMARKERS
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, moved
from thcli.faces.identity.encoder import encoder
from thcli.faces.tracking.select import Reference, TrackStatistics, is_reference, reference_of
from thcli.faces.tracking.track import MeshLandmarker
from thcli.media.info import MediaInfo
from thcli.motion.canonical import decompose, eye_openings
from thcli.pipeline.job.job import Job

DOUBTFUL = 15.0  # certainty of the mesh net below which a fit is doubtful (photos have 24 to 28, a bad fit 6.6)
AWAKE = 0.12  # lid gap / eye width of eyes that are open
CROP_SCALE = 2.3  # side of --framing crop over the face's box, as LivePortrait crops
LONGEST_SEARCH = 10.0  # seconds of a source video in which a good frame is looked for


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A source picture, (H, W, 3) uint8, and the chosen faces in it, each with its mesh."""

    info: MediaInfo
    picture: Image
    faces: tuple[Face, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.picture.shape[1], self.picture.shape[0]

    def squared(self) -> SourceImage:
        """A square around the faces, of the resolution that the picture has there, upright."""
        boxes = np.stack([face.box for face in self.faces])
        box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        side = CROP_SCALE * float(max(box[2] - box[0], box[3] - box[1]))
        where = align.square(box, 2 * max(round(side / 2), 32), CROP_SCALE)
        picture = np.asarray(crop(self.picture, where, border="reflect"), np.uint8)
        return replace(
            self,
            picture=picture,
            faces=tuple(moved(face, where.crop_from_frame) for face in self.faces),
        )

    def within(self, long_side: int) -> SourceImage:
        """The picture with its long side reduced to so many pixels; 0: as it is."""
        width, height = self.size
        if not long_side or max(self.size) <= long_side:
            return self
        factor = long_side / max(self.size)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        scale = np.diag([size[0] / width, size[1] / height, 1.0])
        scale[:2, 2] = (scale.diagonal()[:2] - 1) / 2  # pixel centres
        picture = np.asarray(cv2.resize(self.picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        return replace(
            self, picture=picture, faces=tuple(moved(face, scale) for face in self.faces)
        )


class FineLandmarker(MeshLandmarker, Protocol):
    """One that can also look at a still with more care."""

    def refine(self, picture: Image, face: Face) -> Face | None: ...


@dataclass(frozen=True, slots=True)
class FaceFinder:
    """The detector and landmarker of a job, and how a face is chosen with them."""

    detector: Detector
    landmarker: FineLandmarker
    identity: IdentityEncoder | None = None  # loaded when it is first asked

    @classmethod
    def load(cls, faces: FaceOptions, run: RunOptions) -> FaceFinder:
        """Raises WeightsError when their weights are not there, UsageError for a landmarker without a mesh."""
        return cls(
            DETECTORS.backend(faces.detector).load(run),
            LANDMARKERS.backend(faces.landmarker).load(run),
            encoder(faces.identity, run),
        )

    def find(self, picture: Image) -> list[Face]:
        """Every face of a picture with its mesh, numbered from left to right."""
        fitted = [self.landmarker.fit(picture, face) for face in self.detector.detect(picture)]
        there = sorted(
            (f for f in fitted if f is not None and f.mesh is not None),
            key=lambda f: float(f.box[0]),
        )
        return [replace(face, track=number) for number, face in enumerate(there)]

    def refined(self, picture: Image, face: Face) -> Face:
        """A face of a still, looked at once more with care, where its place is all that counts."""
        closer = self.landmarker.refine(picture, face)
        return face if closer is None else replace(closer, track=face.track)

    def reference(self, path: str) -> Reference:
        """Who is on a --face picture."""
        return reference_of(
            media.read_image(path), path, self.detector, self.landmarker, self.identity
        )

    def statistics(self, select: str) -> TrackStatistics:
        """Counts faces for a --face, with a look at who they are only where that is asked for."""
        return TrackStatistics(self.identity if is_reference(select) else None)

    def choose(self, statistics: TrackStatistics, select: str, where: str, job: Job) -> list[int]:
        """The tracks that --face means."""
        known = (lambda: self.reference(select)) if is_reference(select) else None
        return statistics.choose(select, job.warn, where=where, reference=known)


def read_source_image(
    source: str | Path, options: RenderOptions, face_finder: FaceFinder, job: Job
) -> SourceImage:
    """Reads a source and finds the faces that --source-face means.

    source: a picture, or a video, of which the frame at options.source_time is taken, or else its first good one (eyes open, a
    sure fit).
    Raises MediaError when it cannot be read, NoFaceError when it shows no such face, UsageError for standard input.
    """
    if str(source) == "-":
        raise UsageError(
            "The source cannot be standard input.", "Give it as a file; the driver may be '-'."
        )
    info = media.probe(source)
    if info.kind == "image":
        picture = media.read_image(source)
        faces = face_finder.find(picture)
    else:
        picture, faces = _from_video(source, options.source_time, face_finder)
    select = options.source_face
    statistics = face_finder.statistics(select)
    statistics.add(faces, picture)
    chosen = [faces[number] for number in face_finder.choose(statistics, select, str(source), job)]
    if len(faces) > 1 and select == "largest":
        job.warn(
            f"{source} shows {len(faces)} faces; the largest is taken. Choose with --source-face ({statistics.described()})."
        )
    for face in chosen:
        if face.logit < DOUBTFUL:
            job.warn(
                f"The face in {source} fits badly (certainty {face.logit:.0f}, photos have 24 and more): check the result."
            )
    return SourceImage(info, picture, tuple(chosen))


def _from_video(
    source: str | Path, moment: float | None, face_finder: FaceFinder
) -> tuple[Image, list[Face]]:
    """A video's frame at `moment`, or the first good one of its first seconds, or else the best of these."""
    span = ReadOptions(end=LONGEST_SEARCH) if moment is None else ReadOptions(start=moment)
    best: tuple[float, Image, list[Face]] | None = None
    with media.read(source, span) as frames:
        for frame in frames:
            picture = to_uint8(frame.pixels)
            faces = face_finder.find(picture)
            worth = max((_worth(face) for face in faces), default=-1.0)
            if best is None or worth > best[0]:
                best = worth, picture, faces
            if moment is not None or worth >= 1:
                break
    if best is None:
        raise UsageError(
            f"{source} has no frame at {moment} s.", "Choose an earlier --source-time."
        )
    return best[1], best[2]


def _worth(face: Face) -> float:
    """How good a source this face is: 1 with open eyes and a sure fit, less otherwise."""
    if face.mesh is None:
        return -1.0
    awake = float(eye_openings(decompose(face.mesh).shape).min()) / AWAKE
    return min(face.logit / DOUBTFUL, 1.0) * min(awake, 1.0)
