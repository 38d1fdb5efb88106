"""Synchronisation of several video streams by time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from thcli.core.types import Frame


class StreamSynchroniser:
    """Forward reader of a stream that returns the frame of a given time. It holds two frames.

    Time is in seconds since the first frame of the stream. The nearer of two frames is returned, so
    that time stamps that were rounded to another time base still match. The first and the last
    frame are held beyond the ends.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self._now = next(self._frames, None)
        self._first = self._now
        self._next = next(self._frames, None)
        self._step = Fraction(0)  # seconds between the last two frames

    def seconds_of(self, frame: Frame) -> Fraction:
        """Return the time of a frame of this stream."""
        start = Fraction(0) if self._first is None else self._first.pts * self._first.time_base
        return frame.pts * frame.time_base - start

    def frame_at(self, seconds: Fraction) -> Frame | None:
        """Return the frame nearest to a time, None for an empty stream.

        The reader never goes back: an earlier time returns the current frame.
        """
        while self._now is not None and self._next is not None:
            now, after = self.seconds_of(self._now), self.seconds_of(self._next)
            if abs(after - seconds) > abs(seconds - now):
                break
            self._now, self._step = self._next, after - now
            self._next = next(self._frames, None)
        return self._now

    def has_ended(self, seconds: Fraction) -> bool:
        """Return True when the last frame ended more than 3/4 of a frame before a time."""
        if self._now is None:
            return True
        late = seconds - self.seconds_of(self._now)
        return self._next is None and late > self._step * Fraction(3, 4)
