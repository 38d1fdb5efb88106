"""Part of a motion file, and the times of its frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from thcli.core.types import Motion
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.windows import windows

LAST_DURATION = "last_duration"  # key of the metadata; units of the time base
_TICKS = re.compile(r"[1-9]\d{0,11}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MotionSpan:
    """Frames first..stop of a motion file as a MotionStore.

    last_duration: of the last of these frames in units of the time base; 0 when unknown.
    unseen: number of these frames without a detected face.
    """

    file: MotionFile
    first: int
    stop: int
    last_duration: int
    unseen: int

    @property
    def kind(self) -> str:
        return self.file.kind

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of the time stamps."""
        return self.file.time_base

    def __len__(self) -> int:
        return self.stop - self.first

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop of the span, limited to it. Raises as `MotionFile.window`."""
        first = min(self.first + max(start, 0), self.stop)
        return self.file.window(first, min(self.first + max(stop, 0), self.stop))


def select_span(file: MotionFile, start: Fraction, end: Fraction | None) -> MotionSpan:
    """Select the frames of a range in seconds since the first frame, as in a video.

    Args:
        file: the motion.
        start: the first frame is the first one at or after it.
        end: the frames at and after it are left out; None: the end of the file.

    Returns:
        The span; it is empty when no frame is in the range.

    Raises:
        MediaError: the file is not valid.
    """
    first = stop = unseen = origin = 0
    for number, window in enumerate(windows(file)):
        origin = origin if number else int(window.pts[0])
        early = window.pts < origin + ceil(start / file.time_base)
        used = ~early
        if end is not None:
            used &= window.pts < origin + ceil(end / file.time_base)
        first += int(early.sum())
        stop += int((early | used).sum())
        unseen += int((used & ~window.valid).sum())
    return MotionSpan(file, first, stop, last_duration(file, stop), unseen)


def last_duration(file: MotionFile, stop: int) -> int:
    """Return the duration of frame `stop` - 1 in units of the time base, 0 when unknown.

    A motion file has only that of its last frame, and files of other origin not even that: there
    the last frame lasts as long as the one before it.
    """
    recorded = file.metadata.get(LAST_DURATION, "")
    if stop == len(file) and _TICKS.fullmatch(recorded):
        return int(recorded)
    stamps = file.window(max(stop - 1, 0), stop + 1).pts
    if len(stamps) < 2:
        stamps = file.window(max(stop - 2, 0), stop).pts
    return int(stamps[1]) - int(stamps[0]) if len(stamps) == 2 else 0
