"""pfd, our perceptual distance of two pictures of a face: LPIPS's form (Zhang et al. 2018, eq. 1) in the features of parse-s, with equal weights.

The encoder of parse-s sees both at five depths. Each pixel of a map is a vector over the channels; it is scaled to unit length, the
squared distance of two such vectors is averaged over the map, and the five means are averaged. 0 for equal pictures, at most 2, since
features are not negative. What it is not: LPIPS. It learnt regions of faces and no human judgement, so its numbers compare with its own alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from thcli.core.errors import NoFaceError, WeightsError
from thcli.core.options import RunOptions, Template, TemplateOptions
from thcli.core.types import Array, Array32, Crop, Image
from thcli.evaluate.metrics.regions import Place
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample
from thcli.faces.backends import PARSERS
from thcli.faces.crops.crop import crop
from thcli.pipeline.observe.crop_track import place_of

NAME = "parse-s"
_TINY = 1e-10  # a pixel without any feature stays the zero vector


class Features(Protocol):
    """What sees faces at several depths: parse-s (`faces.parsing.small`). Crops (crop_size, crop_size, 3) uint8 -> maps (N, C, h, w), not negative."""

    @property
    def crop_size(self) -> int: ...
    @property
    def template(self) -> Template: ...
    def features(self, crops: Sequence[Image]) -> list[Array32]: ...


def pfd(network: Features, first: Sequence[Image], second: Sequence[Image]) -> Array:
    """(N,) distances of pictures with their partners, each 0..2, symmetric.

    first, second: as many crops (256, 256, 3) uint8 RGB each, as `faces.crops.align.ffhq` places them: both of a pair by the same face's
    landmarks. Raises ValueError for different numbers of them, DeviceError.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} pictures have no partners among {len(second)}")
    return between(network.features(first), network.features(second))


def between(first: Sequence[Array32], second: Sequence[Array32]) -> Array:
    """`pfd` of maps that were seen before: (N, C, h, w) of each depth -> (N,)."""
    depths = [
        ((_unit(a) - _unit(b)) ** 2).sum(1).mean((1, 2), dtype=np.float64)
        for a, b in zip(first, second, strict=True)
    ]
    return np.asarray(np.mean(depths, 0), np.float64)


def metric(network: Features, name: str = NAME) -> Metric:
    """The mean distance of result and truth over the frames whose truth shows a face, both cut by the true face's landmarks."""
    seen = _Truth(network)

    def distance(sample: Sample) -> float | None:
        known = seen.of(sample.place)
        if known is None:
            return None
        where, maps = known
        return float(between(maps, network.features([_cut(sample.whole, where)]))[0])

    return Metric(
        "pfd",
        "0..2",
        "lower",
        "perceptual distance, ours: LPIPS's form in parse-s's features",
        FACE,
        lambda: Mean(distance),
        name,
    )


def metrics(run: RunOptions) -> tuple[Metric, ...]:
    """`metric` with the shipped network; nothing where --licence leaves it out. Raises DeviceError."""
    try:
        network: Features = PARSERS.backend(NAME).load(run)
    except WeightsError:
        return ()
    return (metric(network),)


class _Truth:
    """The last place's maps: every row is compared with them in turn."""

    def __init__(self, network: Features) -> None:
        self._network = network
        self._options = TemplateOptions(template=network.template, size=network.crop_size)
        self._last: tuple[Place, tuple[Crop, list[Array32]] | None] | None = None

    def of(self, place: Place) -> tuple[Crop, list[Array32]] | None:
        """Where the true face is cut out, and its maps; None without a face."""
        if self._last is None or self._last[0] is not place:
            self._last = place, self._look(place)
        return self._last[1]

    def _look(self, place: Place) -> tuple[Crop, list[Array32]] | None:
        if place.face is None:
            return None
        try:
            where = place_of(place.face, self._options)
        except NoFaceError:  # points of no face
            return None
        return where, self._network.features([_cut(place.whole, where)])


def _cut(picture: Image, where: Crop) -> Image:
    return np.asarray(crop(picture, where), np.uint8)


def _unit(maps: Array32) -> Array32:
    """Every pixel of (N, C, h, w) scaled to unit length over the channels."""
    length = np.sqrt((maps * maps).sum(1, keepdims=True))
    return np.asarray(maps / (length + np.float32(_TINY)), np.float32)
