"""Several streams in step: which of a stream's frames shows at a given moment."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from thcli.core.types import Frame


class InStep:
    """Goes forward through a stream; holds two frames. Time is counted from the stream's own first frame.

    Of two frames the nearer in time is taken, so that time stamps rounded to another time base still meet; the first and the last
    frame are held beyond the ends.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = iter(frames)
        self._now = next(self._frames, None)
        self._first = self._now
        self._next = next(self._frames, None)
        self._step = Fraction(0)  # between the last two frames

    def time(self, frame: Frame) -> Fraction:
        """Seconds of a frame of this stream from its first."""
        start = Fraction(0) if self._first is None else self._first.pts * self._first.time_base
        return frame.pts * frame.time_base - start

    def at(self, moment: Fraction) -> Frame | None:
        """The frame nearest to a moment, not before the one given last; None for an empty stream."""
        while self._now is not None and self._next is not None:
            now, after = self.time(self._now), self.time(self._next)
            if abs(after - moment) > abs(moment - now):
                break
            self._now, self._step = self._next, after - now
            self._next = next(self._frames, None)
        return self._now

    def over(self, moment: Fraction) -> bool:
        """Whether the stream has ended before a moment: more than three quarters of its last step ago."""
        if self._now is None:
            return True
        return self._next is None and moment - self.time(self._now) > self._step * Fraction(3, 4)
