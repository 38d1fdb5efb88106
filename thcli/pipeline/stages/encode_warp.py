"""`thcli encode` and `thcli warp`: the halves of reenact, with a motion file between them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import EncodeOptions, ReenactOptions, RenderOptions, WarpOptions
from thcli.engines.backends import ENGINES
from thcli.media.atomic_file import AtomicFile
from thcli.media.info import MediaInfo
from thcli.motion.file.format import SUFFIX
from thcli.motion.file.span import MotionSpan
from thcli.motion.file.windows import windows
from thcli.pipeline.check_options import check_run
from thcli.pipeline.dry_run import plan
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.driver import observe_driver
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.inputs import require_sound
from thcli.pipeline.observe.tracking import VideoSelection
from thcli.pipeline.reenact import reenact
from thcli.pipeline.stages.frontal import check_frontal, write_frontal

ENCODE, WARP = EncodeOptions(), WarpOptions()


def encode(
    source: str | Path,
    output: str | Path | None = None,
    options: EncodeOptions = ENCODE,
    on: Listener = silent,
) -> Report:
    """Extract the motion of the chosen face of a clip (docs/motion-file.md).

    Args:
        source: video, image, folder of images, or '-' for standard input.
        output: motion file; None for NAME.motion.safetensors beside the clip.
        options: engine, range, choice of face.
        on: listener for progress and warnings.

    Raises:
        MediaError: the clip cannot be read.
        NoFaceError: no frame shows the chosen face.
        WeightsError: weights are not installed.
        OutputError: the output exists or cannot be written.
        UsageError: an unknown engine, a motion file as the source, or a frontal picture that is no
            image.
    """
    check_run(options)
    options = replace(options, read=replace(options.read, square_pixels=True))
    with Job("encode", on, options, [source]) as job:
        backend = ENGINES.backend(options.engine)
        path = _motion_path(source, output)
        info = media.probe(job.seekable(source), options.read)
        if info.kind == "motion":
            raise UsageError(
                f"{source} is a motion file already.", f"Drive with it: thcli warp FACE {source}."
            )
        require_sound(info, options.faces.select)
        file = AtomicFile(path, options.overwrite)
        check_frontal(options)
        engine = backend.load(options.run)
        face_finder = FaceFinder.load(options.faces, options.run, options.read)
        if options.dry_run:
            return plan(job, file.path, info, options.read)
        driver = VideoSelection(info, options.read, options.faces.select)
        with file:
            observed = observe_driver(driver, file.partial, engine, face_finder, job)
            counter = _count_frames(observed.motion, info)
            write_frontal(info, observed.motion, options, engine, face_finder, job)
        return job.report(
            file.path,
            counter,
            faces=observed.tracks,
            passed_through=observed.motion.unseen,
            engine=options.engine,
        )


def warp(
    source: str | Path,
    motion: str | Path,
    output: str | Path | None = None,
    options: WarpOptions = WARP,
    on: Listener = silent,
) -> Report:
    """Animate a source face with a motion file; `reenact` also takes driving videos.

    Args:
        source: image or video.
        motion: motion file, from `encode`.
        output: file, folder/ or '-'; None for SOURCE_MOTION.mp4 beside the motion file.
        options: see `WarpOptions`.
        on: listener for progress and warnings.

    Raises:
        UsageError: `motion` is not a motion file.
        ThcliError: as `reenact`.
    """
    info = media.probe(motion, options.read)
    if info.kind != "motion":
        raise UsageError(
            f"{motion} is not a motion file.", f"Make one from it: thcli encode {motion}."
        )
    shared = {item.name: getattr(options, item.name) for item in fields(RenderOptions)}
    reenact_options = ReenactOptions(**shared, faces=options.find.choosing())
    target = output if output is not None else _video_path(source, info)
    return replace(reenact(source, motion, target, reenact_options, on), command="warp")


def _motion_path(source: str | Path, output: str | Path | None) -> Path:
    if output is not None:
        return Path(output)
    if str(source) == "-":
        raise UsageError("encode from standard input has no default output.", "Add -o FILE.")
    return Path(source).with_name(f"{Path(source).stem}{SUFFIX}")


def _video_path(source: str | Path, motion: MediaInfo) -> Path:
    """Return SOURCE_MOTION.mp4 beside the motion file."""
    return motion.path.with_name(f"{Path(source).stem}_{motion.path.name.removesuffix(SUFFIX)}.mp4")


def _count_frames(motion: MotionSpan, info: MediaInfo) -> FrameCounter:
    """Count the frames of a motion; the last one has the clip's mean duration."""
    duration = round(1 / (info.rate * motion.time_base)) if info.rate else 0
    counter = FrameCounter()
    for window in windows(motion):
        for pts in window.pts:
            counter.add(int(pts), duration, motion.time_base)
    return counter
