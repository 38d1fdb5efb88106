"""Properties of the inputs of a job: media files, and motion files as drivers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from thcli import media
from thcli.core.errors import UsageError
from thcli.core.options import ReadOptions
from thcli.faces.tracking.select import SPEAKING
from thcli.media.info import MediaInfo
from thcli.media.reading.video import exact_seconds
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.span import MotionSpan, last_duration, select_span


def probe(path: str | Path, read: ReadOptions) -> MediaInfo:
    """Read the properties of a media file, or the times of a motion file.

    Args:
        path: the file.
        read: largest size; the range is not used.

    Raises:
        MediaError: the file cannot be read.
    """
    info = media.probe(path, read)
    if info.kind != "motion":
        return info
    file = MotionFile(info.path)
    count, unit = len(file), file.time_base
    first = int(file.window(0, 1).pts[0])
    steps = int(file.window(count - 1, count).pts[0]) - first
    length = steps + last_duration(file, count)
    return replace(
        info,
        time_base=unit,
        rate=Fraction(count - 1) / (steps * unit) if steps else None,
        frames=count,
        frames_exact=True,
        start=first * unit,
        duration=length * unit if length else None,
    )


def require_sound(info: MediaInfo, select: str) -> None:
    """Raise UsageError where the face that speaks is wanted of an input without sound."""
    if select == SPEAKING and not (info.kind == "video" and info.audio):
        what = "has no sound" if info.kind == "video" else "is not a video"
        raise UsageError(
            f"The face that speaks is found in a video with sound, and {info.path} {what}.",
            "Choose the face by its number or a picture.",
        )


def read_motion(info: MediaInfo, read: ReadOptions) -> MotionSpan:
    """Open the frames of a motion file that are in a range.

    Raises:
        MediaError: the file is not valid.
        UsageError: the range begins after the last frame.
    """
    end = None if read.end is None else exact_seconds(read.end)
    span = select_span(MotionFile(info.path), exact_seconds(read.start), end)
    if not len(span):
        raise UsageError(
            f"--start {read.start:g} is after the last frame of {info.path}.",
            f"Its duration is {float(info.duration):.2f} s." if info.duration else "",
        )
    return span
