"""Reenactment of a source video: each frame keeps its pose and expression.

The driver's change is added to them.
"""

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
    CompareOptions,
    OutputOptions,
    ReadOptions,
    StabilizationOptions,
    TemplateOptions,
)
from thcli.core.protocols import MotionStore, VideoSourceEngine
from thcli.core.types import Frame, Image, Motion
from thcli.faces.compositing.paste import CHANGE_ONLY, paste
from thcli.faces.crops.crop import crop
from thcli.media.info import MediaInfo
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import MotionSpan
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.compare import write_comparison
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.observe.crop_motion import observe_placements
from thcli.pipeline.observe.crop_track import SUFFIX, CropTrack, write_crop_track
from thcli.pipeline.observe.driver import observe_driver
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces
from thcli.pipeline.render.background import KEEP
from thcli.pipeline.render.frames import RenderPlan, SourceFace, render_frames
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.framing import paste_mask


def reenact_video(
    engine: VideoSourceEngine, source: str | Path, output: str | Path | None, render_job: RenderJob
) -> Report:
    """Reenact a source video.

    The output has the frames, time stamps and size of the source. Frames without the face pass
    through unchanged. Source and driver begin together, and the output ends with the shorter one,
    as in LivePortrait. A single driving image drives the whole source.

    Args:
        engine: animates video crops.
        source: video.
        output: see `reenact`.
        render_job: driver, options and post-processing.

    Raises:
        ThcliError: as `reenact`.
    """
    driver, options, job = render_job.driver, render_job.options, render_job.job
    post_processor = render_job.post_processor
    info = media.probe(source, options.read)
    stem = f"{Path(source).stem}_{driver.path.stem}"
    target = output_path(output, stem, driver.path, info, "reenact")
    check_outputs(target, options.output, compare=options.compare, file=options.save_motion)
    if options.mesh.long_side:
        raise UsageError("--long-side does not apply to a source video: its size is kept.")

    # Pass 1. Motion of the driver; crops and motion of the source.
    observed = observe_driver(
        render_job.driving_face,
        render_job.motion_path(),
        engine,
        post_processor.face_finder,
        job,
    )
    is_still = len(observed.motion) == 1
    span = options.read
    if not is_still:
        span = replace(span.whole, end=_duration(observed.motion))
    selection = VideoSelection(info, span, options.source_face)
    video = observe_source_video(selection, engine, post_processor.face_finder, job)
    motion = engine.transfer_motion(video.motion, observed.motion, options.motion)

    # Pass 2. Render each crop, paste it, refine, replace the background, write.
    renderer = VideoFrameRenderer(engine, options.framing == "full", options.background == KEEP)
    size = info.size if renderer.full_frame else video.crop_track.size
    black = np.zeros((*size[::-1], 3), np.uint8)
    faces = [SourceFace(video.crop_track, motion)]
    render_plan = RenderPlan(renderer, faces, black, job.batches("render"))

    def render_from(start: int) -> Iterator[RenderedFrame]:
        frames = job.clock.time_each("decode again", job.enter(job.frames(info.path, span)))
        for frame in render_frames(render_plan, frames, start, options.run, job.clock):
            if frame.succeeded or frame.driving is None:
                yield frame
            else:
                original = renderer.original_pixels(video.crop_track, frame.driving)
                yield replace(frame, image=original)

    plan = media.WritePlan(
        frames=len(motion),
        drive=info,
        span=span,
        source=driver,
        source_span=options.read,
        provenance=post_processor.provenance("reenact", options.engine),
        fingerprint=job.fingerprint(),
    )
    output_options = _swap_audio_roles(options.output, driver)
    with media.write(target, size, info, output_options, plan, on=job.on) as out:
        refined_from = post_processor.refine(render_from, len(motion), None, job)
        counter = post_processor.write(refined_from, len(motion), out, size, job)
    inputs = [source] if driver.kind == "motion" else [source, driver.path]
    comparison = CompareOptions(read=options.read, output=options.output)
    write_comparison(options.compare, inputs, target, comparison, job.on)
    return job.report(
        target,
        counter,
        faces=video.tracks,
        passed_through=video.unseen,
        engine=options.engine,
        details={"source": "video", **post_processor.details},
    )


def is_video(source: str | Path, read: ReadOptions) -> bool:
    """Return True for a source video, False for an image, an animation or standard input."""
    return str(source) != "-" and media.probe(source, read).kind == "video"


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """Motion and crops of a source video.

    motion: of the chosen face.
    crop_track: its smoothed crops.
    tracks: number of different faces in the video.
    unseen: frames in which the chosen face was not detected.
    """

    motion: MotionStore
    crop_track: CropTrack
    tracks: int
    unseen: int


def observe_source_video(
    video: VideoSelection, engine: VideoSourceEngine, face_finder: FaceFinder, job: Job
) -> SourceVideo:
    """Track a face through a source video, smooth its crops and extract its motion.

    Raises:
        NoFaceError: no frame shows the chosen face.
        MediaError: the video cannot be read.
        UsageError: several faces are chosen.
    """
    temp_dir, name = job.temp_dir(), video.info.path.name
    crops_path, motion_path = temp_dir / f"source{SUFFIX}", temp_dir / "source.motion.safetensors"
    with TrackLog() as log:
        statistics = track_faces(video, log, face_finder, job, head_motion=True)
        chosen = face_finder.choose(statistics, video.select, str(video.info.path), job)
        if len(chosen) > 1:
            raise UsageError(
                f"{video.info.path} shows {len(chosen)} faces, but only one can be reenacted.",
                "Choose it with --source-face N.",
            )
        track, template = chosen[0], TemplateOptions(engine.template, engine.crop_size)
        with job.clock("calm"):
            unseen = write_crop_track(
                crops_path, log, track, template, StabilizationOptions(), name
            )
        crop_track = CropTrack(crops_path)
        placements = (tracked_crop.placement for tracked_crop in crop_track)
        with MotionWriter(motion_path, {"source": name}) as writer:
            observe_placements(engine, video, log, track, placements, writer, job)
    return SourceVideo(MotionFile(motion_path), crop_track, statistics.tracks, unseen)


@dataclass(frozen=True, slots=True)
class VideoFrameRenderer:
    """A renderer of the crops of a source video.

    engine: renders crops.
    full_frame: the crops are pasted into their frames.
    keep_depth: frames keep more than 8 bits per channel.
    """

    engine: VideoSourceEngine
    full_frame: bool
    keep_depth: bool

    @property
    def parallel(self) -> bool:
        """See `Engine`."""
        return self.engine.parallel

    def render(
        self, source: CropTrack, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]:
        """Render a window of frames.

        Args:
            source: placement of the crops.
            motion: T rows; frames whose row is not valid are not rendered.
            frames: T frames of the source video.

        Returns:
            T images.
        """
        given = list(frames or ())
        window = source.window(given[0].index, given[-1].index + 1)
        placements = [tracked_crop.placement for tracked_crop in window]
        crops = [
            np.asarray(crop(to_uint8(frame.pixels), placement), np.uint8)
            for frame, placement in zip(given, placements, strict=True)
        ]
        seen = np.flatnonzero(motion.valid)
        images = [self.original_pixels(source, frame) for frame in given]
        rendered = self.engine.render_frames([crops[i] for i in seen], motion[seen])
        mask = paste_mask(self.engine)
        for i, image in zip(seen, rendered, strict=True):
            if self.full_frame:
                images[i] = paste(images[i], image, placements[i], mask, options=CHANGE_ONLY)
            else:
                images[i] = image
        return images

    def original_pixels(self, source: CropTrack, frame: Frame) -> Any:
        """Return the output for a frame in which nothing is rendered."""
        if self.full_frame:
            return frame.pixels if self.keep_depth else to_uint8(frame.pixels)
        (tracked_crop,) = source.window(frame.index, frame.index + 1)
        return crop(to_uint8(frame.pixels), tracked_crop.placement)


def _duration(motion: MotionSpan) -> float:
    """Return the seconds from the first frame of a motion to just before the end of its last.

    The last frame lasts as long as the one before it. 1/1000 of that is subtracted, so that the
    rounding to float does not include a frame that begins at the end.
    """
    first, last = motion.window(0, 1).pts, motion.window(len(motion) - 2, len(motion)).pts
    frame = int(last[1] - last[0])
    seconds = float((int(last[1] - first[0]) + frame) * motion.time_base)
    return seconds - 1e-3 * float(frame * motion.time_base)


def _swap_audio_roles(output: OutputOptions, driver: MediaInfo) -> OutputOptions:
    """Return --audio in the terms of `media.write`, whose driver is the file of the frames.

    A driver without audio leaves the audio of the source.
    """
    roles = {"source": "drive", "drive": "source" if driver.audio else "drive"}
    return replace(output, audio=roles.get(output.audio, output.audio))
