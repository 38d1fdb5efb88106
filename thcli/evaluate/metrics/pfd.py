"""pfd: perceptual distance of face images in the form of LPIPS (Zhang et al. 2018, eq. 1).

The encoder of pfd-s sees both images at five depths. Features are normalised over the channels at
each pixel; squared distances are averaged over the map and over the depths. The result is 0 for
equal images and at most 2, since features are not negative. It is not LPIPS: pfd-s, the first
parse-s, learnt face regions and no human judgements, so values compare only with each other. They
do so as long as its weights stay: a better parser is no reason to replace it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import RunOptions, Template, TemplateOptions
from thcli.core.types import Array, Array32, Crop, Image
from thcli.evaluate.metrics.openings import mouth_crops
from thcli.evaluate.metrics.regions import RegionView
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample
from thcli.faces.crops.crop import crop
from thcli.faces.parsing import small
from thcli.pipeline.observe.crop_templates import crop_placement

NAME = "pfd-s"
_TINY = 1e-10  # keeps a pixel without features the zero vector


class FeatureExtractor(Protocol):
    """Network with features at several depths: pfd-s.

    features: crops (crop_size, crop_size, 3) uint8 -> non-negative maps (N, C, h, w).
    """

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    def features(self, crops: Sequence[Image]) -> list[Array32]: ...


def pfd(network: FeatureExtractor, first: Sequence[Image], second: Sequence[Image]) -> Array:
    """Return (N,) distances of pairs of crops, each 0..2, symmetric.

    Args:
        network: feature extractor.
        first, second: N crops (256, 256, 3) uint8 RGB each, in `faces.crops.align.ffhq`'s crop;
            both of a pair by the landmarks of one face.

    Raises:
        ValueError: for different numbers of crops.
        DeviceError: when the device fails.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs of {len(first)} and {len(second)} images")
    return feature_distance(network.features(first), network.features(second))


def feature_distance(first: Sequence[Array32], second: Sequence[Array32]) -> Array:
    """Return `pfd` (N,) of features that were computed before, (N, C, h, w) for each depth."""
    depths = [
        ((_unit(a) - _unit(b)) ** 2).sum(1).mean((1, 2), dtype=np.float64)
        for a, b in zip(first, second, strict=True)
    ]
    return np.asarray(np.mean(depths, 0), np.float64)


def make_metric(network: FeatureExtractor, name: str = NAME) -> Metric:
    """Return the metric over frames whose truth shows a face.

    Both images are cropped by the true face's landmarks.
    """
    truth_features = _TruthFeatures(network)

    def distance(sample: Sample) -> float | None:
        known = truth_features.get(sample.truth)
        if known is None:
            return None
        where, maps = known
        return float(feature_distance(maps, network.features([_cut(sample.frame, where)]))[0])

    return Metric(
        "pfd",
        "0..2",
        "lower",
        "perceptual distance, ours: LPIPS's form in pfd-s's features",
        FACE,
        lambda: Mean(distance),
        name,
    )


def make_mouth_metric(network: FeatureExtractor, name: str = NAME) -> Metric:
    """Return the metric over the square around the true lips, enlarged to the network's input."""

    def distance(sample: Sample) -> float | None:
        crops = mouth_crops(sample)
        if crops is None:
            return None
        side = network.crop_size
        first, second = (network.features([_enlarge(crop, side)]) for crop in crops)
        return float(feature_distance(first, second)[0])

    return Metric(
        "mouth_pfd",
        "0..2",
        "lower",
        "pfd of the square around the lips",
        FACE,
        lambda: Mean(distance),
        name,
    )


def load_metrics(run: RunOptions) -> tuple[Metric, ...]:
    """Return the metrics of the bundled network: face and mouth; none where --licence refuses it.

    Raises DeviceError.
    """
    try:
        network = small.load(run, NAME)
    except WeightsError:
        return ()
    return (make_metric(network), make_mouth_metric(network))


class _TruthFeatures:
    """Features of the last true region, which all rows are compared with."""

    def __init__(self, network: FeatureExtractor) -> None:
        self._network = network
        self._options = TemplateOptions(template=network.template, size=network.crop_size)
        self._last: tuple[RegionView, tuple[Crop, list[Array32]] | None] | None = None

    def get(self, truth: RegionView) -> tuple[Crop, list[Array32]] | None:
        """Return crop and features of the true face; None without a face."""
        if self._last is None or self._last[0] is not truth:
            self._last = truth, self._compute(truth)
        return self._last[1]

    def _compute(self, truth: RegionView) -> tuple[Crop, list[Array32]] | None:
        if truth.face is None:
            return None
        try:
            where = crop_placement(truth.face, self._options)
        except NoFaceError:  # the landmarks are degenerate
            return None
        return where, self._network.features([_cut(truth.frame, where)])


def _cut(image: Image, where: Crop) -> Image:
    return np.asarray(crop(image, where), np.uint8)


def _enlarge(image: Image, side: int) -> Image:
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def _unit(maps: Array32) -> Array32:
    """Normalise (N, C, h, w) over the channels at each pixel."""
    length = np.sqrt((maps * maps).sum(1, keepdims=True))
    return np.asarray(maps / (length + np.float32(_TINY)), np.float32)
