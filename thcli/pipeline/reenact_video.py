"""Reenactment of a source video: each frame keeps its pose, light and background.

The driver changes what --region names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.options import CompareOptions
from thcli.core.protocols import CropEngine, VideoSourceEngine
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.motion.file.span import MotionSpan
from thcli.pipeline.check_options import check_video_source
from thcli.pipeline.compare import write_comparison
from thcli.pipeline.job.job import Report
from thcli.pipeline.job.output_names import check_outputs, output_path
from thcli.pipeline.job.preview import preview_stem
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.job.spans import frames_until_the_shorter_end, least_frames
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.render.background import KEEP
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, SourceFace, render_frames
from thcli.pipeline.render.helpers import share_rendering
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.render.video_frames import (
    CropFrameRenderer,
    CropVideoEngine,
    VideoRenderer,
    WholeFrameRenderer,
    kept_where_failed,
)
from thcli.pipeline.sources.source_video import observe_source_video, swap_audio_roles


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
    target = output_path(
        output,
        preview_stem(stem, options),
        driver.path,
        info,
        "reenact",
        least_frames(info, options.read) if driver.kind == "image" else 0,  # a video is checked
    )
    check_outputs(target, options.output, compare=options.compare, file=options.save_motion)
    check_video_source(options, whole_frames=not isinstance(engine, CropEngine))

    if driver.kind == "image":
        name = Path(source).name
        job.warn(
            f"{driver.path.name} is one picture: it sets the expression of every frame of {name}. "
            f"To animate the picture, give it first: thcli reenact {driver.path.name} {name}"
        )

    # Pass 1. Motion of the driver; crops and motion of the source.
    expected = frames_until_the_shorter_end(info, driver, options.read)
    shared = share_rendering(engine, job, options.run, expected, info.size)
    observed = render_job.observe(engine)
    is_still = len(observed.motion) == 1
    span = options.read
    if not is_still:
        span = replace(span.whole, end=_duration(observed.motion))
    selection = VideoSelection(info, span, options.source_face)
    video = observe_source_video(selection, engine, post_processor.face_finder, job)
    motion = engine.transfer_motion(video.motion, observed.motion, options.motion)

    # Pass 2. Render each frame or its crop, paste it, refine, replace the background, write.
    keep_depth = options.background == KEEP
    renderer: VideoRenderer
    size, like = info.size, info
    if isinstance(engine, CropVideoEngine) and video.crop_track is not None:
        full = options.framing == "full"
        renderer = CropFrameRenderer(
            engine, video.encoded, video.pixels, full, keep_depth, pixel_ops(options.run.device)
        )
        if not full:
            size, like = video.crop_track.size, replace(info, sar=Fraction(1))
    else:
        renderer = WholeFrameRenderer(shared, video.encoded, video.pixels, keep_depth)
    black = np.zeros((*size[::-1], 3), np.uint8)
    faces = [SourceFace(video.crop_track, motion)]
    render_plan = RenderPlan(renderer, faces, black, job.batches("render"))

    def render_from(start: int) -> Iterator[RenderedFrame]:
        frames = job.clock.time_each("decode again", job.enter(job.frames(info.path, span)))
        rendered = render_frames(render_plan, DrivingFrames(frames), start, options.run, job.clock)
        return kept_where_failed(rendered, renderer, video.crop_track)

    plan = media.WritePlan(
        frames=len(motion),
        drive=info,
        span=span,
        source=driver,
        source_span=options.read,
        provenance=post_processor.provenance(job, options.engine),
        fingerprint=job.fingerprint(),
    )
    output_options = swap_audio_roles(options.output, driver)
    with media.write(target, size, like, output_options, plan, on=job.on) as out:
        refined_from = post_processor.refine(render_from, len(motion), None, job)
        counter = post_processor.write(refined_from, len(motion), out, size, job, of_video=True)
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


def _duration(motion: MotionSpan) -> float:
    """Return the seconds from the first frame of a motion to just before the end of its last.

    The last frame lasts as long as the one before it. 1/1000 of that is subtracted, so that the
    rounding to float does not include a frame that begins at the end.
    """
    first, last = motion.window(0, 1).pts, motion.window(len(motion) - 2, len(motion)).pts
    frame = int(last[1] - last[0])
    seconds = float((int(last[1] - first[0]) + frame) * motion.time_base)
    return seconds - 1e-3 * float(frame * motion.time_base)
