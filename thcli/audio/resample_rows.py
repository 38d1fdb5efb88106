"""Rows at an even rate brought to the time stamps of pictures, at any frame rate and at none: exactly, and a window at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from thcli.core.types import Array, Array32, Stamps

WINDOW = 256  # time stamps of a window


@dataclass(frozen=True, slots=True)
class Rows:
    """A stretch of a sound's numbers. values: (T, ...) float32, row i belongs to (first + i) / rate seconds.  rate: rows a second."""

    values: Array32
    rate: Fraction
    first: int = 0

    def at(self, pts: Stamps, time_base: Fraction) -> Array32:
        """(N, ...) the values at time stamps (units of time_base seconds): linear between two rows, held before the first and after the last."""
        below, share = places(pts, time_base, self.rate)
        last = len(self.values) - 1
        low, high = (np.clip(below - self.first + step, 0, last) for step in (0, 1))
        weight = share.astype(np.float32).reshape(-1, *[1] * (self.values.ndim - 1))
        found: Array32 = self.values[low] * (1 - weight) + self.values[high] * weight
        return found

    def around(self, pts: Stamps, time_base: Fraction, before: int, after: int) -> Array32:
        """(N, before + 1 + after, ...) the nearest row to each time stamp and its neighbours; the ends are held."""
        below, share = places(pts, time_base, self.rate)
        nearest = below + (share >= 0.5) - self.first
        index = nearest[:, None] + np.arange(-before, after + 1)
        found: Array32 = self.values[np.clip(index, 0, len(self.values) - 1)]
        return found


def places(pts: Stamps, time_base: Fraction, rate: Fraction) -> tuple[Stamps, Array]:
    """Where time stamps lie among rows: the row at or before each, and how far it is (0 up to 1, not 1) to the next.

    In whole numbers, so that a time stamp which is a row's own gives exactly that row, after ten hours too.
    """
    scale = time_base * rate
    top, bottom = scale.numerator, scale.denominator
    products = [int(stamp) * top for stamp in pts]  # Python's own integers: they do not overflow
    below = np.array([product // bottom for product in products], np.int64).reshape(-1)
    share = np.array([product % bottom / bottom for product in products], np.float64).reshape(-1)
    return below, np.minimum(share, 1 - 2**-53)


def even(count: int, rate: Fraction) -> tuple[Stamps, Fraction]:
    """Time stamps and time base of `count` frames at an even rate."""
    return np.arange(count, dtype=np.int64), 1 / rate


def frames_in(samples: int, sample_rate: int, rate: Fraction) -> int:
    """How many frames at `rate` begin while a sound lasts: at least 1."""
    return max(1, int(-(-samples * rate // sample_rate)))


def windows(
    parts: Iterable[Array32],
    rate: Fraction,
    pts: Stamps,
    time_base: Fraction,
    context: Fraction = Fraction(0),
    size: int = WINDOW,
) -> Iterator[tuple[slice, Rows]]:
    """For each `size` time stamps (rising): which they are, and the rows from `context` seconds before the first to `context` after the last.

    parts: (T, ...) each, all rows of the sound in their order, at `rate`. Only the rows of one window are in memory. Past the sound's
    end, and before its beginning, there are no rows: `Rows.at` and `Rows.around` then hold the nearest.
    Raises ValueError for a sound without rows.
    """
    source = iter(parts)
    held: list[Array32] = []
    first = count = 0  # the first row held, and how many are
    for begin in range(0, len(pts), size):
        chosen = slice(begin, min(begin + size, len(pts)))
        reach = context / time_base
        ends = [int(pts[chosen.start]) - reach, int(pts[chosen.stop - 1]) + reach]
        low, high = (int(end * time_base * rate // 1) for end in ends)
        while first + count <= high + 1 and (part := next(source, None)) is not None:
            if len(part) and first + count <= low:  # nothing so far will be asked for again
                held, first, count = [], first + count, 0
            held.append(part)
            count += len(part)
        if not count:
            raise ValueError("there are no rows to align")
        values = np.concatenate(held)
        gone = min(max(0, low - first), count - 1)  # one always stays: it is held at the end
        values, first, count = values[gone:], first + gone, count - gone
        held = [values]
        yield chosen, Rows(values[: max(1, high + 2 - first)], rate, first)


def together(*streams: Iterable[Array32]) -> Iterator[tuple[Array32, ...]]:
    """Streams of rows that come in parts of different lengths, in parts of the same; ends with the shortest."""
    sources = [iter(stream) for stream in streams]
    held: list[Array32 | None] = [None] * len(sources)
    while True:
        for number, source in enumerate(sources):
            while (have := held[number]) is None or not len(have):
                part = next(source, None)
                if part is None:
                    return
                held[number] = part
        rows = [part for part in held if part is not None]
        common = min(len(part) for part in rows)
        yield tuple(part[:common] for part in rows)
        held = [part[common:] for part in rows]
