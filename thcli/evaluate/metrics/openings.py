"""Metrics of eyes and mouth: amplitude and closure of their openings, and pixels of the mouth.

Openings are measured on the tracked faces of truth and result. Blinks and closed lips are those of
the truth.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Protocol

import numpy as np

from thcli.core.types import Array, Array32, Face, Image
from thcli.evaluate.metrics import face_geometry
from thcli.evaluate.metrics.image import l1
from thcli.evaluate.metrics.regions import RegionView, crop_square
from thcli.faces.landmarks.topology import LIPS_OUTER

LEAST_AMPLITUDE = 0.06  # change of the true eyes' opening below which a clip has no blink
BLINK_DEPTH = 0.5  # share of the amplitude below the open eye from which a frame is a blink
AMPLITUDE_QUANTILES = (0.01, 0.9)  # of the opening: shut and open eyes
CLOSED_LIPS, LEAST_GAP = 0.02, 0.008  # true opening of closed lips; least mean of their ratio
MOUTH_SCALE, MOUTH_SIDE = 1.5, 96  # side of the mouth's square over its width; its pixels


class Sample(Protocol):
    """The parts of `table.Sample` that are read here."""

    @property
    def truth(self) -> RegionView: ...
    @property
    def face(self) -> Face | None: ...
    @property
    def frame(self) -> Image: ...


class OpeningSeries:
    """An opening of the true and of the resulting face in every frame, and a number from both.

    signal: opening of a mesh (468, 3).
    read: value from the two (T,) series; NaN in frames without the face.
    """

    def __init__(
        self,
        signal: Callable[[Array32], float],
        read: Callable[[Array, Array], float | None],
    ) -> None:
        self._signal, self._read = signal, read
        self._truth, self._result = array("d"), array("d")

    def add(self, sample: Sample) -> None:
        for series, face in ((self._truth, sample.truth.face), (self._result, sample.face)):
            mesh = None if face is None else face.mesh
            series.append(math.nan if mesh is None else self._signal(mesh))

    def value(self) -> float | None:
        return self._read(np.asarray(self._truth), np.asarray(self._result))


def following(
    signal: Callable[[Array32], float],
    read: Callable[[face_geometry.SignalLag], float | None],
) -> OpeningSeries:
    """Return an accumulator of how the result's opening follows the true one.

    A frame without the result's face is a gap; a frame without the true face is left out.
    """
    return OpeningSeries(
        signal, lambda true, made: read(face_geometry.correlate_signals(true, made))
    )


def _where_both(read: Callable[[Array, Array], float | None]) -> Callable[..., float | None]:
    """Return `read` of the frames that have both faces, None for fewer than 3."""

    def value(truth: Array, result: Array) -> float | None:
        both = np.isfinite(truth) & np.isfinite(result)
        return read(truth[both], result[both]) if both.sum() >= 3 else None

    return value


def amplitude_ratio(truth: Array, result: Array) -> float | None:
    """Return the amplitude of a series over that of the truth; None when the truth has none."""
    spans = [float(np.diff(np.quantile(s, AMPLITUDE_QUANTILES))[0]) for s in (truth, result)]
    return spans[1] / spans[0] if spans[0] >= LEAST_AMPLITUDE else None


def blink_error(truth: Array, result: Array) -> float | None:
    """Return the mean of result minus truth in the true blinks; None when there are none."""
    shut, awake = np.quantile(truth, AMPLITUDE_QUANTILES)
    if awake - shut < LEAST_AMPLITUDE:
        return None
    blinks = truth < awake - BLINK_DEPTH * (awake - shut)
    return float((result - truth)[blinks].mean()) if blinks.any() else None


def closed_gap_ratio(truth: Array, result: Array) -> float | None:
    """Return the mean opening of a mouth over the truth's where the true lips are closed."""
    closed = truth < CLOSED_LIPS
    if not closed.any():
        return None
    return float(max(result[closed].mean(), LEAST_GAP) / max(truth[closed].mean(), LEAST_GAP))


def eye_series(read: Callable[[Array, Array], float | None]) -> OpeningSeries:
    """Return an accumulator over the opening of the eyes."""
    return OpeningSeries(face_geometry.eye_opening, _where_both(read))


def lip_series(read: Callable[[Array, Array], float | None]) -> OpeningSeries:
    """Return an accumulator over the opening of the mouth."""
    return OpeningSeries(face_geometry.mouth_opening, _where_both(read))


def mouth_square(face: Face | None) -> tuple[float, float, float] | None:
    """Return centre x, y and side in pixels of the square around the lips; None without a mesh."""
    if face is None or face.mesh is None:
        return None
    lips = face.mesh[LIPS_OUTER, :2].astype(np.float64)
    x, y = (lips.min(0) + lips.max(0)) / 2
    side = MOUTH_SCALE * float(max(np.ptp(lips, 0)))
    return float(x), float(y), max(side, 1.0)


def mouth_crops(sample: Sample) -> tuple[Image, Image] | None:
    """Return the true mouth and the same square of the result, (96, 96, 3) uint8 each."""
    square = mouth_square(sample.truth.face)
    if square is None:
        return None
    truth = crop_square(sample.truth.frame, square, MOUTH_SIDE)
    return truth, crop_square(sample.frame, square, MOUTH_SIDE)


def mouth_l1(sample: Sample) -> float | None:
    """Return the mean absolute difference in the square around the true lips."""
    crops = mouth_crops(sample)
    return None if crops is None else l1(*crops)
