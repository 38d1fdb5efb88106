"""Source image of a reenactment and the faces that are animated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import ReenactOptions, RenderOptions
from thcli.core.types import Array, Face, Image
from thcli.faces.crops import align
from thcli.faces.crops.crop import crop, transform_face
from thcli.media.info import MediaInfo
from thcli.motion.canonical import decompose, eye_openings
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.face_finder import FaceFinder

CONFIDENT_LOGIT = 15.0  # of the mesh network: photos have 24 to 28, a bad fit 6.6
OPEN_EYE = 0.12  # lid gap over eye width
CROP_SCALE = 2.3  # side of --framing crop over the face box, as in LivePortrait
SEARCH_SECONDS = 10.0  # range of a source video in which the source frame is searched


@dataclass(frozen=True, slots=True)
class SourceImage:
    """A source image and its chosen faces.

    info: the probed file.
    image: (H, W, 3) uint8 RGB.
    faces: each with its mesh in pixels of the image; `track` is its number from the left.
    others: faces that were not chosen.
    """

    info: MediaInfo
    image: Image
    faces: tuple[Face, ...]
    others: tuple[Face, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def beside(self, face: Face) -> list[Face]:
        """Return the image's faces without one of them."""
        return [other for other in (*self.faces, *self.others) if other is not face]

    def crop_square(self) -> SourceImage:
        """Crop an upright square around the faces, in the resolution of the image and inside it."""
        boxes = np.stack([face.box for face in self.faces])
        box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        placement = align.square_within(box, self.size, CROP_SCALE)
        image = np.asarray(crop(self.image, placement), np.uint8)
        return self._moved(image, placement.crop_from_frame)

    def downscale(self, long_side: int) -> SourceImage:
        """Reduce the long side to at most `long_side` pixels; 0 keeps the size."""
        width, height = self.size
        if not long_side or max(self.size) <= long_side:
            return self
        factor = long_side / max(self.size)
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        small_from_image = np.diag([size[0] / width, size[1] / height, 1.0])
        small_from_image[:2, 2] = (small_from_image.diagonal()[:2] - 1) / 2  # pixel centres
        image = np.asarray(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return self._moved(image, small_from_image)

    def _moved(self, image: Image, dst_from_src: Array) -> SourceImage:
        """Return the source with a copy of its image, whose pixels are moved by (3, 3)."""
        faces, others = (
            tuple(transform_face(face, dst_from_src) for face in part)
            for part in (self.faces, self.others)
        )
        return replace(self, image=image, faces=faces, others=others)


def read_source_image(
    source: str | Path, options: RenderOptions, face_finder: FaceFinder, job: Job
) -> SourceImage:
    """Read a source image and detect the faces that --source-face selects.

    Args:
        source: image, or video. Of a video the frame at options.source_time is used, else the
            first frame with open eyes and a confident landmark fit.
        options: source_face, source_time.
        face_finder: detector and landmarker.
        job: receives warnings.

    Raises:
        MediaError: the source cannot be read.
        NoFaceError: it shows no such face.
        UsageError: it is standard input, or has no frame at options.source_time.
    """
    if str(source) == "-":
        raise UsageError(
            "The source cannot be standard input.", "Give it as a file; the driver may be '-'."
        )
    options = replace(options, read=replace(options.read, square_pixels=True))
    info = media.probe(source, options.read)
    if info.kind == "image":
        image = media.read_image(source, options=options.read)
        faces = face_finder.find(image)
    else:
        image, faces = _read_video_frame(source, options, face_finder)
    drivers = sorted(options.drivers) if isinstance(options, ReenactOptions) else []
    select = "all" if drivers else options.source_face
    statistics = face_finder.statistics(select)
    statistics.add(faces, image)
    for number in drivers:  # numbers that the image does not have are named here
        face_finder.choose(statistics, str(number), str(source), job)
    numbers = face_finder.choose(statistics, select, str(source), job)
    chosen = [faces[number] for number in numbers]
    if len(faces) > 1 and select == "largest":
        job.warn(
            f"{source} shows {len(faces)} faces; the largest is used. "
            f"Choose with --source-face ({statistics.describe_faces()})."
        )
    for face in chosen:
        if face.logit < CONFIDENT_LOGIT:
            job.warn(
                f"The landmarks of the face in {source} are uncertain (confidence "
                f"{face.logit:.0f}, photos have 24 or more): check the result."
            )
    others = tuple(face for number, face in enumerate(faces) if number not in numbers)
    return SourceImage(info, image, tuple(chosen), others)


def warn_of_strangers(
    source: SourceImage, pictures: Sequence[SourceImage], face_finder: FaceFinder, job: Job
) -> None:
    """Warn of further pictures that seem to show another person than the source.

    Nobody is compared without an identity encoder.
    """
    encoder = face_finder.identity
    if encoder is None or not pictures:
        return
    own = encoder.identify(source.image, source.faces[0]).vector
    for picture in pictures:
        cosine = float(own @ encoder.identify(picture.image, picture.faces[0]).vector)
        if cosine < encoder.same_person:
            job.warn(
                f"{picture.info.path} does not seem to show the person in {source.info.path} "
                f"(cosine {cosine:.2f}, {encoder.same_person:.2f} is the same person): the face "
                "would change between them. Leave that --also out."
            )


def _read_video_frame(
    source: str | Path, options: RenderOptions, face_finder: FaceFinder
) -> tuple[Image, list[Face]]:
    """Return the frame of a video at options.source_time and its faces.

    None: the first good frame of the first SEARCH_SECONDS, else the best of them.
    """
    seconds, whole = options.source_time, options.read.whole
    end = SEARCH_SECONDS if seconds is None else None
    span = replace(whole, start=seconds or 0.0, end=end, hdr="tonemap")
    best: tuple[float, Image, list[Face]] | None = None
    with media.read(source, span) as frames:
        for frame in frames:
            image = to_uint8(frame.pixels)
            faces = face_finder.find(image)
            quality = max((_quality(face) for face in faces), default=-1.0)
            if best is None or quality > best[0]:
                best = quality, image, faces
            if seconds is not None or quality >= 1:
                break
    if best is None:
        raise UsageError(
            f"{source} has no frame at {seconds} s.", "Choose an earlier --source-time."
        )
    return best[1], best[2]


def _quality(face: Face) -> float:
    """Return 1 for open eyes and a confident fit, less otherwise, -1 without a mesh."""
    if face.mesh is None:
        return -1.0
    openness = float(eye_openings(decompose(face.mesh).shape).min()) / OPEN_EYE
    return min(face.logit / CONFIDENT_LOGIT, 1.0) * min(openness, 1.0)
