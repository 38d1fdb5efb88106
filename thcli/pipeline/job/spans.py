"""Numbers of frames in a range of an input, before it is read."""

from __future__ import annotations

from thcli.core.options import ReadOptions
from thcli.media.info import MediaInfo


def frames_in_span(info: MediaInfo, read: ReadOptions) -> int | None:
    """Return the number of frames between --start and --end, None when the container is silent."""
    if info.frames is None or info.duration is None or not (read.start or read.end):
        return info.frames
    length = float(info.duration)
    span = min(read.end or length, length) - read.start
    return round(info.frames * span / length) if length else info.frames


def least_frames(info: MediaInfo, read: ReadOptions) -> int:
    """Return how many frames a range has at least, 0 when that is unknown.

    Half of its share of the frames where it is cut: they need not be evenly spaced.
    """
    count = (frames_in_span(info, read) or 0) if info.frames_exact else 0
    is_cut = read.start > 0 or read.end is not None
    return max(count // 2 if is_cut else count, 0)
