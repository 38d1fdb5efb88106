"""`thcli reenact`: a driver's motion on a source's face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from thcli import media
from thcli.core.backends import backend
from thcli.core.events import Listener, silent
from thcli.core.options import ReadOptions, ReenactOptions
from thcli.core.protocols import Engine, VideoSourceEngine
from thcli.core.types import Frame
from thcli.media.info import MediaInfo
from thcli.pipeline.draw import Actor, Shot, draw
from thcli.pipeline.dub import dub, is_clip
from thcli.pipeline.framing import framed
from thcli.pipeline.naming import fingerprint, output_path, still_like
from thcli.pipeline.observe import observe_driver
from thcli.pipeline.portrait import Finders, Portrait, portrait
from thcli.pipeline.rendering import Finish
from thcli.pipeline.report import Job, Report
from thcli.pipeline.sidebyside import compare

DEFAULTS = ReenactOptions()


def reenact(
    source: str | Path,
    driving: str | Path,
    output: str | Path | None = None,
    options: ReenactOptions = DEFAULTS,
    on: Listener = silent,
) -> Report:
    """Animates the source's face with the driver's motion: one frame out for each frame in, with its own time stamp.

    source: a picture or video (see `dub` for engines that move all of it).  driving: a video, picture, folder of pictures, motion file, or '-' for standard input.
    output: a file, folder or '-' (see `media.write`); None: beside the driver.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("reenact", on) as job:
        drive = media.probe(job.enter(media.local(driving)))
        target = output_path(output, f"{Path(source).stem}_{Path(driving).stem}", driving, drive, "reenact")
        finders = Finders.load(options.faces, options.run)
        loaded: Engine = backend("engine", options.engine).load(options.run, options)
        finish = Finish.load(options, finders)
        if isinstance(loaded, VideoSourceEngine) and options.source_time is None and is_clip(source):
            return dub(loaded, source, drive, output, options, finish, job)
        return animate(loaded, portrait(source, options, finders, job), drive, target, options, finish, job)


def animate(
    loaded: Engine, who: Portrait, drive: MediaInfo, target: str | Path, options: ReenactOptions, finish: Finish, job: Job
) -> Report:  # fmt: skip
    """`reenact` once the source's faces are known. Raises what `reenact` raises."""
    source = who.info.path
    engine, who = framed(loaded, who, options)
    writer = media.write(
        target, who.size, still_like(drive), options.output, drive=drive, source=who.info, span=options.read,
        frames=drive.frames, provenance=finish.provenance(job.command, options.engine),
        fingerprint=fingerprint((source, drive.path), options), on=job.on,
    )  # fmt: skip
    with writer as out:
        kept = options.save_motion or job.room() / "driver.motion.safetensors"
        faces, redo = options.faces.select, options.output.overwrite
        seen = observe_driver(drive, kept, loaded, faces, options.read, finish.finders, job, redo)
        actors = [Actor.cast(engine, who.picture, face, seen.motion, options.motion) for face in who.faces]

        def play(start: int) -> Iterator[Shot]:
            pictures = driving_pictures(engine, drive, options.read, job)
            return draw(engine, actors, who.picture, pictures, start, options.run, job.clock)

        tally = finish.render(play, len(seen.motion), out, who, who.size, job)
    if options.compare is not None:
        shown = [source, target] if drive.kind == "motion" else [source, drive.path, target]
        compare(shown, options.compare, output=options.output, read=options.read, on=job.on, whole=[target])
    return job.report(
        target, tally, faces=seen.faces, passed_through=seen.unseen, engine=options.engine, details=finish.details
    )


def driving_pictures(engine: Engine, drive: MediaInfo, read: ReadOptions, job: Job) -> Iterable[Frame] | None:
    """The driver's frames for pass 2, when the engine looks at them and there are any."""
    if not engine.uses_driving_frames or drive.kind == "motion":
        return None
    return job.clock.over("decode again", job.enter(media.read(drive.path, read)))
