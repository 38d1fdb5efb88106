"""Scores of a row, and their mean over clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from thcli.core.types import Array
from thcli.evaluate.metrics.regions import REGIONS, Region
from thcli.evaluate.metrics.sets.distribution import FeaturePool

Values = Mapping[Region, Mapping[str, float | None]]


@dataclass(frozen=True)
class RowScores:
    """Results of one row.

    values: region -> metric -> value, None where nothing could be measured.
    frames: number of compared frames.
    absent: number of frames that the result lacks.
    seconds: (T,) times of the compared frames.
    curves: metric -> (T,) values in the face box, NaN where there is none.
    pools: metric -> features of a distance between sets of images.
    """

    values: Values
    frames: int
    absent: int
    seconds: Array = field(default_factory=lambda: np.zeros(0))
    curves: Mapping[str, Array] = field(default_factory=dict)
    pools: Mapping[str, FeaturePool] = field(default_factory=dict)


def average_scores(rows: Sequence[RowScores]) -> RowScores:
    """Average the scores of several clips, each clip with equal weight.

    Missing values are left out. Distances between sets are those of the images of all clips.
    """
    values: dict[Region, dict[str, float | None]] = {
        region: {
            name: average([row.values[region].get(name) for row in rows])
            for name in rows[0].values[region]
        }
        for region in REGIONS
    }
    pools = {
        name: FeaturePool.join([row.pools[name] for row in rows if name in row.pools])
        for name in rows[0].pools
    }
    if len(rows) > 1:
        values["face"] |= {name: pool.value() for name, pool in pools.items()}
    return RowScores(
        values, sum(row.frames for row in rows), sum(row.absent for row in rows), pools=pools
    )


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean of the known values, None without any."""
    present = [value for value in values if value is not None]
    return float(np.mean(present)) if present else None
