"""`--dry-run`: whatever can go wrong early is tried, a few frames are made and thrown away, nothing is written."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli import media
from thcli.core.events import Listener, silent
from thcli.core.options import (
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    RefineJobOptions,
    SpeakOptions,
)
from thcli.media.info import MediaInfo
from thcli.media.writing.target import Target
from thcli.motion.file import SUFFIX
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path
from thcli.pipeline.reenact import reenact
from thcli.pipeline.refine import refine
from thcli.pipeline.sources.audio_source import RATE, hear
from thcli.pipeline.speak import speak

SAMPLE = 25  # frames that are really made
WORK = ("track", "render", "refine", "parse", "put")  # stages that take their time for every frame
FEW = 3  # where a frame takes a second


def rehearse_reenact(
    source: str | Path,
    driving: str | Path,
    output: str | Path | None,
    options: ReenactOptions,
    on: Listener,
) -> Report:
    """What `reenact` would do: output, frames and size, and an estimate of its time from the clip's first frames, made for real.

    Raises what `reenact` would raise for its inputs, weights, output and these frames.
    """
    with Job("reenact", on) as job:
        drive = media.probe(job.enter(media.local(driving)))
        target = output_path(
            output, f"{Path(source).stem}_{Path(driving).stem}", driving, drive, "reenact"
        )
        Target(target, options.output.overwrite).check(0)
        begin = _beginning(drive, options.read)
        shape = OutputOptions(codec=options.output.codec, audio=options.output.audio)
        trial = replace(options, output=shape, save_motion=None, compare=None, read=begin)
        name = "trial.mp4" if output is None or str(output) == "-" else Path(output).name
        made = reenact(source, drive.path, job.temp_dir() / name, trial, on)
        whole = _frames(drive, options.read)
        if made.details.get("source") == "video":
            clip = media.probe(source)
            whole = _dubbed(clip, drive, options.read)
            target = output_path(
                output, f"{Path(source).stem}_{drive.path.stem}", drive.path, clip, "reenact"
            )
        frames = max(whole or made.frames, made.frames)
        per_frame = sum(made.stages.get(stage, 0.0) for stage in WORK) / made.frames
        width, height = media.probe(made.output or "").size
        details = {
            "dry_run": True,
            "would_make": frames,
            "size": f"{width}x{height}",
            "estimate": round(made.seconds + (frames - made.frames) * per_frame, 1),
        }
        return job.report(
            target, FrameCounter(), faces=made.faces, engine=options.engine, details=details
        )


def rehearse_speak(
    face: str | Path,
    audio: str | Path,
    output: str | Path | None,
    options: SpeakOptions,
    on: Listener,
) -> Report:
    """What `speak` would do, with an estimate from the sound's first second. Raises what `speak` would raise for that."""
    with Job("speak", on) as job:
        path = job.enter(media.local(audio))
        heard = hear(path, options, job)
        target = output_path(
            output, f"{Path(face).stem}_{Path(audio).stem}", audio, heard.info, "speak"
        )
        Target(target, options.output.overwrite).check(0)
        first = options.sound.start + SAMPLE / RATE
        end = first if options.sound.end is None else min(options.sound.end, first)
        shape = OutputOptions(
            codec=options.output.codec, audio=options.output.audio, fps=options.output.fps
        )
        trial = replace(options, output=shape, sound=replace(options.sound, end=end))
        name = "trial.mp4" if output is None or str(output) == "-" else Path(output).name
        made = speak(face, path, job.temp_dir() / name, trial, silent)
        per_frame = sum(made.stages.get(stage, 0.0) for stage in ("speech", *WORK)) / made.frames
        size = (
            ""
            if made.output is None or name.endswith(SUFFIX)
            else "{}x{}".format(*media.probe(made.output).size)
        )
        details = {
            "dry_run": True,
            "would_make": len(heard.pts),
            "size": size,
            "voice": made.details["voice"],
            "estimate": round(made.seconds + (len(heard.pts) - made.frames) * per_frame, 1),
        }
        return job.report(
            target, FrameCounter(), faces=made.faces, engine=made.engine, details=details
        )


def rehearse_refine(
    video: str | Path, output: str | Path | None, options: RefineJobOptions, on: Listener
) -> Report:
    """What `refine` would do, with an estimate from the clip's first frames. Raises what `refine` would raise for these."""
    with Job("refine", on) as job:
        info = media.probe(job.enter(media.local(video)))
        target = output_path(output, f"{Path(video).stem}_refined", video, info, "refine")
        Target(target, options.output.overwrite).check(0)
        shape = OutputOptions(codec=options.output.codec, audio=options.output.audio)
        trial = replace(
            options, output=shape, read=_beginning(info, options.read, FEW), dry_run=False
        )
        name = "trial.mp4" if output is None or str(output) == "-" else Path(output).name
        made = refine(info.path, job.temp_dir() / name, trial, on)
        frames = max(_frames(info, options.read) or made.frames, made.frames)
        per_frame = sum(made.stages.get(stage, 0.0) for stage in WORK) / made.frames
        details = {
            "dry_run": True,
            "would_make": frames,
            "size": "{}x{}".format(*info.size),
            "calls": made.details["calls"],
            "estimate": round(made.seconds + (frames - made.frames) * per_frame, 1),
        }
        return job.report(
            target, FrameCounter(), faces=made.faces, engine=made.engine, details=details
        )


def planned(job: Job, target: str | Path | None, info: MediaInfo, read: ReadOptions) -> Report:
    """The report of a dry run that makes nothing: what it would do has been checked by the caller."""
    return job.report(
        target, FrameCounter(), details={"dry_run": True, "would_make": _frames(info, read)}
    )


def _beginning(drive: MediaInfo, read: ReadOptions, count: int = SAMPLE) -> ReadOptions:
    """The span of the first frames."""
    end = read.start + float(count / (drive.rate or Fraction(25)))
    return replace(read, end=end if read.end is None else min(read.end, end))


def _dubbed(clip: MediaInfo, drive: MediaInfo, read: ReadOptions) -> int | None:
    """How many frames a source clip gives: those until the shorter of both ends; a picture drives the whole span."""
    if drive.kind == "image" or not drive.duration:
        return _frames(clip, read)
    length = float(drive.duration)
    return _frames(clip, ReadOptions(end=min(read.end or length, length) - read.start))


def _frames(drive: MediaInfo, read: ReadOptions) -> int | None:
    """How many frames the whole span has, as far as the container says."""
    if drive.frames is None or drive.duration is None or not (read.start or read.end):
        return drive.frames
    length = float(drive.duration)
    span = min(read.end or length, length) - read.start
    return round(drive.frames * span / length) if length else drive.frames
