"""Metrics of a result whose source is another person: there is no true frame.

Pose, expression, eyes and mouth are compared with the driver, identity and the set of faces with
the source.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.protocols import IdentityEncoder
from thcli.core.types import Array, Face, Image
from thcli.evaluate.metrics.face_cache import FaceCache
from thcli.evaluate.metrics.image import warping_error
from thcli.evaluate.metrics.regions import RegionView
from thcli.evaluate.metrics.sets.distribution import FaceFeatures
from thcli.evaluate.metrics.table import FACE, Mean, Metric, Sample

DRIVEN = (
    "aed",
    "apd",
    "missed",
    "mouth_corr",
    "mouth_lag",
    "eye_corr",
    "eye_amp",
    "blink_error",
    "lip_gap",
)  # common metrics that compare with the driver's face alone


def cross_metrics(
    metrics: Sequence[Metric],
    identities: IdentityEncoder | None,
    source: tuple[Image, Face],
    sets: Sequence[tuple[FaceFeatures, Array]],
) -> tuple[Metric, ...]:
    """Return the metrics of results that show one source.

    Args:
        metrics: those of results with a truth.
        identities: identity backend, or None.
        source: source image with its face.
        sets: features, each with those of the source's own clip, (N, D).
    """
    found = [metric for metric in metrics if metric.name in DRIVEN]
    found.append(
        Metric(
            "own_flicker",
            "0..255",
            "lower",
            "warping error of the face along the result's own flow",
            FACE,
            lambda: Mean(_own_flicker),
        )
    )
    if identities is not None:
        found.append(_source_similarity(identities, source))
    for features, truth in sets:
        found += features.metrics(truth)
    return tuple(found)


def _source_similarity(identities: IdentityEncoder, source: tuple[Image, Face]) -> Metric:
    cache = FaceCache(lambda image, face: identities.identify(image, face).vector)
    own = cache.get(*source)

    def cosine(sample: Sample) -> float | None:
        return None if sample.face is None else float(own @ cache.get(sample.frame, sample.face))

    about = "cosine of the identities of result and source"
    return Metric("csim", "", "higher", about, FACE, lambda: Mean(cosine), identities.name)


def _own_flicker(sample: Sample) -> float | None:
    """Return the warping error of the result's face box; None at the start or without a face."""
    if sample.face is None or sample.last is None:
        return None
    view = RegionView.of("face", sample.frame, sample.last, sample.face)
    if view is None or view.previous is None or view.flow is None:
        return None
    return warping_error(view.previous, view.image, view.flow)


def set_of_faces(features: FaceFeatures, frames: Sequence[tuple[Image, Face]]) -> Array:
    """Return the features (N, D) of the faces of a clip."""
    return np.stack([features.get(image, face) for image, face in frames])
