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
from thcli.core.options import ReadOptions, SteadyOptions, TemplateOptions
from thcli.core.protocols import CropView
from thcli.core.types import Array32, Crop, Face, Image
from thcli.faces.crop import crop, moved
from thcli.faces.select import Census, TrackSummary
from thcli.pipeline.cropfile import SUFFIX, WINDOW, Place, Places, place_of, write_places
from thcli.pipeline.footage import Footage
from thcli.pipeline.observe import follow_frames, record
from thcli.pipeline.panels import eight_bit
from thcli.pipeline.portrait import Finders
from thcli.pipeline.report import Job
from thcli.pipeline.tracklog import TrackLog

_SHAPE = 0.01  # by which two pictures' shapes may differ
_THUMB, _ALIKE = 24, 20.0  # pixels a side, and levels of 255 between them, at which two pictures show the same view


@dataclass(frozen=True, slots=True)
class Subject:
    """One face of the footage. picture: (n, n, 3) uint8, who it is, cut as the refiner sees faces.  face: in the picture's pixels.

    places: where its crops lie.  still: (H, W, 3) uint8 of the footage's size, the source seen by the footage's own camera; None when
    the source is another picture.  told: whether somebody says that the footage was made of it.
    """

    picture: Image
    face: Face
    places: Places
    still: Image | None
    told: bool


@dataclass(frozen=True, slots=True)
class Cast:
    """The chosen faces. faces: different ones seen.  unseen: frames that show none of the chosen."""

    subjects: tuple[Subject, ...]
    faces: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Sitter:
    """A picture, (H, W, 3) uint8, and the faces in it. name: for messages.  framed: whether it is a frame of the footage; None: unknown."""

    name: str
    picture: Image
    faces: tuple[Face, ...]
    framed: bool | None = None


Choice = Callable[[Census], Sequence[int]]
"""The tracks that are meant."""


def observe(footage: Footage[Any], view: CropView, choose: Choice, sitter: Sitter | None, steady: SteadyOptions, finders: Finders, job: Job) -> Cast:  # fmt: skip
    """Follows every face, chooses, and finds where the chosen ones' crops lie; says when the sitter is somebody else.

    sitter: who it is; None for each face's own first frame.  Raises NoFaceError when nobody was seen or chosen, and what playing raises.
    """
    log = job.enter(TrackLog())
    census = Census(finders.identity)
    record(
        follow_frames(footage.frames(), footage.total, footage.name, finders, job), log, census, pixels=steady.pixels
    )
    subjects = []
    room = job.room()
    template = TemplateOptions(template=view.template, size=view.crop_size)
    for track in choose(census):
        path = room / f"{track}{SUFFIX}"
        with job.clock("calm"):
            write_places(path, log, track, template, steady, Path(footage.name).name)
        places = Places(path)
        known = census.summaries[track]
        if sitter is None:
            subjects.append(_first(footage, known.first, places))
        else:
            face = _alike(sitter, known, footage.name, finders, job)
            still = _still(sitter, footage, known.first)
            subjects.append(_subject(sitter.picture, face, place_of(face, template), places, still, told=still is not None))  # fmt: skip
    return Cast(tuple(subjects), census.tracks, _unseen(subjects))


def sitter_of(path: str, finders: Finders) -> Sitter:
    """The picture of a --source: itself, or a video's first frame with a face. Raises MediaError, NoFaceError."""
    if media.probe(path).kind == "image":
        picture = media.read_image(path)
        faces = finders.find(picture)
        if faces:
            return Sitter(path, picture, tuple(finders.settled(picture, face) for face in faces))
    else:
        with media.read(path, ReadOptions()) as frames:
            for frame in frames:
                picture = eight_bit(frame)
                faces = finders.find(picture)
                if faces:
                    return Sitter(path, picture, tuple(faces))
    raise NoFaceError(f"{path} shows no face.", "Give a --source that shows the person's face, or none.")


def nearest(faces: Sequence[Face]) -> Choice:
    """The tracks that begin where these faces are, each once."""

    def choose(census: Census) -> list[int]:
        tracks = list(census.summaries.values())
        found = [min(tracks, key=lambda t: float(np.linalg.norm(_middle(t.box) - _middle(face.box)))) for face in faces]
        return sorted({t.track for t in found})

    return choose


def _middle(box: Array32) -> Array32:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def face_of(place: Place) -> Face:
    """The face that was seen at a place, in its frame's pixels. Raises ValueError where none was."""
    if place.mesh is None:
        raise ValueError("no face was seen at this place")
    return Face(box_of(place.mesh), 1.0, mesh=place.mesh)


def _subject(picture: Image, face: Face, where: Crop, places: Places, still: Image | None, *, told: bool) -> Subject:
    return Subject(np.asarray(crop(picture, where), np.uint8), moved(face, where.crop_from_frame), places, still, told)


def _still(sitter: Sitter, footage: Footage[Any], number: int) -> Image | None:
    """The sitter's picture in the footage's size where it shows the same view: coarse videos are made of such a picture."""
    if sitter.framed:
        return sitter.picture
    frame = eight_bit(next(footage.frames(number)))
    (height, width), (h, w) = frame.shape[:2], sitter.picture.shape[:2]
    if sitter.framed is False or abs(w * height - h * width) > _SHAPE * h * width:
        return None
    scaled = np.asarray(cv2.resize(sitter.picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    small = [cv2.resize(p, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA).astype(np.float32) for p in (scaled, frame)]
    return scaled if float(np.abs(small[0] - small[1]).mean()) < _ALIKE else None


def _first(footage: Footage[Any], number: int, places: Places) -> Subject:
    """Who it is by a frame of the footage itself."""
    frame = next(footage.frames(number))
    (place,) = places.window(number, number + 1)
    picture = eight_bit(frame)
    return _subject(picture, face_of(place), place.where, places, picture, told=False)


def _alike(sitter: Sitter, known: TrackSummary, where: str, finders: Finders, job: Job) -> Face:
    """The sitter's face that is the track's: the most like it, else the largest. Warns when it is another person's."""
    who = finders.identity
    if who is None or not known.vectors:
        if len(sitter.faces) > 1:
            job.warn(f"{sitter.name} shows {len(sitter.faces)} faces, which cannot be told apart here; the largest is taken.")  # fmt: skip
        return max(sitter.faces, key=lambda face: face.area)
    mean = np.mean(known.vectors, 0)
    mean /= max(float(np.linalg.norm(mean)), 1e-6)
    cosines = [float(who.identify(sitter.picture, face).vector @ mean) for face in sitter.faces]
    best = int(np.argmax(cosines))
    if cosines[best] < who.same_person:
        job.warn(f"{sitter.name} does not seem to show the person in {where} (cosine {cosines[best]:.2f}, {who.same_person:.2f} is the same person): check the result.")  # fmt: skip
    return sitter.faces[best]


def _unseen(subjects: Sequence[Subject]) -> int:
    """How many frames show none of them."""
    count = 0
    for start in range(0, len(subjects[0].places), WINDOW):
        seen = [subject.places.file.window(start, start + WINDOW).valid for subject in subjects]
        count += int((~np.any(seen, 0)).sum())
    return count
