"""The table of metrics: a new metric is one entry in METRICS and a function.

A metric is an accumulator, fed with samples (one region of one frame, truth and result) and asked for its value at the end,
so that memory does not grow with the clip (the signals of the correlation rows keep 16 bytes a frame).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from thcli.core.protocols import FaceModel
from thcli.core.types import Array32, Coefficients, Face, Image
from thcli.evaluate.metrics import face_geometry, image
from thcli.evaluate.metrics.fitted_faces import Fitted
from thcli.evaluate.metrics.regions import FACE_SIZE, REGIONS, Place, Region
from thcli.motion import model3d


@dataclass(frozen=True)
class Sample:
    """One region of one frame. place: the truth.  now, before: (h, w, 3) the result there in this frame and the one before (None at
    the start).  face: the result's face in pixels of the frame, None when none was found.  whole: the result's frame."""

    place: Place
    now: Image
    before: Image | None
    face: Face | None
    whole: Image

    @cached_property
    def similarity(self) -> tuple[float, float]:
        """SSIM and MS-SSIM, which share most of their work."""
        return image.both_ssim(self.place.now, self.now)


class Accumulator(Protocol):
    """Sums up samples; value is None when nothing could be measured."""

    def add(self, sample: Sample) -> None: ...
    def value(self) -> float | None: ...


class Mean:
    """The mean of a function over the frames for which it gives a number."""

    def __init__(self, function: Callable[[Sample], float | None]) -> None:
        self._function = function
        self._sum, self._count = 0.0, 0

    def add(self, sample: Sample) -> None:
        value = self._function(sample)
        if value is not None:
            self._sum += value
            self._count += 1

    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


class Apart:
    """How far a 3-D model's numbers of the result's face are from those of the true face, mean over the frames that have both."""

    def __init__(
        self, fitted: Fitted, distance: Callable[[Coefficients, Coefficients], float]
    ) -> None:
        self._fitted, self._distance = fitted, distance
        self._mean = Mean(self._measured)

    def add(self, sample: Sample) -> None:
        self._mean.add(sample)

    def value(self) -> float | None:
        return self._mean.value()

    def _measured(self, sample: Sample) -> float | None:
        true = self._fitted.of(sample.place.whole, sample.place.face)
        made = self._fitted.of(sample.whole, sample.face)
        return None if true is None or made is None else self._distance(true, made)


class Following:
    """How a signal of the result's face follows the same signal of the true face. A frame whose result has no face is a gap; one whose truth has none is left out."""

    def __init__(
        self, signal: Callable[[Array32], float], read: Callable[[face_geometry.Lag], float | None]
    ) -> None:
        self._signal, self._read = signal, read
        self._truth, self._result = array("d"), array("d")

    def add(self, sample: Sample) -> None:
        for series, face in ((self._truth, sample.place.face), (self._result, sample.face)):
            series.append(
                math.nan if face is None or face.mesh is None else self._signal(face.mesh)
            )

    def value(self) -> float | None:
        return self._read(face_geometry.follow(self._truth, self._result))


def _meshes(sample: Sample) -> tuple[Array32, Array32] | None:
    true, made = sample.place.face, sample.face
    if true is None or made is None or true.mesh is None or made.mesh is None:
        return None
    return true.mesh, made.mesh


def _on_meshes(function: Callable[[Array32, Array32], float]) -> Callable[[Sample], float | None]:
    def measured(sample: Sample) -> float | None:
        both = _meshes(sample)
        return None if both is None else function(*both)

    return measured


def _keypoints_at_256(sample: Sample) -> float | None:
    both = _meshes(sample)
    if both is None or sample.place.box is None:
        return None
    return face_geometry.keypoint_distance(*both) * FACE_SIZE / sample.place.box[2]


def _keypoints_of_iod(truth: Array32, result: Array32) -> float:
    return 100 * face_geometry.keypoint_distance(truth, result) / face_geometry.interocular(truth)


def _missed(sample: Sample) -> float:
    return 0.0 if sample.face is not None else 100.0


def _flicker(sample: Sample) -> float | None:
    flow = sample.place.flow
    return (
        None
        if flow is None or sample.before is None
        else image.warping_error(sample.before, sample.now, flow)
    )


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. better: which way is good ("zero": near 0).  regions: where it is measured.  make: a fresh accumulator.  model: whose numbers
    are compared, where that is a choice."""

    name: str
    unit: str
    better: Literal["lower", "higher", "zero"]
    about: str
    regions: tuple[Region, ...]
    make: Callable[[], Accumulator]
    model: str = ""


FACE: tuple[Region, ...] = ("face",)

_OF_NO_MODEL: tuple[Metric, ...] = (
    Metric(
        "l1",
        "0..255",
        "lower",
        "mean absolute difference",
        REGIONS,
        lambda: Mean(lambda s: image.l1(s.place.now, s.now)),
    ),
    Metric(
        "psnr",
        "dB",
        "higher",
        "signal-to-noise ratio, mean over frames",
        REGIONS,
        lambda: Mean(lambda s: image.psnr(image.mean_squared_error(s.place.now, s.now))),
    ),
    Metric(
        "ssim",
        "",
        "higher",
        "structural similarity, Gauss 11/1.5, RGB",
        REGIONS,
        lambda: Mean(lambda s: s.similarity[0]),
    ),
    Metric(
        "ms_ssim",
        "",
        "higher",
        "multi-scale structural similarity",
        REGIONS,
        lambda: Mean(lambda s: s.similarity[1]),
    ),
    Metric(
        "akd",
        "px@256",
        "lower",
        "distance of the mesh points, face box at 256 pixels",
        FACE,
        lambda: Mean(_keypoints_at_256),
    ),
    Metric(
        "akd_iod",
        "% IOD",
        "lower",
        "distance of the mesh points",
        FACE,
        lambda: Mean(_on_meshes(_keypoints_of_iod)),
    ),
    Metric(
        "missed",
        "%",
        "lower",
        "frames with a true face in whose result none was found",
        FACE,
        lambda: Mean(_missed),
    ),
    Metric(
        "aed_iod",
        "% IOD",
        "lower",
        "distance of the mesh points, heads laid over each other",
        FACE,
        lambda: Mean(_on_meshes(face_geometry.shape_distance)),
    ),
    Metric(
        "mouth_corr",
        "",
        "higher",
        "correlation of the mouth's opening",
        FACE,
        lambda: Following(face_geometry.mouth_opening, lambda lag: lag.correlation),
    ),
    Metric(
        "mouth_lag",
        "frames",
        "zero",
        "shift of the mouth at its best correlation, positive: late",
        FACE,
        lambda: Following(face_geometry.mouth_opening, lambda lag: lag.frames),
    ),
    Metric(
        "eye_corr",
        "",
        "higher",
        "correlation of the eyes' opening",
        FACE,
        lambda: Following(face_geometry.eye_opening, lambda lag: lag.correlation),
    ),
    Metric(
        "flicker",
        "0..255",
        "lower",
        "warping error along the true flow; the truth's own is the floor",
        REGIONS,
        lambda: Mean(_flicker),
    ),
)


def metrics_of(name: str, model: FaceModel) -> tuple[Metric, ...]:
    """Every metric, expression and pose (AED, APD) in the numbers of the 3-D model of that name."""
    fitted = Fitted(model)
    return (
        *_OF_NO_MODEL,
        Metric(
            "aed",
            "",
            "lower",
            "mean difference of the expression's numbers",
            FACE,
            lambda: Apart(fitted, face_geometry.expression_distance),
            name,
        ),
        Metric(
            "apd",
            "degrees",
            "lower",
            "angle between the poses",
            FACE,
            lambda: Apart(fitted, face_geometry.pose_distance),
            name,
        ),
    )


METRICS: tuple[Metric, ...] = metrics_of(model3d.NAME, model3d.MeshModel())
