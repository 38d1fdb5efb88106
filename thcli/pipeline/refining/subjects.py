"""Pass 1 of refinement: crop tracks of the chosen faces and the images of their identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.geometry import bounding_box
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions, StabilizationOptions, TemplateOptions
from thcli.core.protocols import CropView
from thcli.core.types import Array32, Face, Image
from thcli.faces.crops.crop import crop, transform_face
from thcli.faces.tracking.select import TrackStatistics, TrackSummary
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.observe.crop_path import WINDOW
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, TrackedCrop, write_crop_track
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import record_faces, track_frames
from thcli.pipeline.refining.moving_camera import (
    logged_camera_moves,
    wants_still_camera,
    warn_of_camera,
)

_MAX_ASPECT_DIFFERENCE = 0.01  # relative, of two images of the same view
SEARCHED_FRAMES = 250  # in which the sharpest frame of a clip without a source is searched
_THUMBNAIL_SIDE = 24  # pixels, to compare views
_MAX_VIEW_DIFFERENCE = 20.0  # levels of 255 between thumbnails of the same view


@dataclass(frozen=True, slots=True)
class DetailSource:
    """An image with the detail of a face.

    image: (H, W, 3) uint8.
    face: with its mesh, in pixels of `image`.
    """

    image: Image
    face: Face


@dataclass(frozen=True, slots=True)
class Subject:
    """One face of the footage.

    image: (n, n, 3) uint8 crop that shows the identity, placed as the refiner's crops.
    face: in pixels of `image`.
    crop_track: crops of the face in every frame.
    reference_frame: (H, W, 3) uint8 in the size of the footage: the source from the same camera
        view; None when the source shows another view.
    source_is_reference: True when the user stated that the footage was rendered from it.
    source: where the detail comes from.
    template: of the crops.
    camera_moves: the network, which serves still cameras alone, leaves the clip as it is.
    """

    image: Image
    face: Face
    crop_track: CropTrack
    reference_frame: Image | None
    source_is_reference: bool
    source: DetailSource
    template: TemplateOptions
    camera_moves: bool = False


@dataclass(frozen=True, slots=True)
class ObservedFaces:
    """The chosen faces of the footage.

    subjects: one per chosen face.
    tracks: number of different faces in the footage.
    unseen: frames that show none of the chosen faces.
    """

    subjects: tuple[Subject, ...]
    tracks: int
    unseen: int


@dataclass(frozen=True, slots=True)
class ReferenceImage:
    """An image of the identity.

    name: for messages.
    image: (H, W, 3) uint8.
    faces: in it.
    same_view: the footage was rendered from this image; None when unknown.
    """

    name: str
    image: Image
    faces: tuple[Face, ...]
    same_view: bool | None = None


TrackSelector = Callable[[TrackStatistics, TrackLog], Sequence[int]]
"""Returns the numbers of the chosen tracks, from their statistics and all faces."""


def observe_subjects(
    footage: ReplayableFrames[Any],
    network: CropView,
    select: TrackSelector,
    reference: ReferenceImage | None,
    stabilization: StabilizationOptions,
    face_finder: FaceFinder,
    job: Job,
) -> ObservedFaces:
    """Track every face of the footage and write the crop tracks of the chosen ones.

    Args:
        footage: coarse or camera frames.
        network: size and template of the crops.
        select: chooses the faces.
        reference: image of the identity; None: the first frame of each face.
        stabilization: smoothing of the crops.
        face_finder: detector, landmarker and identity encoder.
        job: warns when the reference seems to show another person, or the camera moves.

    Raises:
        NoFaceError: no face was detected, or none fits.
    """
    log = job.enter(TrackLog())
    statistics = TrackStatistics(face_finder.identity)
    frames = track_frames(footage.frames(), footage.total, footage.name, face_finder, job)
    camera = face_finder.camera_estimator() if wants_still_camera(network) else None
    record_faces(frames, log, statistics, FrameMeasurer(stabilization.pixels, camera))
    moves = camera is not None and logged_camera_moves(log)
    if moves:
        warn_of_camera(footage.name, job)
    subjects = []
    temp_dir = job.temp_dir()
    template = TemplateOptions(template=network.template, size=network.crop_size)
    for track in select(statistics, log):
        path = temp_dir / f"{track}{SUFFIX}"
        with job.clock("calm"):
            write_crop_track(path, log, track, template, stabilization, Path(footage.name).name)
        crop_track, summary = CropTrack(path), statistics.summaries[track]
        if reference is None:
            subject = _subject_of_footage(footage, summary.first, crop_track, template)
        else:
            face = match_identity(reference, summary, footage.name, face_finder, job)
            frame = _reference_frame(reference, footage, summary.first)
            source = DetailSource(reference.image, face)
            subject = subject_of_source(source, crop_track, frame, template)
        subjects.append(replace(subject, camera_moves=moves))
    return ObservedFaces(tuple(subjects), statistics.tracks, _count_unseen(subjects))


def read_reference_image(path: str, face_finder: FaceFinder, read: ReadOptions) -> ReferenceImage:
    """Read the image of --source: an image, or a video's first frame with a face.

    Raises MediaError when it cannot be read, NoFaceError when it shows no face.
    """
    if media.probe(path, read).kind == "image":
        image = media.read_image(path, options=read)
        faces = face_finder.find(image)
        if faces:
            refined = tuple(face_finder.refine_landmarks(image, face) for face in faces)
            return ReferenceImage(path, image, refined)
    else:
        with media.read(path, read.whole, tone_mapped=True) as frames:
            for frame in frames:
                image = to_uint8(frame.pixels)
                faces = face_finder.find(image)
                if faces:
                    return ReferenceImage(path, image, tuple(faces))
    raise NoFaceError(
        f"{path} shows no face.", "Give a --source that shows the person's face, or none."
    )


def select_nearest(faces: Sequence[Face]) -> TrackSelector:
    """Select the tracks that begin nearest to given faces, each once."""

    def select(statistics: TrackStatistics, _log: TrackLog) -> list[int]:
        tracks = list(statistics.summaries.values())

        def nearest(face: Face) -> TrackSummary:
            centre = _centre(face.box)
            return min(tracks, key=lambda t: float(np.linalg.norm(_centre(t.box) - centre)))

        return sorted({nearest(face).track for face in faces})

    return select


def _centre(box: Array32) -> Array32:
    return np.asarray((box[:2] + box[2:]) / 2, np.float32)


def tracked_face(tracked_crop: TrackedCrop) -> Face:
    """Return the face of a tracked crop in pixels of its frame.

    Raises ValueError where no face was detected.
    """
    if tracked_crop.mesh is None:
        raise ValueError("the tracked crop has no face")
    return Face(bounding_box(tracked_crop.mesh), 1.0, mesh=tracked_crop.mesh)


def camera_moves(subjects: Sequence[Subject]) -> bool:
    """Return whether the network leaves the clip of these faces as it is."""
    return any(subject.camera_moves for subject in subjects)


def subject_of_source(
    source: DetailSource,
    crop_track: CropTrack,
    reference_frame: Image | None,
    template: TemplateOptions,
) -> Subject:
    """Crop the identity from a reference image."""
    placement = crop_placement(source.face, template)
    return Subject(
        np.asarray(crop(source.image, placement), np.uint8),
        transform_face(source.face, placement.crop_from_frame),
        crop_track,
        reference_frame,
        source_is_reference=reference_frame is not None,
        source=source,
        template=template,
    )


def _subject_of_footage(
    footage: ReplayableFrames[Any], number: int, crop_track: CropTrack, template: TemplateOptions
) -> Subject:
    """Crop the identity from a frame of the footage; the sharpest frame gives the detail."""
    frame = next(footage.frames(number))
    (tracked_crop,) = crop_track.window(number, number + 1)
    image = to_uint8(frame.pixels)
    placement = tracked_crop.placement
    return Subject(
        np.asarray(crop(image, placement), np.uint8),
        transform_face(tracked_face(tracked_crop), placement.crop_from_frame),
        crop_track,
        image,
        source_is_reference=False,
        source=_sharpest_frame(footage, number, crop_track),
        template=template,
    )


def _sharpest_frame(
    footage: ReplayableFrames[Any], first: int, crop_track: CropTrack
) -> DetailSource:
    """Return the sharpest frame with the face among the first SEARCHED_FRAMES ones.

    first: number of the first frame with the face.
    """
    best, sharpest = None, -1.0
    numbers = range(first, min(first + SEARCHED_FRAMES, len(crop_track)))
    tracked_crops = crop_track.window(numbers.start, numbers.stop)
    for frame, tracked in zip(footage.frames(first), tracked_crops, strict=False):
        if tracked.outline is None:
            continue
        image = to_uint8(frame.pixels)
        sharpness = _sharpness(np.asarray(crop(image, tracked.placement), np.uint8))
        if sharpness > sharpest:
            best, sharpest = DetailSource(image, tracked_face(tracked)), sharpness
    assert best is not None  # the first frame has the face
    return best


def _sharpness(image: Image) -> float:
    """Return the variance of the Laplacian of an image (H, W, 3) uint8, squared levels of 255."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _reference_frame(
    reference: ReferenceImage, footage: ReplayableFrames[Any], number: int
) -> Image | None:
    """Return the reference in the size of the footage when both show the same view.

    Coarse videos are rendered from such an image. number: of the frame that is compared.
    """
    if reference.same_view:
        return reference.image
    frame = to_uint8(next(footage.frames(number)).pixels)
    (height, width), (h, w) = frame.shape[:2], reference.image.shape[:2]
    aspect_differs = abs(w * height - h * width) > _MAX_ASPECT_DIFFERENCE * h * width
    if reference.same_view is False or aspect_differs:
        return None
    scaled = np.asarray(
        cv2.resize(reference.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8
    )
    difference = float(np.abs(_thumbnail(scaled) - _thumbnail(frame)).mean())
    return scaled if difference < _MAX_VIEW_DIFFERENCE else None


def _thumbnail(image: Image) -> Array32:
    size = (_THUMBNAIL_SIDE, _THUMBNAIL_SIDE)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def match_identity(
    reference: ReferenceImage, summary: TrackSummary, name: str, face_finder: FaceFinder, job: Job
) -> Face:
    """Return the reference's face that is most similar to a track; the largest without identities.

    Warn when they seem to be different persons. name: of the footage.
    """
    if reference.same_view and len(reference.faces) == 1:
        return reference.faces[0]  # the footage was rendered from it: nobody is compared
    encoder = face_finder.identity
    if encoder is None or not summary.crops:
        if len(reference.faces) > 1:
            job.warn(
                f"{reference.name} shows {len(reference.faces)} faces, which cannot be "
                "distinguished without an identity encoder; the largest is used."
            )
        return max(reference.faces, key=lambda face: face.area)
    mean = encoder.encode_crops(summary.crops).mean(0)
    mean /= max(float(np.linalg.norm(mean)), 1e-6)
    cosines = [
        float(encoder.identify(reference.image, face).vector @ mean) for face in reference.faces
    ]
    best = int(np.argmax(cosines))
    if cosines[best] < encoder.same_person:
        job.warn(
            f"{reference.name} does not seem to show the person in {name} (cosine "
            f"{cosines[best]:.2f}, {encoder.same_person:.2f} is the same person): "
            "check the result."
        )
    return reference.faces[best]


def _count_unseen(subjects: Sequence[Subject]) -> int:
    """Count the frames that show none of the subjects."""
    count = 0
    for start in range(0, len(subjects[0].crop_track), WINDOW):
        seen = [s.crop_track.file.window(start, start + WINDOW).valid for s in subjects]
        count += int((~np.any(seen, 0)).sum())
    return count
