"""`thcli reenact`: animate a source face with the motion of a driver.

The method: detect, align and crop the faces; encode the identity of the source and the landmarks of
the driver; warp the source; refine; paste.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import CompareOptions, ReenactOptions
from thcli.core.protocols import Engine, VideoSourceEngine
from thcli.core.types import Frame
from thcli.engines.backends import ENGINES
from thcli.pipeline.check_options import check_reenact, refuse
from thcli.pipeline.compare import write_comparison
from thcli.pipeline.dry_run import rehearse_reenact
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path, srgb_video_info
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.observe.driver import observe_driver
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.pose_driver import check_pose_driver, is_pose_table, probe_driver
from thcli.pipeline.reenact_video import reenact_video
from thcli.pipeline.render.frames import RenderPlan, SourceFace, render_frames
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.framing import apply_framing
from thcli.pipeline.sources.source_image import SourceImage, read_source_image
from thcli.pipeline.sources.source_video import is_video

DEFAULTS = ReenactOptions()


def reenact(
    source: str | Path,
    driving: str | Path,
    output: str | Path | None = None,
    options: ReenactOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Animate a source face with the motion of a driver.

    Every driving frame gives one output frame with its time stamp.

    Args:
        source: image or video. Engines that animate all of a video use `reenact_video`.
        driving: video, image, folder of images, motion file, '-' for standard input, or a CSV file
            of head poses (seconds, pitch, yaw, roll in degrees) for engines that follow poses.
        output: file, folder/ or '-'; None for SOURCE_DRIVING beside the driver.
        options: see `ReenactOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read.
        NoFaceError: source or driver does not show the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: options that exclude each other, or that have no effect.
    """
    check_reenact(source, output, options)
    if is_pose_table(driving):
        check_pose_driver(options)
    if options.dry_run:
        return rehearse_reenact(reenact, (source, driving), output, options, on)
    with Job("reenact", on, options, (source, driving)) as job:
        driver = probe_driver(driving, options, job)
        stem = f"{Path(source).stem}_{Path(driving).stem}"
        target = output_path(output, stem, driving, driver, "reenact")
        if driver.kind == "motion":
            reason = f"with {driving}, which is a motion file already"
            hint = "Give it to 'thcli encode', or drive with the video."
            refuse(options, ("faces.select", "save_motion"), reason, hint)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
        render_job = RenderJob(driver, options, PostProcessor.load(options, face_finder), job)
        if (
            isinstance(engine, VideoSourceEngine)
            and options.source_time is None
            and is_video(source, options.read)
        ):
            return reenact_video(engine, source, output, render_job)
        check_outputs(
            target,
            options.output,
            inputs=(source, driving),
            compare=options.compare,
            file=options.save_motion,
        )
        source_image = read_source_image(source, options, face_finder, job)  # detect
        return animate(engine, source_image, target, render_job)


def animate(
    engine: Engine, source: SourceImage, target: str | Path, render_job: RenderJob
) -> Report:
    """Animate a source image whose faces are detected. Raises what `reenact` raises."""
    driver, options, job = render_job.driver, render_job.options, render_job.job
    post_processor = render_job.post_processor

    # Align and crop the source; a crop engine's output is pasted back into the full frame.
    framed_engine, framed = apply_framing(engine, source, options)
    motion_path = render_job.motion_path()
    with _open_output(target, framed, render_job) as out:
        # Pass 1. Detect, track, align and crop the driving face; encode its landmarks as motion.
        observed = observe_driver(
            render_job.driving_face,
            motion_path,
            engine,
            post_processor.face_finder,
            job,
        )
        total = len(observed.motion)

        # Encode the identity of the source; retarget the motion to its landmarks.
        faces = [
            SourceFace.encode(framed_engine, framed.image, face, observed.motion, options.motion)
            for face in framed.faces
        ]

        # Pass 2. Warp and paste, refine, replace the background, write.
        last = observed.motion.last_duration
        render_plan = RenderPlan(framed_engine, faces, framed.image, job.batches("render"), last)

        def warp_from(start: int) -> Iterator[RenderedFrame]:
            driving = _driving_frames(framed_engine, render_job)
            return render_frames(render_plan, driving, start, options.run, job.clock)

        refined_from = post_processor.refine(warp_from, total, framed, job)
        counter = post_processor.write(refined_from, total, out, framed.size, job)

    inputs = [source.info.path] if driver.kind == "motion" else [source.info.path, driver.path]
    comparison = CompareOptions(read=options.read, output=options.output)
    write_comparison(options.compare, inputs, target, comparison, job.on)
    return job.report(
        target,
        counter,
        faces=observed.tracks,
        passed_through=observed.motion.unseen,
        engine=options.engine,
        details=post_processor.details,
    )


def _open_output(target: str | Path, source: SourceImage, render_job: RenderJob) -> media.Writer:
    """Open the output, with the time stamps and companion streams of the driver."""
    driver, options, job = render_job.driver, render_job.options, render_job.job
    plan = media.WritePlan(
        frames=driver.frames,
        drive=driver,
        span=options.read,
        source=source.info,
        provenance=render_job.post_processor.provenance(job.command, options.engine),
        fingerprint=job.fingerprint(),
    )
    like = srgb_video_info(driver)
    return media.write(target, source.size, like, options.output, plan, on=job.on)


def _driving_frames(engine: Engine, render_job: RenderJob) -> Iterable[Frame] | None:
    """Open the driving frames for pass 2; None when the engine or the driver has no use of them."""
    driver, job = render_job.driver, render_job.job
    if not engine.uses_driving_frames or driver.kind == "motion":
        return None
    frames = job.enter(job.frames(driver.path, render_job.options.read))
    return job.clock.time_each("decode again", frames)
