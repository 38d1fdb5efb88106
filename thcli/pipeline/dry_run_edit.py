"""`thcli edit --dry-run`: a few frames are made and thrown away, which tells how long all of them take."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli import media
from thcli.core.events import Listener
from thcli.core.options import EditOptions, OutputOptions, ReadOptions
from thcli.media.info import MediaInfo
from thcli.media.writing.target import Target
from thcli.pipeline.edit import edit
from thcli.pipeline.job.job import FrameCounter, Job, Report
from thcli.pipeline.job.output_names import output_path

FEW = 5  # frames that are really made
ONCE = ("settle",)  # stages that do not take longer for a longer clip


def rehearse_edit(
    video: str | Path, output: str | Path | None, options: EditOptions, on: Listener
) -> Report:
    """What `edit` would do: output, frames, engines, and an estimate of its time. Raises what `edit` would raise for the first frames."""
    with Job("edit", on) as job:
        info = media.probe(job.enter(media.local(video)))
        target = output_path(output, f"{Path(video).stem}_edit", video, info, "edit")
        Target(target, options.output.overwrite).check(0)
        shape = OutputOptions(codec=options.output.codec, audio=options.output.audio)
        trial = replace(
            options,
            output=shape,
            read=_beginning(info, options.read),
            save_edit=None,
            compare=None,
            dry_run=False,
        )
        name = (
            f"trial{'.png' if info.kind == 'image' else '.mp4'}"
            if output is None or str(output) == "-"
            else Path(output).name
        )
        made = edit(info.path, job.temp_dir() / name, trial, on)
        frames = max(_frames(info, options.read) or made.frames, made.frames)
        each = sum(seconds for stage, seconds in made.stages.items() if stage not in ONCE) / max(
            made.frames, 1
        )
        details = {
            **made.details,
            "dry_run": True,
            "would_make": frames,
            "size": "{}x{}".format(*info.size),
            "estimate": round(made.seconds + (frames - made.frames) * each, 1),
        }
        return job.report(
            target, FrameCounter(), faces=made.faces, engine=made.engine, details=details
        )


def _beginning(info: MediaInfo, read: ReadOptions) -> ReadOptions:
    end = read.start + float(FEW / (info.rate or Fraction(25)))
    return replace(read, end=end if read.end is None else min(read.end, end))


def _frames(info: MediaInfo, read: ReadOptions) -> int | None:
    """How many frames the whole span has, as far as the container says."""
    if info.frames is None or not info.duration:
        return info.frames
    length = float(info.duration)
    return round(info.frames * (min(read.end or length, length) - read.start) / length)
