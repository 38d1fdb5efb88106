"""`thcli refine`: refine the faces of a coarse video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import MotionOptions, RefineJobOptions
from thcli.engines.backends import MESH_ENGINE
from thcli.faces.tracking.select import SPEAKING, TrackStatistics, TrackSummary
from thcli.media.writing.provenance import engine_of
from thcli.media.writing.target import OutputTarget
from thcli.pipeline.check_options import check_refine, check_refiner
from thcli.pipeline.dry_run import rehearse_refine
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.job.preview import limit_preview, preview_stem
from thcli.pipeline.job.replayable_frames import replayable_video
from thcli.pipeline.job.spans import least_frames
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.inputs import probe, require_sound
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, compare_with_sound
from thcli.pipeline.refining.correction import DriverCorrection
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import observe_subjects, read_reference_image
from thcli.pipeline.sources.pixel_shape import as_written
from thcli.refiners.backends import choose_refiner

DEFAULTS = RefineJobOptions()


def refine(
    video: str | Path,
    output: str | Path | None = None,
    options: RefineJobOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Refine the chosen faces of a video.

    Every frame keeps its time stamp. Frames without the faces pass through unchanged
    (Report.passed_through).

    Args:
        video: video, image, folder of images, or '-' for standard input; reenacted or filmed.
        output: file, folder/ or '-'; None for NAME_refined beside the video.
        options: see `RefineJobOptions`.
        on: listener for progress and warnings.

    Raises:
        MediaError: an input cannot be read.
        NoFaceError: no frame shows the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: options that exclude each other, or that have no effect.
    """
    options = limit_preview(options)
    check_refine(output, options)
    if options.dry_run:
        return rehearse_refine(refine, video, output, options, on)
    with Job("refine", on, options, [video]) as job:
        info = media.probe(job.seekable(video), options.read)
        require_sound(info, options.faces.select)
        target = output_path(
            output,
            preview_stem(f"{Path(video).stem}_refined", options),
            video,
            info,
            "refine",
            least_frames(info, options.read),
        )
        OutputTarget(target, options.output.overwrite).check(0)
        mesh_frames = engine_of(info.metadata) == MESH_ENGINE
        name = choose_refiner(options.engine, options.run, mesh_frames=mesh_frames)
        check_refiner(name, options)
        refine_pass = RefinePass.load(name, options.refine, options.change, options.run)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        source = options.source
        reference = (
            None if source is None else read_reference_image(source, face_finder, options.read)
        )
        stored = options.read
        if info.sar != 1:  # faces are found and changed as they are shown
            options = replace(options, read=replace(stored, square_pixels=True))
        shown = media.probe(info.path, options.read)
        footage = replayable_video(shown, options.read, job)

        selection = VideoSelection(shown, options.read, options.faces.select)
        speaker: TrackSummary | None = None

        def select(statistics: TrackStatistics, log: TrackLog) -> Sequence[int]:
            nonlocal speaker
            if speaker is not None:  # corrected lips are no longer those of the sound
                return [statistics.find(speaker)]
            compare_with_sound(statistics, log, selection, face_finder, job)
            tracks = face_finder.choose(statistics, selection.select, str(video), job)
            if selection.select == SPEAKING:
                speaker = statistics.summaries[tracks[0]]
            return tracks

        if options.driving is not None:
            driver = VideoSelection(probe(options.driving, options.read), options.read)
            correction = DriverCorrection.load(
                driver, MotionOptions(), options.run, face_finder, job
            )
            footage = correction.correct(footage, select, reference, face_finder, job)
        plan = media.WritePlan(
            frames=info.frames,
            drive=info,
            span=options.read,
            provenance=job.provenance(refine_pass.name),
            fingerprint=job.fingerprint(),
        )
        with media.write(target, info.size, info, options.output, plan, on=on) as out:
            observed_faces = observe_subjects(
                footage,
                refine_pass.refiner,
                select,
                reference,
                options.stabilization,
                face_finder,
                job,
            )
            subjects, counter = observed_faces.subjects, FrameCounter(out.done)
            with job.stage("refine", len(subjects[0].crop_track), out.done) as step:
                refined = refine_pass.frames(footage, subjects, out.done, job)
                for frame, pixels in as_written(refined, info, stored, out.done, job):
                    succeeded = frame.index not in job.failed_frames
                    counter.add(frame.pts, frame.duration, frame.time_base, succeeded=succeeded)
                    out.write(pixels, frame.pts, frame.duration)
                    step()
        return job.report(
            target,
            counter,
            faces=observed_faces.tracks,
            passed_through=observed_faces.unseen,
            engine=refine_pass.name,
            details={"calls": refine_pass.network_calls(subjects)},
        )
