"""Resampling of rows at a constant rate to video time stamps of any spacing, by windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from thcli.core.types import Array, Array32, Timestamps

WINDOW = 256  # time stamps per window


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """A stretch of the features of a sound.

    Attributes:
        values: (T, ...) float32, row i at (first + i) / rate seconds.
        rate: rows per second.
        first: number of the first row.
    """

    values: Array32
    rate: Fraction
    first: int = 0

    def interpolate(self, pts: Timestamps, time_base: Fraction) -> Array32:
        """Return the values at N time stamps (units of time_base seconds), (N, ...) float32.

        Values are linear between two rows, and constant before the first and after the last.
        """
        below, fraction = row_positions(pts, time_base, self.rate)
        last = len(self.values) - 1
        low, high = (np.clip(below - self.first + step, 0, last) for step in (0, 1))
        weight = fraction.astype(np.float32).reshape(-1, *[1] * (self.values.ndim - 1))
        result: Array32 = self.values[low] * (1 - weight) + self.values[high] * weight
        return result


def row_positions(pts: Timestamps, time_base: Fraction, rate: Fraction) -> tuple[Timestamps, Array]:
    """Return the row at or before each time stamp and the fraction of the way to the next row.

    Computed in integers: a time stamp that falls on a row gives exactly that row, at any length.

    Returns:
        (N,) int64 rows and (N,) float64 fractions in [0, 1).
    """
    scale = time_base * rate
    numerator, denominator = scale.numerator, scale.denominator
    products = [
        int(stamp) * numerator for stamp in pts
    ]  # Python's own integers: they do not overflow
    below = np.array([product // denominator for product in products], np.int64).reshape(-1)
    fraction = np.array(
        [product % denominator / denominator for product in products], np.float64
    ).reshape(-1)
    return below, np.minimum(fraction, 1 - 2**-53)


def even_stamps(count: int, rate: Fraction) -> tuple[Timestamps, Fraction]:
    """Return time stamps and time base of `count` frames at a constant rate."""
    return np.arange(count, dtype=np.int64), 1 / rate


def count_frames(samples: int, sample_rate: int, rate: Fraction) -> int:
    """Return the number of frames at `rate` that begin within a sound, at least 1."""
    return max(1, int(-(-samples * rate // sample_rate)))


def row_windows(
    parts: Iterable[Array32],
    rate: Fraction,
    pts: Timestamps,
    time_base: Fraction,
    context: Fraction = Fraction(0),
    size: int = WINDOW,
) -> Iterator[tuple[slice, FeatureRows]]:
    """Yield for every `size` time stamps their slice and the rows that cover them.

    Only the rows of one window are in memory. There are no rows before the beginning and past the
    end of the sound; `FeatureRows.interpolate` then repeats the nearest.

    Args:
        parts: (T, ...) each, all rows of the sound in order, at `rate`.
        rate: rows per second.
        pts: (N,) ascending time stamps in units of time_base seconds.
        time_base: seconds per unit.
        context: seconds of rows before the first and after the last time stamp of a window.
        size: time stamps per window.

    Raises:
        ValueError: the sound has no rows.
    """
    source = iter(parts)
    pending: list[Array32] = []
    first = count = 0  # first pending row and number of pending rows
    for begin in range(0, len(pts), size):
        chosen = slice(begin, min(begin + size, len(pts)))
        context_units = context / time_base
        edges = [int(pts[chosen.start]) - context_units, int(pts[chosen.stop - 1]) + context_units]
        low, high = (int(end * time_base * rate // 1) for end in edges)
        while first + count <= high + 1 and (part := next(source, None)) is not None:
            if len(part) and first + count <= low:  # no later window needs the rows so far
                pending, first, count = [], first + count, 0
            pending.append(part)
            count += len(part)
        if not count:
            raise ValueError("there are no rows to align")
        values = np.concatenate(pending)
        dropped = min(max(0, low - first), count - 1)  # the last row stays: it is repeated
        values, first, count = values[dropped:], first + dropped, count - dropped
        pending = [values]
        yield chosen, FeatureRows(values[: max(1, high + 2 - first)], rate, first)


def zip_parts(*streams: Iterable[Array32]) -> Iterator[tuple[Array32, ...]]:
    """Yield streams of rows in parts of equal lengths; ends with the shortest stream."""
    sources = [iter(stream) for stream in streams]
    pending: list[Array32 | None] = [None] * len(sources)
    while True:
        for number, source in enumerate(sources):
            while (part_ := pending[number]) is None or not len(part_):
                part = next(source, None)
                if part is None:
                    return
                pending[number] = part
        rows = [part for part in pending if part is not None]
        common = min(len(part) for part in rows)
        yield tuple(part[:common] for part in rows)
        pending = [part[common:] for part in rows]
