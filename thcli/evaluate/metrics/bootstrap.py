"""Bootstrap of the mean of grouped values: groups are drawn first, then values of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array

RESAMPLES = 2000
MOST_VALUES = 1 << 18  # that are drawn at once
LEVEL = (0.025, 0.975)  # quantiles: an interval of 95 %


@dataclass(frozen=True, slots=True)
class Interval:
    """Mean of all values, with the bounds of its interval of 95 %."""

    mean: float
    low: float
    high: float


def bootstrap(
    groups: Sequence[Array], draw: np.random.Generator, *, equal: bool = False
) -> Interval:
    """Return the mean of all values with its interval.

    Args:
        groups: (N,) values each, which are alike: the answers of a person, the parts of a clip.
        draw: random numbers.
        equal: each group counts the same, instead of each value.
    """
    lengths = np.array([len(group) for group in groups])
    table = np.zeros((len(groups), lengths.max()))
    for row, group in zip(table, groups, strict=True):
        row[: len(group)] = group
    means = _resample(table, lengths, draw, equal=equal)
    low, high = np.quantile(means, LEVEL)
    values = np.array([group.mean() for group in groups]) if equal else np.concatenate(groups)
    return Interval(float(values.mean()), float(low), float(high))


def _resample(
    table: Array, lengths: npt.NDArray[np.int64], draw: np.random.Generator, *, equal: bool
) -> Array:
    """Return the means (RESAMPLES,) of values drawn from groups that were drawn.

    Args:
        table: a row of values for each group, filled up with zeros.
        lengths: their numbers of values.
        draw: random numbers.
        equal: see `bootstrap`.
    """
    at_once = max(1, MOST_VALUES // table.size)
    means = []
    for first in range(0, RESAMPLES, at_once):
        places = np.empty((min(at_once, RESAMPLES - first), *table.shape))
        chosen = np.empty(places.shape[:2], np.int64)
        for groups, place in zip(chosen, places, strict=True):
            groups[:] = draw.integers(len(table), size=len(table))
            draw.random(out=place)
        counts = lengths[chosen][..., None]
        values = table[chosen[..., None], (places * counts).astype(np.int64)]
        known = np.arange(table.shape[1]) < counts
        if equal:
            means.append(values.mean(2, where=known).mean(1))
        else:
            means.append(values.mean((1, 2), where=known))
    return np.concatenate(means)


def frame_groups(curves: Sequence[Array], block: int = 12) -> list[Array]:
    """Return the means of blocks of frames of each clip, because neighbouring frames are alike.

    Args:
        curves: (T,) values of each clip, NaN where there is none.
        block: frames of a block.
    """
    groups = []
    for curve in curves:
        known = curve[np.isfinite(curve)]
        if len(known):
            parts = np.array_split(known, max(len(known) // block, 1))
            groups.append(np.array([part.mean() for part in parts]))
    return groups
