"""Between full pictures and engines that see a square crop: where the crops lie, what such an engine observes, its pictures put back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

import numpy as np

from thcli import media
from thcli.core.errors import NoFaceError
from thcli.core.imaging import to_uint8
from thcli.core.options import MotionOptions, ReadOptions, RenderOptions, TemplateOptions
from thcli.core.protocols import CropEngine, CropView, Engine, MotionStore, Source
from thcli.core.types import Array, Array32, Crop, Face, Frame, Image, Motion
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import paste
from thcli.faces.crops.crop import crop, moved
from thcli.faces.crops.stabilize import crop_of, params_of
from thcli.media.info import MediaInfo
from thcli.motion.file import MotionWriter
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_track import place_of
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.sources.source_image import SourceImage

WINDOW = 32  # frames whose crops an engine looks at together
RIM = 0.06  # width of the soft edge of what is put back, as a part of the crop's side


@dataclass(frozen=True, slots=True)
class PastedSource:
    """A crop engine's source and where its crop lies in the picture."""

    inner: Source
    picture: Image
    where: Crop

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.shape[1], self.picture.shape[0]


@dataclass(frozen=True, slots=True)
class Pasted:
    """A crop engine that takes and gives full pictures: it moves what lies in the crop, and the rest stays as it is."""

    inner: CropEngine
    uses_driving_frames: bool = False

    @property
    def motion_kind(self) -> str:
        return self.inner.motion_kind

    @property
    def parallel(self) -> bool:
        return self.inner.parallel

    def encode_source(self, picture: Image, face: Face) -> PastedSource:
        where, cropped, own = cut_source(self.inner, picture, face)
        return PastedSource(self.inner.encode_source(cropped, own), picture, where)

    def observe(self, frames: Sequence[Frame], faces: Sequence[Face | None]) -> Motion:
        return self.inner.observe(frames, faces)

    def retarget(
        self, source: PastedSource, motion: MotionStore, options: MotionOptions
    ) -> MotionStore:
        return self.inner.retarget(source.inner, motion, options)

    def render(
        self, source: PastedSource, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        soft = shown(self.inner)
        return [
            np.asarray(
                paste(
                    source.picture, made, source.where, soft, colour_match=False, blend="feather"
                ),
                np.uint8,
            )
            for made in self.inner.render(source.inner, motion, frames)
        ]


def shown(engine: CropView) -> Array32:
    """How much of an engine's crops shows where they are put back, (crop_size, crop_size) in 0..1."""
    mask = engine.mask
    size = (engine.crop_size, engine.crop_size)
    return np.asarray(rim_mask(size, RIM) if mask is None else mask / np.float32(255), np.float32)


def cut_source(engine: CropView, picture: Image, face: Face) -> tuple[Crop, Image, Face]:
    """Where a source's crop lies, the crop, and the face in its pixels."""
    where = place_of(face, TemplateOptions(template=engine.template, size=engine.crop_size))
    return where, np.asarray(crop(picture, where), np.uint8), moved(face, where.crop_from_frame)


def framed(
    engine: Engine, source_image: SourceImage, options: RenderOptions
) -> tuple[Engine, SourceImage]:
    """The engine and portrait of a job with its --framing and --long-side.

    full: the whole picture, into which a crop engine's crop is put back.  crop: what such an engine sees; a square around the
    faces, in the picture's own resolution, with one that takes any picture.
    """
    if not isinstance(engine, CropEngine):
        return engine, (
            source_image if options.framing == "full" else source_image.squared()
        ).within(options.mesh.long_side)
    if options.framing == "full":
        return Pasted(engine), source_image.within(options.mesh.long_side)
    _, picture, face = cut_source(engine, source_image.picture, source_image.faces[0])
    return engine, replace(source_image, picture=picture, faces=(face,))


def observe_crops(
    engine: CropEngine,
    info: MediaInfo,
    log: TrackLog,
    track: int,
    read: ReadOptions,
    writer: MotionWriter,
    job: Job,
) -> None:
    """What a crop engine sees of a tracked face, window by window: its crop keeps its place, so that the head moves in it.

    Raises NoFaceError when the track has no frame, MediaError when the clip cannot be read again.
    """
    observe_at(
        engine, info, log, track, repeat(resting_place(engine, log, track)), read, writer, job
    )


def observe_at(
    engine: CropEngine,
    info: MediaInfo,
    log: TrackLog,
    track: int,
    places: Iterator[Crop],
    read: ReadOptions,
    writer: MotionWriter,
    job: Job,
) -> None:
    """What a crop engine sees of a tracked face. places: where the crop of each frame lies."""
    with media.read(info.path, read) as frames, job.stage("observe", log.frames) as step:
        pictures = iter(frames)
        for stamps, faces in log.windows(track, WINDOW):
            here = list(islice(places, len(stamps)))
            batch = [
                replace(s, pixels=crop(to_uint8(next(pictures).pixels), at))
                for s, at in zip(stamps, here, strict=True)
            ]
            own = [
                None if f is None else moved(f, at.crop_from_frame)
                for f, at in zip(faces, here, strict=True)
            ]
            with job.clock("observe", frames=len(batch)):
                writer.append(engine.observe(batch, own))
            for _ in stamps:
                step()


def resting_place(engine: CropEngine, log: TrackLog, track: int) -> Crop:
    """One upright square for the whole clip: the mean of where the face's own crops would lie."""
    size = engine.crop_size
    total, count = np.zeros(4), 0
    for params in _places(engine, log, track):
        total, count = total + params, count + 1
    if not count:
        raise NoFaceError("The chosen face is in no frame of the clip.")
    x, y, log_side, _ = total / count
    return crop_of([x, y, log_side, 0.0], (size, size))


def _places(engine: CropEngine, log: TrackLog, track: int) -> Iterator[Array]:
    options = TemplateOptions(template=engine.template, size=engine.crop_size)
    for _, faces in log.windows(track, WINDOW):
        for face in faces:
            if face is not None:
                yield params_of([place_of(face, options)])[0]
