"""`thcli reenact`: a driver's motion on a source's face."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import ReadOptions, ReenactOptions
from thcli.core.protocols import Engine, VideoSourceEngine
from thcli.core.types import Frame
from thcli.engines.backends import ENGINES
from thcli.media.info import MediaInfo
from thcli.pipeline.compare import compare
from thcli.pipeline.job.job import Job, Report
from thcli.pipeline.job.output_names import fingerprint, output_path, still_like
from thcli.pipeline.observe.driver import observe_driver
from thcli.pipeline.reenact_video import dub, is_clip
from thcli.pipeline.render.frames import RenderedFrame, SourceFace, draw
from thcli.pipeline.render.postprocess import PostProcessor
from thcli.pipeline.sources.framing import framed
from thcli.pipeline.sources.source_image import FaceFinder, SourceImage, read_source_image

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
        target = output_path(
            output, f"{Path(source).stem}_{Path(driving).stem}", driving, drive, "reenact"
        )
        face_finder = FaceFinder.load(options.faces, options.run)
        loaded: Engine = ENGINES.backend(options.engine).load(options.run, options)
        post_processor = PostProcessor.load(options, face_finder)
        if (
            isinstance(loaded, VideoSourceEngine)
            and options.source_time is None
            and is_clip(source)
        ):
            return dub(loaded, source, drive, output, options, post_processor, job)
        return animate(
            loaded,
            read_source_image(source, options, face_finder, job),
            drive,
            target,
            options,
            post_processor,
            job,
        )


def animate(
    loaded: Engine,
    source_image: SourceImage,
    drive: MediaInfo,
    target: str | Path,
    options: ReenactOptions,
    post_processor: PostProcessor,
    job: Job,
) -> Report:
    """`reenact` once the source's faces are known. Raises what `reenact` raises."""
    source = source_image.info.path
    engine, source_image = framed(loaded, source_image, options)
    writer = media.write(
        target,
        source_image.size,
        still_like(drive),
        options.output,
        drive=drive,
        source=source_image.info,
        span=options.read,
        frames=drive.frames,
        provenance=post_processor.provenance(job.command, options.engine),
        fingerprint=fingerprint((source, drive.path), options),
        on=job.on,
    )
    with writer as out:
        kept = options.save_motion or job.temp_dir() / "driver.motion.safetensors"
        faces, redo = options.faces.select, options.output.overwrite
        seen = observe_driver(
            drive, kept, loaded, faces, options.read, post_processor.face_finder, job, redo
        )
        source_faces = [
            SourceFace.prepare(engine, source_image.picture, face, seen.motion, options.motion)
            for face in source_image.faces
        ]

        def frames_from(start: int) -> Iterator[RenderedFrame]:
            pictures = driving_pictures(engine, drive, options.read, job)
            return draw(
                engine, source_faces, source_image.picture, pictures, start, options.run, job.clock
            )

        counter = post_processor.render(
            frames_from, len(seen.motion), out, source_image, source_image.size, job
        )
    if options.compare is not None:
        shown = [source, target] if drive.kind == "motion" else [source, drive.path, target]
        compare(
            shown,
            options.compare,
            output=options.output,
            read=options.read,
            on=job.on,
            whole=[target],
        )
    return job.report(
        target,
        counter,
        faces=seen.faces,
        passed_through=seen.unseen,
        engine=options.engine,
        details=post_processor.details,
    )


def driving_pictures(
    engine: Engine, drive: MediaInfo, read: ReadOptions, job: Job
) -> Iterable[Frame] | None:
    """The driver's frames for pass 2, when the engine looks at them and there are any."""
    if not engine.uses_driving_frames or drive.kind == "motion":
        return None
    return job.clock.over("decode again", job.enter(media.read(drive.path, read)))
