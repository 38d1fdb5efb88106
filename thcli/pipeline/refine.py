"""`thcli refine`: a coarse video of a face made better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import RefineJobOptions
from thcli.faces.select import Census
from thcli.media.provenance import Provenance
from thcli.media.target import Target
from thcli.pipeline.footage import of_clip
from thcli.pipeline.naming import fingerprint, output_path
from thcli.pipeline.portrait import Finders
from thcli.pipeline.refinery import Refinery
from thcli.pipeline.report import Job, Report, Tally
from thcli.pipeline.subjects import observe, sitter_of

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
        refinery = Refinery.load(options.engine, options.refine, options.change, options.run)
        finders = Finders.load(options.faces, options.run)
        sitter = None if options.source is None else sitter_of(options.source, finders)
        footage = of_clip(info, options.read, job)

        def choose(census: Census) -> Sequence[int]:
            return finders.choose(census, options.faces.select, str(video), job)

        writer = media.write(
            target, info.size, info, options.output, drive=info, span=options.read, frames=info.frames,
            provenance=Provenance("refine", refinery.name),
            fingerprint=fingerprint((info.path, *([options.source] if options.source else [])), replace(options, engine=refinery.name)),
            on=on,
        )  # fmt: skip
        with writer as out:
            cast = observe(footage, refinery.refiner, choose, sitter, options.steady, finders, job)
            tally = Tally(out.done)
            with job.stage("refine", len(cast.subjects[0].places), out.done) as step:
                for frame, pixels in refinery.frames(footage, cast.subjects, out.done, job):
                    tally.add(frame.pts, frame.duration, frame.time_base)
                    out.write(pixels, frame.pts, frame.duration)
                    step()
        details = {"calls": refinery.refiner.calls(options.refine)}
        return job.report(target, tally, faces=cast.faces, passed_through=cast.unseen, engine=refinery.name, details=details)  # fmt: skip
