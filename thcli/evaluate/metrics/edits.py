"""Metrics of an edit: attribute, identity over time, background, share that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from thcli.core.protocols import IdentityEncoder, Parser
from thcli.core.types import Array32, Face, Image
from thcli.editors.catalogue import attribute_of
from thcli.evaluate.metrics.attribute_scores import AttributeClassifier
from thcli.evaluate.metrics.csim import IdentityCache, csim_metric
from thcli.evaluate.metrics.face_cache import FaceCache
from thcli.evaluate.metrics.image import mean_squared_error
from thcli.evaluate.metrics.regions import Region
from thcli.evaluate.metrics.table import METRICS, Accumulator, Mean, Metric, Sample
from thcli.faces.crops import align
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import BACKGROUND, HEAD_SCALE, full_frame_crop, parse_faces

MARGIN = 0.08  # between head and background, in face heights
_BACKGROUND = (class_number("background"), class_number("cloth"))
_COMMON = ("ssim", "ms_ssim", "l1", "psnr", "flicker")  # common metrics that apply to edits
FRAME: tuple[Region, ...] = ("frame",)
FACE: tuple[Region, ...] = ("face",)


class IdentityConsistency:
    """Identity similarity between the result's frames, relative to the clip's own.

    Pairs are neighbouring frames, or all pairs (Tzaban et al. 2022, sec. 5).
    """

    def __init__(self, identities: IdentityCache, far: bool) -> None:
        self._identities, self._far = identities, far
        self._last: tuple[Array32, Array32] | None = None
        self._near, self._sums, self._count = np.zeros(2), [np.zeros(0), np.zeros(0)], 0

    def add(self, sample: Sample) -> None:
        true, made = sample.truth.face, sample.face
        if true is None or made is None:
            return
        own = self._identities.get(sample.truth.frame, true)
        now = self._identities.get(sample.frame, made), own
        if self._last is not None:
            self._near += [float(a @ b) for a, b in zip(self._last, now, strict=True)]
        self._last = now
        self._sums = [
            v.astype(np.float64) if not len(total) else total + v
            for total, v in zip(self._sums, now, strict=True)
        ]
        self._count += 1

    def value(self) -> float | None:
        if self._count < 2:
            return None
        both = (
            [float(total @ total) - self._count for total in self._sums]
            if self._far
            else self._near.tolist()
        )
        return both[0] / both[1] if both[1] > 0 else None


def edit_metrics(
    attributes: Sequence[str],
    identities: IdentityEncoder | None,
    classifier: AttributeClassifier | None,
    parser: Parser,
) -> tuple[Metric, ...]:
    """Return all metrics of an edit.

    Args:
        attributes: requested attributes.
        identities: identity backend, or None.
        classifier: attribute classifier, or None.
        parser: for the background.
    """
    background = FaceCache(lambda image, face: background_of(parser, image, face))
    own_regions = FaceCache(lambda image, face: _labels(parser, image, face))
    found = [
        Metric(
            "background_mse",
            "levels²",
            "lower",
            "mean squared difference away from the head",
            FRAME,
            lambda: Mean(lambda s: _outside(background, s)),
        ),
        Metric(
            "changed",
            "%",
            "lower",
            "share of the frame's pixels",
            FRAME,
            lambda: Mean(lambda s: 100 * float((s.truth.frame != s.frame).any(2).mean())),
        ),
        Metric(
            "relabelled",
            "%",
            "lower",
            "share of the head that the parser takes for another region",
            FACE,
            lambda: Mean(lambda s: _relabelled(parser, own_regions, s)),
        ),
        *(metric for metric in METRICS if metric.name in _COMMON),
    ]
    if classifier is not None:
        scores = FaceCache(lambda image, face: classifier.score_faces([image], [face])[0])
        found += [metric for name in attributes for metric in _gains(name, scores, classifier)]
    if identities is not None:
        found += [csim_metric(identities), *_consistency_metrics(identities)]
    return tuple(found)


def _consistency_metrics(identities: IdentityEncoder) -> list[Metric]:
    cache = IdentityCache(identities)

    def metric(name: str, pairs: str, far: bool) -> Metric:
        about = f"identity similarity of {pairs}, relative to the clip's own"

        def make() -> Accumulator:
            return IdentityConsistency(cache, far)

        return Metric(name, "", "higher", about, FACE, make, identities.name)

    return [
        metric("tl_id", "neighbouring frames", far=False),
        metric("tg_id", "all pairs of frames", far=True),
    ]


def background_of(parser: Parser, image: Image, face: Face) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return (H, W) True on the background away from the head."""
    placement = align.square(face.box, parser.crop_size, HEAD_SCALE)
    (found,) = parse_faces(parser, [image], [face], [placement])
    labels = found.labels_in(full_frame_crop((image.shape[1], image.shape[0])))
    head = np.isin(labels, _BACKGROUND, invert=True).astype(np.uint8)
    reach = max(round(MARGIN * float(face.box[3] - face.box[1])), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(head, disc) == 0)


def _outside(
    background: FaceCache[np.ndarray[Any, np.dtype[np.bool_]]], sample: Sample
) -> float | None:
    if sample.truth.face is None:
        return None
    outside = background.get(sample.truth.frame, sample.truth.face)
    if not outside.any():
        return None
    return mean_squared_error(sample.truth.frame[outside][None], sample.frame[outside][None])


def _labels(parser: Parser, image: Image, face: Face) -> Image:
    """Return the region of each pixel around a head, (S, S) uint8."""
    placement = align.square(face.box, parser.crop_size, HEAD_SCALE)
    (found,) = parse_faces(parser, [image], [face], [placement])
    return found.labels_in(placement)


def _relabelled(parser: Parser, own_regions: FaceCache[Image], sample: Sample) -> float | None:
    """Return the percentage of the head whose parsed region differs from the clip's."""
    face = sample.truth.face
    if face is None:
        return None
    if sample.frame is sample.truth.frame:
        return 0.0
    before = own_regions.get(sample.truth.frame, face)
    after = _labels(parser, sample.frame, face)
    head = (before != BACKGROUND) | (after != BACKGROUND)
    return 100 * float((before != after).sum()) / max(int(head.sum()), 1)


def _gains(name: str, scores: FaceCache[Array32], classifier: AttributeClassifier) -> list[Metric]:
    """Return the metrics of an attribute's probability in the clip and in the result.

    The classifier had no part in the edit.
    """
    attribute = attribute_of(name)
    column = classifier.names.index(attribute.celeba)

    def probability(image: Image, face: Face | None) -> float | None:
        if face is None:
            return None
        found = float(scores.get(image, face)[column])
        return 1 - found if attribute.sign < 0 else found

    return [
        Metric(
            f"{name} before",
            "",
            "higher",
            "probability in the clip",
            FACE,
            lambda: Mean(lambda s: probability(s.truth.frame, s.truth.face)),
            "attributes-judge",
        ),
        Metric(
            f"{name} after",
            "",
            "higher",
            "probability in the result",
            FACE,
            lambda: Mean(lambda s: probability(s.frame, s.face)),
            "attributes-judge",
        ),
    ]
