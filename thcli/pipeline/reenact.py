"""`thcli reenact`: animate a source face with the motion of a driver.

The method: detect, align and crop the faces; encode the identity of the source and the landmarks of
the driver; warp the source; refine; paste.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import CompareOptions, ReenactOptions
from thcli.core.protocols import Engine, VideoSourceEngine
from thcli.core.temp_folders import temporary_folder
from thcli.engines.backends import ENGINES, animates_one_frame
from thcli.motion.control.controls import Controls
from thcli.pipeline.check_options import check_reenact, check_without_driver, refuse
from thcli.pipeline.compare import write_comparison
from thcli.pipeline.dry_run import rehearse_reenact
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import check_outputs, output_path, srgb_video_info
from thcli.pipeline.job.preview import limit_preview, preview_stem
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.job.spans import frames_in_span, least_frames
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.pose_driver import check_pose_driver, is_pose_table, probe_driver
from thcli.pipeline.reenact_video import reenact_video
from thcli.pipeline.render.correction import load_correction
from thcli.pipeline.render.drivers import observe_face_drivers, place_face, retarget_faces
from thcli.pipeline.render.encoded_faces import encode_faces
from thcli.pipeline.render.frames import RenderPlan, render_frames
from thcli.pipeline.render.helpers import share_rendering
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.render.render_job import RenderJob
from thcli.pipeline.sources.framing import apply_framing
from thcli.pipeline.sources.rest_driver import write_rest_driver
from thcli.pipeline.sources.source_image import (
    SourceImage,
    read_source_image,
    warn_of_strangers,
)
from thcli.pipeline.sources.source_video import is_video
from thcli.weights.used import recorded_weights

DEFAULTS = ReenactOptions()


def reenact(
    source: str | Path,
    driving: str | Path | None = None,
    output: str | Path | None = None,
    options: ReenactOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Animate a source face with the motion of a driver.

    Every driving frame gives one output frame with its time stamp.

    Args:
        source: image or video. Engines that animate all of a video use `reenact_video`.
        driving: video, image, folder of images, motion file, '-' for standard input, or a CSV file
            of head poses (seconds, pitch, yaw, roll in degrees) for engines that follow poses; None
            for a face at rest, which the sliders and turns of `options` move.
        output: file, folder/ or '-'; None for SOURCE_DRIVING beside the driver, without one for
            SOURCE_posed beside the source.
        options: see `ReenactOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read.
        NoFaceError: source or driver does not show the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: options that exclude each other, or that have no effect.
    """
    options = limit_preview(options)
    check_reenact(source, output, options)
    if driving is None and options.driver:
        first = options.drivers[min(options.drivers)]
        return reenact_driven(source, first, output, replace(options, others_still=True), on)
    if driving is None:
        check_without_driver(options)
        with temporary_folder() as folder:
            controls = Controls.read(options.view, options.expression)
            rest = write_rest_driver(source, output, options, controls, folder)
            return reenact_driven(source, rest.path, rest.target, rest.options, on)
    if is_pose_table(driving):
        check_pose_driver(options)
    return reenact_driven(source, driving, output, options, on)


def reenact_driven(
    source: str | Path,
    driving: str | Path,
    output: str | Path | None,
    options: ReenactOptions,
    on: Listener,
) -> Report:
    """Reenact with a driver; arguments and errors are those of `reenact`, which checks options."""
    options = _convert_pixels(options, source)
    if options.dry_run:
        return rehearse_reenact(reenact_driven, (source, driving), output, options, on)
    with Job("reenact", on, options, (source, driving)) as job:
        driver = probe_driver(driving, options, job)
        for file in options.drivers.values():
            media.probe(file, options.read)
        stem = f"{Path(source).stem}_{Path(driving).stem}"
        named = preview_stem(stem, options)
        target = output_path(
            output, named, driving, driver, "reenact", least_frames(driver, options.read)
        )
        controls = _read_controls(options)
        if driver.kind == "motion":
            reason = f"with {driving}, which is a motion file already"
            hint = "Give it to 'thcli encode', or drive with the video."
            saved = ("save_motion",) if controls.is_empty else ()
            refuse(options, ("faces.select", *saved), reason, hint)
        require_sound(driver, options.faces.select)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        engine: Engine = ENGINES.backend(options.engine).load(options.run, options)
        post_processor = PostProcessor.load(options, face_finder)
        render_job = RenderJob(driver, options, post_processor, job, controls)
        if (
            isinstance(engine, VideoSourceEngine)
            and options.source_time is None
            and is_video(source, options.read)
        ):
            reason = (
                f"on a source video with the engine {options.engine}: one face can be reenacted"
            )
            refuse(options, ("driver",), reason, "Reenact one face after the other.")
            reason = f"on a source video with the engine {options.engine}, which shows the person"
            refuse(options, ("also",), reason, "Leave it out, or animate one frame: --source-time.")
            return reenact_video(engine, source, output, render_job)
        check_outputs(target, options.output, compare=options.compare, file=options.save_motion)
        source_image = read_source_image(source, options, face_finder, job)  # detect
        plain = replace(options, source_face="largest", source_time=None, driver=None)
        pictures = [read_source_image(path, plain, face_finder, job) for path in options.also or ()]
        warn_of_strangers(source_image, pictures, face_finder, job)
        return animate(engine, source_image, target, replace(render_job, pictures=pictures))


def _convert_pixels(options: ReenactOptions, source: str | Path) -> ReenactOptions:
    """Read drivers as BT.709 with square pixels where a picture, or one frame, is animated.

    The output is ordinary video, so that `--hdr keep` has nothing to keep, and anamorphic pixels
    would be a squeezed head; frames of a source video that is animated as a whole are output in
    their own signal and size.
    """
    whole = options.source_time is None and not animates_one_frame(options.engine)
    if whole and is_video(source, options.read):
        return options
    return replace(options, read=replace(options.read, hdr="tonemap", square_pixels=True))


def _read_controls(options: ReenactOptions) -> Controls:
    """Return the sliders and turns of a job; engines without sliders turn the head themselves."""
    if not ENGINES.backend(options.engine).reads_option("expression"):
        return Controls()
    return Controls.read(options.view, options.expression)


def animate(
    engine: Engine, source: SourceImage, target: str | Path, render_job: RenderJob
) -> Report:
    """Animate a source image whose faces are detected. Raises what `reenact` raises."""
    driver, options, job = render_job.driver, render_job.options, render_job.job
    post_processor = render_job.post_processor

    # Align and crop the source; a crop engine's output is pasted back into the full frame.
    framed_engine, framed = apply_framing(engine, source, options)
    expected = frames_in_span(driver, options.read)
    renderer = share_rendering(framed_engine, job, options.run, expected, framed.size)
    with _open_output(target, framed, render_job) as out:
        # Encode the identity of the source. What that loads, or has loaded for another job, is no
        # part of the driver's motion, which the workers of a job share.
        driven = [options.drives(face.track) for face in framed.faces]
        with recorded_weights():
            encoded = encode_faces(framed_engine, framed, driven, render_job.pictures, job.warn)

        # Pass 1. Detect, track, align and crop the driving face; encode its landmarks as motion.
        observed = render_job.observe(engine)
        total = len(observed.motion)
        drivers = observe_face_drivers(render_job, engine, observed.motion)

        # Retarget the motion to the landmarks of the source.
        faces = retarget_faces(framed_engine, encoded.faces, drivers, options.motion, job.warn)

        # Pass 2. Warp and paste, refine, replace the background, write.
        last = observed.motion.last_duration
        render_plan = RenderPlan(
            renderer, faces, framed.image, job.batches("render"), last, encoded.plate
        )

        def warp_from(start: int) -> Iterator[RenderedFrame]:
            driving = drivers.frames(faces, render_job)
            return render_frames(render_plan, driving, start, options.run, job.clock)

        correction = load_correction(render_job, framed)
        refines = post_processor.refine_pass is not None
        placed = place_face(framed_engine, framed, faces, drivers) if refines else None
        refined_from = post_processor.refine(warp_from, total, framed, job, correction, placed)
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
        provenance=render_job.post_processor.provenance(job, options.engine),
        fingerprint=job.fingerprint(),
    )
    like = srgb_video_info(driver)
    return media.write(target, source.size, like, options.output, plan, on=job.on)
