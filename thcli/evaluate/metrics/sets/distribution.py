"""Distances between sets of images by their features: Fréchet distance and kernel distance.

FID is the Fréchet distance (Heusel et al. 2017, eq. 6), KID the kernel distance (Bińkowski et al.
2018, sec. 3.1), both with the features of Inception-v3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from thcli.core.types import Array, Face, Image
from thcli.evaluate.metrics.table import FACE, Metric, Sample

SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as clean-fid
Distance = Callable[[Array, Array], "float | None"]


def frechet_distance(first: Array, second: Array) -> float | None:
    """Return the Fréchet distance of two sets, 0 or more; None for fewer than 2 rows.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). The trace of the root is the sum of the singular
    values of A B^T, where A^T A = S1 and B^T B = S2; so that no root of a singular matrix is taken.

    Args:
        first, second: (N, D) and (M, D) features.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    means = [rows.mean(0, dtype=np.float64) for rows in (first, second)]
    roots = [_covariance_root(rows) for rows in (first, second)]
    spread = sum(float((root**2).sum()) for root in roots)
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return max(float(((means[0] - means[1]) ** 2).sum()) + spread - 2 * shared, 0.0)


def _covariance_root(rows: Array) -> Array:
    """Return A (K, D) with A^T A the covariance of the rows, K at most D."""
    centred = (rows - rows.mean(0, dtype=np.float64)) / np.sqrt(len(rows) - 1)
    if len(centred) > centred.shape[1]:
        return np.asarray(np.linalg.qr(centred, mode="r"))
    return np.asarray(centred, np.float64)


def kernel_distance(first: Array, second: Array, seed: int = 0) -> float | None:
    """Return the unbiased squared distance with the kernel (x y / D + 1)^3; None below 2 rows.

    It may be negative. Sets that differ in size or exceed SUBSET_SIZE are drawn from SUBSETS times.

    Args:
        first, second: (N, D) and (M, D) features.
        seed: of the draws.
    """
    size = min(len(first), len(second), SUBSET_SIZE)
    if size < 2:
        return None
    if len(first) == len(second) == size:
        return _unbiased_distance(first, second)
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(SUBSETS):
        parts = [rows[draw.choice(len(rows), size, replace=False)] for rows in (first, second)]
        found.append(_unbiased_distance(*parts))
    return float(np.mean(found))


def _unbiased_distance(x: Array, y: Array) -> float:
    width, size = x.shape[1], len(x)
    x, y = x.astype(np.float64), y.astype(np.float64)
    within = (x @ x.T / width + 1) ** 3 + (y @ y.T / width + 1) ** 3
    across = (x @ y.T / width + 1) ** 3
    same = (within.sum() - np.trace(within)) / (size - 1)
    return float((same - 2 * across.sum() / size) / size)


@dataclass(frozen=True)
class FeaturePool:
    """Features of the true and of the resulting images, (N, D) and (M, D), and their distance."""

    truth: Array
    result: Array
    distance: Distance

    @classmethod
    def join(cls, pools: Sequence[FeaturePool]) -> FeaturePool:
        """Return the images of all pools as one."""
        truth = np.concatenate([pool.truth for pool in pools])
        return cls(truth, np.concatenate([pool.result for pool in pools]), pools[0].distance)

    def value(self) -> float | None:
        """Return the distance, None for too few images."""
        if not len(self.truth) or not len(self.result):
            return None
        return self.distance(self.truth, self.result)


class SetDistance(ABC):
    """Accumulator of a distance between the sets of true and resulting images."""

    @abstractmethod
    def add(self, sample: Sample) -> None:
        """Add a frame."""

    @abstractmethod
    def pool(self) -> FeaturePool:
        """Return the features so far."""

    def value(self) -> float | None:
        """Return the distance, None for too few images."""
        return self.pool().value()


class FaceSetDistance(SetDistance):
    """Distance of the sets of true and resulting faces, each in its own face box.

    Args:
        features: of a face in a frame, (D,).
        distance: of two sets.
        truth: (N, D) features of the true faces; None to take those of the samples.
    """

    def __init__(
        self,
        features: Callable[[Image, Face], Array],
        distance: Distance,
        truth: Array | None = None,
    ) -> None:
        self._features, self._distance, self._given = features, distance, truth
        self._truth: list[Array] = []
        self._result: list[Array] = []

    def add(self, sample: Sample) -> None:
        if self._given is None and sample.truth.face is not None:
            self._truth.append(self._features(sample.truth.frame, sample.truth.face))
        if sample.face is not None:
            self._result.append(self._features(sample.frame, sample.face))

    def pool(self) -> FeaturePool:
        truth = stack_rows(self._truth) if self._given is None else self._given
        return FeaturePool(truth, stack_rows(self._result), self._distance)


@dataclass(frozen=True)
class FaceFeatures:
    """Features of faces, with the metrics that compare sets of them.

    Attributes:
        model: network.
        get: features (D,) of a face in a frame.
        distances: metric -> description and distance.
    """

    model: str
    get: Callable[[Image, Face], Array]
    distances: Mapping[str, tuple[str, Distance]]

    def metrics(self, truth: Array | None = None) -> tuple[Metric, ...]:
        """Return the metrics; see `FaceSetDistance`."""
        return tuple(
            Metric(
                name,
                "",
                "lower",
                about,
                FACE,
                partial(FaceSetDistance, self.get, distance, truth),
                self.model,
            )
            for name, (about, distance) in self.distances.items()
        )


def stack_rows(found: Sequence[Array]) -> Array:
    """Stack features (D,) to (N, D); (0, 0) for none."""
    return np.stack(found) if found else np.zeros((0, 0))
