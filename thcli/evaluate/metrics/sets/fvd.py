"""FVD of the face box: Fréchet distance of I3D's logits (Unterthiner et al. 2018).

Clips are of 16 consecutive frames that do not overlap. It needs hundreds of clips; of fewer it
compares only between rows of one table.
"""

from __future__ import annotations

import numpy as np

from thcli.core.device import resolve_device
from thcli.core.options import RunOptions
from thcli.core.types import Array, Image
from thcli.evaluate.metrics.networks.i3d import FRAMES, I3D, WEIGHTS, build_i3d, encode_clip
from thcli.evaluate.metrics.sets.distribution import (
    FeaturePool,
    SetDistance,
    frechet_distance,
    stack_rows,
)
from thcli.evaluate.metrics.table import FACE, Metric, Sample
from thcli.weights import is_allowed, is_ready, load_tensors, registry


class ClipSetDistance(SetDistance):
    """Distance of the sets of short clips of truth and result."""

    def __init__(self, network: I3D) -> None:
        self._network = network
        self._waiting: list[tuple[Image, Image]] = []
        self._last = 0  # number of the last frame
        self._features: tuple[list[Array], list[Array]] = ([], [])

    def add(self, sample: Sample) -> None:
        if sample.number != self._last + 1:
            self._waiting = []
        self._last = sample.number
        self._waiting.append((sample.truth.image, sample.image))
        if len(self._waiting) == FRAMES:
            for kept, frames in zip(self._features, zip(*self._waiting, strict=True), strict=True):
                kept.append(np.asarray(encode_clip(self._network, frames), np.float64))
            self._waiting = []

    def pool(self) -> FeaturePool:
        truth, result = (stack_rows(kept) for kept in self._features)
        return FeaturePool(truth, result, frechet_distance)


def make_metric(network: I3D) -> Metric:
    """Return the metric of a network."""
    about = f"Fréchet distance of clips of {FRAMES} frames"
    return Metric("fvd", "", "lower", about, FACE, lambda: ClipSetDistance(network), "i3d")


def load_metrics(run: RunOptions) -> tuple[Metric, ...]:
    """Return the metric; none without its weights or licence. Raises DeviceError."""
    if not (is_ready(WEIGHTS) and is_allowed(registry()[WEIGHTS], run.licence)):
        return ()
    tensors = load_tensors(WEIGHTS, offline=run.offline)
    return (make_metric(build_i3d(tensors, resolve_device(run.device))),)
