"""`thcli encode` and `thcli warp`: the two halves of reenact, with a motion file between them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.events import Listener, silent
from thcli.core.options import EncodeOptions, ReenactOptions, RenderOptions, WarpOptions
from thcli.engines.backends import ENGINES
from thcli.media.atomic_file import SideFile
from thcli.media.info import MediaInfo
from thcli.motion.file import SUFFIX, MotionFile
from thcli.pipeline.dry_run import planned, rehearse_reenact
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.observe.driver import WINDOW, observe_driver
from thcli.pipeline.reenact import reenact
from thcli.pipeline.sources.source_image import FaceFinder

ENCODE, WARP = EncodeOptions(), WarpOptions()


def encode(
    source: str | Path,
    output: str | Path | None = None,
    options: EncodeOptions = ENCODE,
    on: Listener = silent,
) -> Report:
    """Writes the motion of the chosen face of a clip as a motion file (docs/motion-file.md).

    output: None for NAME.motion.safetensors beside the clip.
    Raises MediaError, NoFaceError, WeightsError, OutputError, UsageError.
    """
    with Job("encode", on) as job:
        row = ENGINES.backend(options.engine)
        path = _motion_path(source, output)
        info = media.probe(job.enter(media.local(source)))
        if info.kind == "motion":
            raise UsageError(
                f"{source} is a motion file already.", f"Drive with it: thcli warp FACE {source}."
            )
        place = SideFile(path, options.overwrite)
        engine = row.load(options.run)
        face_finder = FaceFinder.load(options.faces, options.run)
        if options.dry_run:
            return planned(job, place.path, info, options.read)
        with place:
            seen = observe_driver(
                info, place.partial, engine, options.faces.select, options.read, face_finder, job
            )
            counter = _counted(seen.motion, info)
        return job.report(
            place.path, counter, faces=seen.faces, passed_through=seen.unseen, engine=options.engine
        )


def warp(
    source: str | Path,
    motion: str | Path,
    output: str | Path | None = None,
    options: WarpOptions = WARP,
    on: Listener = silent,
) -> Report:
    """Moves the source's face by a motion file; see `reenact`, which also takes videos to be driven by.

    Raises UsageError when `motion` is not a motion file, and what `reenact` raises.
    """
    info = media.probe(motion)
    if info.kind != "motion":
        raise UsageError(
            f"{motion} is not a motion file.", f"Make one of it: thcli encode {motion}."
        )
    shared = {item.name: getattr(options, item.name) for item in fields(RenderOptions)}
    whole = ReenactOptions(**shared, faces=options.find.choosing())
    target = output if output is not None else _video_path(source, info)
    if options.dry_run:
        return replace(rehearse_reenact(source, motion, target, whole, on), command="warp")
    return replace(reenact(source, motion, target, whole, on), command="warp")


def _motion_path(source: str | Path, output: str | Path | None) -> Path:
    if output is not None:
        return Path(output)
    if str(source) == "-":
        raise UsageError("encode from standard input needs a place for its output.", "Add -o FILE.")
    return Path(source).with_name(f"{Path(source).stem}{SUFFIX}")


def _video_path(source: str | Path, motion: MediaInfo) -> Path:
    """SOURCE_MOTION.mp4 beside the motion file."""
    return motion.path.with_name(f"{Path(source).stem}_{motion.path.name.removesuffix(SUFFIX)}.mp4")


def _counted(motion: MotionFile, info: MediaInfo) -> FrameCounter:
    """The frames and the length of a motion; the last frame counts as long as the clip's frames are on average."""
    last = round(1 / (info.rate * motion.time_base)) if info.rate else 0
    counter = FrameCounter()
    for start in range(0, len(motion), WINDOW):
        for pts in motion.window(start, start + WINDOW).pts:
            counter.add(int(pts), last, motion.time_base)
    return counter
