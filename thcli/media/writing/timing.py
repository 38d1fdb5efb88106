"""Time stamps on their way out: resampling to a fixed rate, and the units of time that a container has."""

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
_FINEST = 2**31 - 1  # of an mp4 track's clock


def exact_rate(fps: float) -> Fraction:
    """The rate that a decimal number stands for: 29.97 is 30000/1001."""
    return _NTSC.get(round(fps, 3), Fraction(repr(fps)))


def container_unit(muxer: str, time_base: Fraction, rate: Fraction) -> Fraction:
    """The unit in which a container keeps time stamps that come in units of `time_base`; the same unit where it can."""
    if muxer in ("matroska", "webm", "flv", "webp"):
        return Fraction(1, 1000)
    if muxer == "mpegts":
        return Fraction(1, 90000)
    if muxer == "gif":
        return Fraction(1, 100)
    if muxer == "avi":  # has no time stamps, only a rate
        return 1 / rate
    if time_base.denominator > _FINEST:
        return Fraction(1, 90000)
    return time_base


class Ticks:
    """Puts time stamps of one unit on the grid of another, each at least one tick after the one before."""

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
        """A duration on the target's grid, 0 when unknown."""
        return max(1, round(duration * self._factor)) if duration > 0 else 0


class Resampler:
    """Says for every frame at which ticks of a fixed rate it is shown: each tick shows the frame nearest to it in time.

    Ticks are counted from the first frame's time. A frame's ticks are known when the next frame comes, or at the end.
    """

    def __init__(
        self, time_base: Fraction, rate: Fraction, first: int | None = None, tick: int = 0
    ) -> None:
        self._scale = time_base * rate
        self.first = first
        self.tick = tick
        self._pending: tuple[int, int] | None = None

    def push(self, pts: int, duration: int) -> range:
        """Takes the next frame's time; returns the ticks at which the frame before it is shown."""
        if self.first is None:
            self.first = pts
        shown = (
            self._until((Fraction(pts + self._pending[0], 2) - self.first) * self._scale)
            if self._pending
            else range(0)
        )
        self._pending = (pts, duration)
        return shown

    def end(self) -> range:
        """The ticks of the last frame: as long as it lasts, one tick when that is not known."""
        if self._pending is None or self.first is None:
            return range(0)
        pts, duration = self._pending
        self._pending = None
        length = duration * self._scale if duration > 0 else Fraction(1)
        stop = (pts - self.first) * self._scale + length - Fraction(1, 2)
        return self._until(stop if self.tick else max(stop, Fraction(0)))

    def _until(self, limit: Fraction) -> range:
        """All ticks not shown yet up to `limit` (a tick that lies on the limit belongs to the frame before it)."""
        stop = max(self.tick, int(limit // 1) + 1)
        shown = range(self.tick, stop)
        self.tick = stop
        return shown


@dataclass(frozen=True, slots=True)
class Moment:
    """A timeline's state between two frames: with it, a job that was interrupted goes on as if it had not been.

    lead: ticks of the input that are taken off.  last: the last tick that was given out.  first, tick: the resampler's.
    """

    lead: int = 0
    last: int | None = None
    first: int | None = None
    tick: int = 0


class Timeline(Generic[T]):
    """Leads frames from the input's time to the output's: shifted to begin at zero if asked, resampled if asked, in the container's unit."""

    def __init__(
        self,
        source: Fraction,
        unit: Fraction,
        fps: Fraction | None,
        from_zero: bool,
        moment: Moment | None = None,
    ) -> None:
        self._source, self._fps, self._from_zero = source, fps, from_zero
        self.unit = unit
        self._begun = moment is not None
        self._lead = moment.lead if moment else 0
        self._ticks = Ticks(1 / fps if fps else source, unit, moment.last if moment else None)
        self._resampler = (
            Resampler(source, fps, moment.first if moment else None, moment.tick if moment else 0)
            if fps
            else None
        )
        self._held: T | None = None

    @property
    def lead(self) -> Fraction:
        """Seconds by which the picture is moved forward; known after the first frame."""
        return self._lead * self._source

    @property
    def moment(self) -> Moment:
        first, tick = (
            (self._resampler.first, self._resampler.tick) if self._resampler else (None, 0)
        )
        return Moment(self._lead, self._ticks.last, first, tick)

    @property
    def holds_back(self) -> int:
        """Frames taken but not given out yet: 0 or 1."""
        return int(self._held is not None)

    def push(self, item: T, pts: int, duration: int) -> Iterator[tuple[T, int, int]]:
        """Takes the next frame; yields what can be written now, with time stamp and duration in units of the output."""
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
        """What was held back."""
        if self._resampler is not None and self._held is not None:
            held, self._held = self._held, None
            yield from self._at(held, self._resampler.end())

    def _at(self, item: T, shown: range) -> Iterator[tuple[T, int, int]]:
        if self._resampler is None or self._resampler.first is None or self._fps is None:
            return
        origin = round(self._resampler.first * self._source * self._fps)
        for tick in shown:
            yield item, self._ticks(origin + tick), self._ticks.length(1)
