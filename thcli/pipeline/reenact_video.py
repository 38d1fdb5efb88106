"""A clip as the source (dubbing): each of its frames keeps its own pose and expression, and what changed in the driver is added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.imaging import to_uint8
from thcli.core.options import (
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    SteadyOptions,
    TemplateOptions,
)
from thcli.core.protocols import MotionStore, VideoSourceEngine
from thcli.core.types import Frame, Image, Motion
from thcli.faces.compositing.paste import paste
from thcli.faces.crops.crop import crop
from thcli.media.info import MediaInfo
from thcli.media.writing.target import Target
from thcli.motion.file import MotionFile, MotionWriter
from thcli.pipeline.compare import compare
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, write_places
from thcli.pipeline.observe.driver import look, observe_driver
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.render.background import KEEP
from thcli.pipeline.render.frames import RenderedFrame, SourceFace, draw
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.sources.framing import observe_at, shown
from thcli.pipeline.sources.source_image import FaceFinder


def dub(
    engine: VideoSourceEngine,
    source: str | Path,
    drive: MediaInfo,
    output: str | Path | None,
    options: ReenactOptions,
    post_processor: PostProcessor,
    job: Job,
) -> Report:
    """`reenact` for a source clip: its frames, time stamps and size; frames that do not show the face pass through unchanged.

    Both clips begin together, and the output ends with the shorter one (LivePortrait's rule); a single picture drives the whole clip.
    Raises what `reenact` raises.
    """
    info, face_finder = media.probe(source), post_processor.face_finder
    target = output_path(
        output, f"{Path(source).stem}_{drive.path.stem}", drive.path, info, "reenact"
    )
    Target(target, options.output.overwrite).check(0)
    if options.mesh.long_side:
        raise UsageError("--long-side does not apply to a source video: its size is kept.")
    kept = options.save_motion or job.temp_dir() / "driver.motion.safetensors"
    redo = options.output.overwrite
    driver = observe_driver(
        drive, kept, engine, options.faces.select, options.read, face_finder, job, redo
    )
    span = options.read if len(driver.motion) == 1 else ReadOptions(end=_length(driver.motion))
    clip = observe_source(info, engine, span, options, face_finder, job)
    moves = engine.follow(clip.motion, driver.motion, options.motion)
    source_face, mixer = (
        SourceFace(clip.places, moves),
        Dubbing(engine, options.framing == "full", options.background == KEEP),
    )
    size = info.size if mixer.whole else clip.places.size
    writer = media.write(
        target,
        size,
        info,
        _sound(options.output, drive),
        drive=info,
        source=drive,
        span=span,
        source_span=options.read,
        frames=len(moves),
        provenance=post_processor.provenance("reenact", options.engine),
        fingerprint=fingerprint((source, drive.path), options),
        on=job.on,
    )

    def frames_from(start: int) -> Iterator[RenderedFrame]:
        frames = job.clock.over("decode again", job.enter(media.read(info.path, span)))
        blank = np.zeros((*size[::-1], 3), np.uint8)
        for rendered in draw(mixer, [source_face], blank, frames, start, options.run, job.clock):
            failed = None if rendered.made else rendered.driving
            yield (
                rendered
                if failed is None
                else replace(rendered, picture=mixer.untouched(clip.places, failed))
            )

    with writer as out:
        counter = post_processor.render(frames_from, len(moves), out, None, size, job)
    if options.compare is not None:
        shown_too = [source, target] if drive.kind == "motion" else [source, drive.path, target]
        compare(
            shown_too,
            options.compare,
            output=options.output,
            read=options.read,
            on=job.on,
            whole=[target],
        )
    details = {"source": "video", **post_processor.details}
    return job.report(
        target,
        counter,
        faces=clip.faces,
        passed_through=clip.unseen,
        engine=options.engine,
        details=details,
    )


def is_clip(source: str | Path) -> bool:
    """Whether a source is a video."""
    return str(source) != "-" and media.probe(source).kind == "video"


@dataclass(frozen=True, slots=True)
class SourceClip:
    """A source clip's motion and where the crops lie. faces: different faces seen.  unseen: frames without the chosen one."""

    motion: MotionStore
    places: CropTrack
    faces: int
    unseen: int


def observe_source(
    info: MediaInfo,
    engine: VideoSourceEngine,
    span: ReadOptions,
    options: ReenactOptions,
    face_finder: FaceFinder,
    job: Job,
) -> SourceClip:
    """Tracks --source-face through a clip, calms its crops, and lets the engine look at each. Raises NoFaceError, MediaError, UsageError."""
    temp_dir = job.temp_dir()
    path, motion = temp_dir / f"source{SUFFIX}", temp_dir / "source.motion.safetensors"
    with TrackLog() as log:
        statistics = look(info, log, span, face_finder, job, options.source_face, pixels=True)
        chosen = face_finder.choose(statistics, options.source_face, str(info.path), job)
        if len(chosen) > 1:
            raise UsageError(
                f"{info.path} shows {len(chosen)} faces, and one is dubbed at a time.",
                "Choose it with --source-face N.",
            )
        template = TemplateOptions(template=engine.template, size=engine.crop_size)
        with job.clock("calm"):
            unseen = write_places(path, log, chosen[0], template, SteadyOptions(), info.path.name)
        places = CropTrack(path)
        with MotionWriter(motion, {"source": info.path.name}) as writer:
            observe_at(
                engine, info, log, chosen[0], (place.where for place in places), span, writer, job
            )
    return SourceClip(MotionFile(motion), places, statistics.tracks, unseen)


@dataclass(frozen=True, slots=True)
class Dubbing:
    """Has the crops of the source's own frames repainted. whole: puts them back.  deep: into frames of their own bit depth."""

    inner: VideoSourceEngine
    whole: bool
    deep: bool

    @property
    def parallel(self) -> bool:
        return self.inner.parallel

    def render(
        self, source: CropTrack, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """source: where the crops lie.  frames: the source's own."""
        given = list(frames or ())
        places = [place.where for place in source.window(given[0].index, given[-1].index + 1)]
        crops = [
            np.asarray(crop(to_uint8(f.pixels), at), np.uint8)
            for f, at in zip(given, places, strict=True)
        ]
        seen = np.flatnonzero(motion.valid)
        out = [self.untouched(source, frame) for frame in given]
        made = self.inner.repaint([crops[i] for i in seen], motion[seen])
        soft = shown(self.inner)
        for i, picture in zip(seen, made, strict=True):
            out[i] = (
                paste(out[i], picture, places[i], soft, colour_match=False, blend="feather")
                if self.whole
                else picture
            )
        return out

    def untouched(self, source: CropTrack, frame: Frame) -> Any:
        """What is shown of a frame where nothing is made."""
        if self.whole:
            return frame.pixels if self.deep else to_uint8(frame.pixels)
        (place,) = source.window(frame.index, frame.index + 1)
        return crop(to_uint8(frame.pixels), place.where)


def _length(motion: MotionFile) -> float:
    """Seconds from a clip's first frame to the end of its last, which is shown as long as the one before it (a little less, for `<`)."""
    last, count = motion.window(len(motion) - 2, len(motion)).pts, motion.window(0, 1).pts
    shown = last[1] - last[0]
    return float((int(last[1] - count[0]) + int(shown)) * motion.time_base) - 1e-3 * float(
        int(shown) * motion.time_base
    )


def _sound(output: OutputOptions, drive: MediaInfo) -> OutputOptions:
    """In the words of `media.write`, for which the clip whose frames are written is the driver. A driver without sound leaves the source's."""
    words = {"source": "drive", "drive": "source" if drive.audio else "drive"}
    return replace(output, audio=words.get(output.audio, output.audio))
