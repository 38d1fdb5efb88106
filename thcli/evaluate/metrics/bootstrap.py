"""Bootstrap of the mean of grouped values: groups are drawn first, then values of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array

RESAMPLES = 2000
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
    means = np.array([_resample(table, lengths, draw, equal=equal) for _ in range(RESAMPLES)])
    low, high = np.quantile(means, LEVEL)
    values = np.array([group.mean() for group in groups]) if equal else np.concatenate(groups)
    return Interval(float(values.mean()), float(low), float(high))


def _resample(
    table: Array, lengths: npt.NDArray[np.int64], draw: np.random.Generator, *, equal: bool
) -> float:
    """Return the mean of values drawn from groups that were drawn.

    Args:
        table: a row of values for each group, filled up with zeros.
        lengths: their numbers of values.
        draw: random numbers.
        equal: see `bootstrap`.
    """
    chosen = draw.integers(len(table), size=len(table))
    count = lengths[chosen, None]
    picked = (draw.random((len(table), table.shape[1])) * count).astype(np.int64)
    values = np.take_along_axis(table[chosen], picked, 1)
    known = np.arange(table.shape[1]) < count
    if equal:
        return float(np.mean(values, axis=1, where=known).mean())
    return float(values[known].mean())


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
