"""Pass 1 of refining: whose face is where in the footage, how its crops lie, and the picture that tells who it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.geometry import box_of
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions, SteadyOptions, TemplateOptions
from thcli.core.protocols import CropView
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.crops.crop import crop, moved
from thcli.faces.tracking.select import TrackStatistics, TrackSummary
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.observe.crop_track import (
    SUFFIX,
    WINDOW,
    CropPlacement,
    CropTrack,
    place_of,
    write_places,
)
from thcli.pipeline.observe.driver import follow_frames, record
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import FaceFinder

_SHAPE = 0.01  # by which two pictures' shapes may differ
_THUMB, _ALIKE = (
    24,
    20.0,
)  # pixels a side, and levels of 255 between them, at which two pictures show the same view


@dataclass(frozen=True, slots=True)
class Subject:
    """One face of the footage. picture: (n, n, 3) uint8, who it is, cut as the refiner sees faces.  face: in the picture's pixels.

    places: where its crops lie.  still: (H, W, 3) uint8 of the footage's size, the source seen by the footage's own camera; None when
    the source is another picture.  told: whether somebody says that the footage was made of it.
    """

    picture: Image
    face: Face
    places: CropTrack
    still: Image | None
    source_is_reference: bool


@dataclass(frozen=True, slots=True)
class ObservedFaces:
    """The chosen faces. faces: different ones seen.  unseen: frames that show none of the chosen."""

    subjects: tuple[Subject, ...]
    faces: int
    unseen: int


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """A picture, (H, W, 3) uint8, and the faces in it. name: for messages.  framed: whether it is a frame of the footage; None: unknown."""

    name: str
    picture: Image
    faces: tuple[Face, ...]
    framed: bool | None = None


Choice = Callable[[TrackStatistics], Sequence[int]]
"""The tracks that are meant."""


def observe(
    replayable: ReplayableFrames[Any],
    view: CropView,
    choose: Choice,
    reference_image: ReferenceImage | None,
    steady: SteadyOptions,
    face_finder: FaceFinder,
    job: Job,
) -> ObservedFaces:
    """Follows every face, chooses, and finds where the chosen ones' crops lie; says when the sitter is somebody else.

    sitter: who it is; None for each face's own first frame.  Raises NoFaceError when nobody was seen or chosen, and what playing raises.
    """
    log = job.enter(TrackLog())
    statistics = TrackStatistics(face_finder.identity)
    record(
        follow_frames(replayable.frames(), replayable.total, replayable.name, face_finder, job),
        log,
        statistics,
        pixels=steady.pixels,
    )
    subjects = []
    temp_dir = job.temp_dir()
    template = TemplateOptions(template=view.template, size=view.crop_size)
    for track in choose(statistics):
        path = temp_dir / f"{track}{SUFFIX}"
        with job.clock("calm"):
            write_places(path, log, track, template, steady, Path(replayable.name).name)
        places = CropTrack(path)
        known = statistics.summaries[track]
        if reference_image is None:
            subjects.append(_first(replayable, known.first, places))
        else:
            face = _alike(reference_image, known, replayable.name, face_finder, job)
            still = _still(reference_image, replayable, known.first)
            subjects.append(
                _subject(
                    reference_image.picture,
                    face,
                    place_of(face, template),
                    places,
                    still,
                    source_is_reference=still is not None,
                )
            )
    return ObservedFaces(tuple(subjects), statistics.tracks, _unseen(subjects))


def read_reference_image(path: str, face_finder: FaceFinder) -> ReferenceImage:
    """The picture of a --source: itself, or a video's first frame with a face. Raises MediaError, NoFaceError."""
    if media.probe(path).kind == "image":
        picture = media.read_image(path)
        faces = face_finder.find(picture)
        if faces:
            return ReferenceImage(
                path, picture, tuple(face_finder.refined(picture, face) for face in faces)
            )
    else:
        with media.read(path, ReadOptions()) as frames:
            for frame in frames:
                picture = to_uint8(frame.pixels)
                faces = face_finder.find(picture)
                if faces:
                    return ReferenceImage(path, picture, tuple(faces))
    raise NoFaceError(
        f"{path} shows no face.", "Give a --source that shows the person's face, or none."
    )


def nearest(faces: Sequence[Face]) -> Choice:
    """The tracks that begin where these faces are, each once."""

    def choose(statistics: TrackStatistics) -> list[int]:
        tracks = list(statistics.summaries.values())
        found = [
            min(tracks, key=lambda t: float(np.linalg.norm(_middle(t.box) - _middle(face.box))))
            for face in faces
        ]
        return sorted({t.track for t in found})

    return choose


def _middle(box: Array32) -> Array32:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def face_of(place: CropPlacement) -> Face:
    """The face that was seen at a place, in its frame's pixels. Raises ValueError where none was."""
    if place.mesh is None:
        raise ValueError("no face was seen at this place")
    return Face(box_of(place.mesh), 1.0, mesh=place.mesh)


def _subject(
    picture: Image,
    face: Face,
    where: Crop,
    places: CropTrack,
    still: Image | None,
    *,
    source_is_reference: bool,
) -> Subject:
    return Subject(
        np.asarray(crop(picture, where), np.uint8),
        moved(face, where.crop_from_frame),
        places,
        still,
        source_is_reference,
    )


def _still(
    reference_image: ReferenceImage, replayable: ReplayableFrames[Any], number: int
) -> Image | None:
    """The sitter's picture in the footage's size where it shows the same view: coarse videos are made of such a picture."""
    if reference_image.framed:
        return reference_image.picture
    frame = to_uint8(next(replayable.frames(number)).pixels)
    (height, width), (h, w) = frame.shape[:2], reference_image.picture.shape[:2]
    if reference_image.framed is False or abs(w * height - h * width) > _SHAPE * h * width:
        return None
    scaled = np.asarray(
        cv2.resize(reference_image.picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )
    small = [
        cv2.resize(p, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32)
        for p in (scaled, frame)
    ]
    return scaled if float(np.abs(small[0] - small[1]).mean()) < _ALIKE else None


def _first(replayable: ReplayableFrames[Any], number: int, places: CropTrack) -> Subject:
    """Who it is by a frame of the footage itself."""
    frame = next(replayable.frames(number))
    (place,) = places.window(number, number + 1)
    picture = to_uint8(frame.pixels)
    return _subject(
        picture, face_of(place), place.where, places, picture, source_is_reference=False
    )


def _alike(
    reference_image: ReferenceImage,
    known: TrackSummary,
    where: str,
    face_finder: FaceFinder,
    job: Job,
) -> Face:
    """The sitter's face that is the track's: the most like it, else the largest. Warns when it is another person's."""
    who = face_finder.identity
    if who is None or not known.vectors:
        if len(reference_image.faces) > 1:
            job.warn(
                f"{reference_image.name} shows {len(reference_image.faces)} faces, which cannot be told apart here; the largest is taken."
            )
        return max(reference_image.faces, key=lambda face: face.area)
    mean = np.mean(known.vectors, 0)
    mean /= max(float(np.linalg.norm(mean)), 1e-6)
    cosines = [
        float(who.identify(reference_image.picture, face).vector @ mean)
        for face in reference_image.faces
    ]
    best = int(np.argmax(cosines))
    if cosines[best] < who.same_person:
        job.warn(
            f"{reference_image.name} does not seem to show the person in {where} (cosine {cosines[best]:.2f}, {who.same_person:.2f} is the same person): check the result."
        )
    return reference_image.faces[best]


def _unseen(subjects: Sequence[Subject]) -> int:
    """How many frames show none of them."""
    count = 0
    for start in range(0, len(subjects[0].places), WINDOW):
        seen = [subject.places.file.window(start, start + WINDOW).valid for subject in subjects]
        count += int((~np.any(seen, 0)).sum())
    return count
