"""Output time stamps: resampling to a constant frame rate, and rounding to a container's units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

T = TypeVar("T")

_NTSC = {
    value: Fraction(round(value * 1001 / 1000) * 1000, 1001)
    for value in (23.976, 29.97, 47.952, 59.94, 119.88)
}
_MAX_MP4_CLOCK = 2**31 - 1  # ticks per second of an mp4 track


def exact_frame_rate(fps: float) -> Fraction:
    """Return the exact rate of a decimal number: 29.97 is 30000/1001."""
    return _NTSC.get(round(fps, 3), Fraction(repr(fps)))


def container_time_base(muxer: str, time_base: Fraction, rate: Fraction) -> Fraction:
    """Return the unit of a container's time stamps in seconds, `time_base` where it can hold that.

    Args:
        muxer: FFmpeg's name of the container format.
        time_base: unit of the time stamps to write, in seconds.
        rate: frames per second; the unit of a container without time stamps.
    """
    if muxer in ("matroska", "webm", "flv", "webp"):
        return Fraction(1, 1000)
    if muxer == "mpegts":
        return Fraction(1, 90000)
    if muxer == "gif":
        return Fraction(1, 100)
    if muxer == "avi":  # stores a rate and no time stamps
        return 1 / rate
    if time_base.denominator > _MAX_MP4_CLOCK:
        return Fraction(1, 90000)
    return time_base


class TickGrid:
    """Rounding of time stamps to the unit of a container; the results are strictly increasing.

    source, target: units in seconds.
    last: the last tick that was returned.
    """

    def __init__(self, source: Fraction, target: Fraction, last: int | None = None) -> None:
        self._factor = source / target
        self.last = last

    def __call__(self, pts: int) -> int:
        tick = round(pts * self._factor)
        if self.last is not None and tick <= self.last:
            tick = self.last + 1
        self.last = tick
        return tick

    def length(self, duration: int) -> int:
        """Convert a duration to the target's unit, 0 when unknown."""
        return max(1, round(duration * self._factor)) if duration > 0 else 0


class FrameRateResampler:
    """Resampling to a constant frame rate: each tick shows the frame nearest in time.

    Ticks are counted from the time of the first frame. The ticks of a frame are known when the next
    frame arrives, or at the end.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction, first: int | None = None, tick: int = 0
    ) -> None:
        self._scale = time_base * rate
        self.first = first
        self.tick = tick
        self._pending: tuple[int, int] | None = None

    def push(self, pts: int, duration: int) -> range:
        """Take the next frame's time; return the ticks that show the frame before it."""
        if self.first is None:
            self.first = pts
        shown = range(0)
        if self._pending:
            halfway = Fraction(pts + self._pending[0], 2)
            shown = self._until((halfway - self.first) * self._scale)
        self._pending = (pts, duration)
        return shown

    def end(self) -> range:
        """Return the ticks of the last frame, by its duration; one tick when that is unknown."""
        if self._pending is None or self.first is None:
            return range(0)
        pts, duration = self._pending
        self._pending = None
        length = duration * self._scale if duration > 0 else Fraction(1)
        stop = (pts - self.first) * self._scale + length - Fraction(1, 2)
        return self._until(stop if self.tick else max(stop, Fraction(0)))

    def _until(self, limit: Fraction) -> range:
        """Take the ticks up to `limit`; a tick at the limit belongs to the earlier frame."""
        stop = max(self.tick, int(limit // 1) + 1)
        shown = range(self.tick, stop)
        self.tick = stop
        return shown


@dataclass(frozen=True, slots=True)
class TimelineState:
    """State of a timeline between two frames, from which an interrupted job continues exactly.

    lead: time that is subtracted, in units of the input.
    last: the last tick that was written.
    first, tick: state of the FrameRateResampler.
    """

    lead: int = 0
    last: int | None = None
    first: int | None = None
    tick: int = 0


class Timeline(Generic[T]):
    """Conversion of input time stamps to output time stamps.

    source: unit of the input in seconds.
    unit: unit of the output in seconds.
    fps: constant rate to resample to; None keeps the time stamps.
    from_zero: shift the first frame to 0.
    state: to continue an interrupted job.
    """

    def __init__(
        self,
        source: Fraction,
        unit: Fraction,
        fps: Fraction | None,
        from_zero: bool,
        state: TimelineState | None = None,
    ) -> None:
        self._source, self._fps, self._from_zero = source, fps, from_zero
        self.unit = unit
        start = state or TimelineState()
        self._begun = state is not None
        self._lead = start.lead
        self._ticks = TickGrid(1 / fps if fps else source, unit, start.last)
        self._resampler = FrameRateResampler(source, fps, start.first, start.tick) if fps else None
        self._held: T | None = None

    @property
    def lead(self) -> Fraction:
        """Seconds that are subtracted from the input's time stamps; known after the first frame."""
        return self._lead * self._source

    @property
    def state(self) -> TimelineState:
        """State after the last frame that was taken."""
        first, tick = (
            (self._resampler.first, self._resampler.tick) if self._resampler else (None, 0)
        )
        return TimelineState(self._lead, self._ticks.last, first, tick)

    @property
    def holds_back(self) -> int:
        """Number of frames taken but not yet returned: 0 or 1."""
        return int(self._held is not None)

    def push(self, item: T, pts: int, duration: int) -> Iterator[tuple[T, int, int]]:
        """Take the next frame; yield (item, time stamp, duration) that can be written now.

        Args:
            item: the frame.
            pts, duration: in units of the input; duration 0 when unknown.
        """
        if not self._begun:
            self._begun, self._lead = True, pts if self._from_zero else 0
        pts -= self._lead
        if self._resampler is None:
            yield item, self._ticks(pts), self._ticks.length(duration)
            return
        shown = self._resampler.push(pts, duration)
        if self._held is not None:
            yield from self._at(self._held, shown)
        self._held = item

    def end(self) -> Iterator[tuple[T, int, int]]:
        """Yield the frame that was held back, as `push` does."""
        if self._resampler is not None and self._held is not None:
            held, self._held = self._held, None
            yield from self._at(held, self._resampler.end())

    def _at(self, item: T, shown: range) -> Iterator[tuple[T, int, int]]:
        if self._resampler is None or self._resampler.first is None or self._fps is None:
            return
        origin = round(self._resampler.first * self._source * self._fps)
        for tick in shown:
            yield item, self._ticks(origin + tick), self._ticks.length(1)
