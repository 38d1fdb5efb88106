"""`thcli refine`: a coarse video of a face made better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import RefineJobOptions
from thcli.faces.tracking.select import TrackStatistics
from thcli.media.writing.provenance import Provenance
from thcli.media.writing.target import Target
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path
from thcli.pipeline.job.replayable_frames import replayable_clip
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.pipeline.refining.subjects import observe, read_reference_image
from thcli.pipeline.sources.source_image import FaceFinder

DEFAULTS = RefineJobOptions()


def refine(
    video: str | Path,
    output: str | Path | None = None,
    options: RefineJobOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Refines the chosen face of a video (a reenactment, or any other): one frame out for each frame in, with its own time stamp.

    video: a video, picture, folder of pictures, or '-'.  output: a file, folder or '-' (see `media.write`); None: NAME_refined beside
    the video.  Frames without the face pass through unchanged (Report.passed_through).
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("refine", on) as job:
        info = media.probe(job.enter(media.local(video)))
        target = output_path(output, f"{Path(video).stem}_refined", video, info, "refine")
        Target(target, options.output.overwrite).check(0)
        refine_pass = RefinePass.load(options.engine, options.refine, options.change, options.run)
        face_finder = FaceFinder.load(options.faces, options.run)
        reference_image = (
            None if options.source is None else read_reference_image(options.source, face_finder)
        )
        replayable = replayable_clip(info, options.read, job)

        def choose(statistics: TrackStatistics) -> Sequence[int]:
            return face_finder.choose(statistics, options.faces.select, str(video), job)

        writer = media.write(
            target,
            info.size,
            info,
            options.output,
            drive=info,
            span=options.read,
            frames=info.frames,
            provenance=Provenance("refine", refine_pass.name),
            fingerprint=fingerprint(
                (info.path, *([options.source] if options.source else [])),
                replace(options, engine=refine_pass.name),
            ),
            on=on,
        )
        with writer as out:
            cast = observe(
                replayable,
                refine_pass.refiner,
                choose,
                reference_image,
                options.steady,
                face_finder,
                job,
            )
            counter = FrameCounter(out.done)
            with job.stage("refine", len(cast.subjects[0].places), out.done) as step:
                for frame, pixels in refine_pass.frames(replayable, cast.subjects, out.done, job):
                    counter.add(frame.pts, frame.duration, frame.time_base)
                    out.write(pixels, frame.pts, frame.duration)
                    step()
        details = {"calls": refine_pass.refiner.calls(options.refine)}
        return job.report(
            target,
            counter,
            faces=cast.faces,
            passed_through=cast.unseen,
            engine=refine_pass.name,
            details=details,
        )
