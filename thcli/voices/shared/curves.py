"""Curves of time that are drawn from a seed: every value depends on the seed and the time alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array

_BLOCK = 64  # knots per random generator


def wander(seconds: Array, interval: float, key: tuple[int, int], columns: int) -> Array:
    """Return a curve through normal knots `interval` seconds apart, (T, columns).

    It rests at each knot, as movements of the head do. Knots have standard deviation 1.

    Args:
        seconds: (T,) times, 0 or more.
        interval: seconds between knots.
        key: seed and number of the curve.
        columns: number of independent curves.
    """
    if not len(seconds):
        return np.zeros((0, columns))
    position = seconds / interval
    before = np.floor(position).astype(int)
    first, last = int(before.min()) // _BLOCK, (int(before.max()) + 1) // _BLOCK
    knots = np.concatenate(
        [
            np.random.default_rng([*key, block]).normal(size=(_BLOCK, columns))
            for block in range(first, last + 1)
        ]
    )
    row = before - first * _BLOCK
    fraction = smoothstep(0, 1, position - before)[:, None]
    return np.asarray(knots[row] + fraction * (knots[row + 1] - knots[row]))


def bump(seconds: Array, rise: tuple[float, float], fall: tuple[float, float]) -> Array:
    """Return a curve (T,) that rises from 0 to 1 between two times and falls between two others."""
    return np.asarray(smoothstep(*rise, seconds) * (1 - smoothstep(*fall, seconds)))


def add_events(
    seconds: Array,
    events: Array,
    reach: float,
    curve: Callable[[int, Array], Array],
    columns: int,
) -> Array:
    """Return the sum of the curves of all events near a window, (T, columns).

    Args:
        seconds: (T,) ascending times.
        events: (N,) ascending times of all events.
        reach: seconds before and after an event in which its curve is not 0.
        curve: maps an event's number and times (M,) relative to the event to values (M, columns).
        columns: number of values.
    """
    total = np.zeros((len(seconds), columns))
    if not len(seconds):
        return total
    first = int(np.searchsorted(events, seconds[0] - reach))
    last = int(np.searchsorted(events, seconds[-1] + reach))
    for number in range(first, last):
        begin = int(np.searchsorted(seconds, events[number] - reach))
        end = int(np.searchsorted(seconds, events[number] + reach))
        if begin < end:
            total[begin:end] += curve(number, seconds[begin:end] - events[number])
    return total
