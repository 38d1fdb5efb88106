"""Table of metrics: a new metric is a function and one entry in METRICS.

A metric is an accumulator that takes samples (one region of one frame) and returns its value at the
end. Memory does not grow with the clip, except for 16 bytes per frame of correlated signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

from thcli.core.protocols import FaceModel
from thcli.core.types import Array32, Coefficients, Face, Image
from thcli.evaluate.metrics import face_geometry, openings
from thcli.evaluate.metrics import image as image_metrics
from thcli.evaluate.metrics.fitted_faces import FaceFitCache
from thcli.evaluate.metrics.regions import FACE_SIZE, REGIONS, Region, RegionView
from thcli.motion import model3d


@dataclass(frozen=True)
class Sample:
    """One region of one frame, of truth and result.

    truth: the true region.
    face: the result's face in pixels of the frame, None when none was found.
    frame: the result's frame.
    last: the result's previous frame, None at the start.
    number: of the true frame, from 1.
    """

    truth: RegionView
    face: Face | None
    frame: Image
    last: Image | None = None
    number: int = 0

    @cached_property
    def image(self) -> Image:
        """Return the result in the true region, (h, w, 3)."""
        return self.truth.crop(self.frame)

    @cached_property
    def previous(self) -> Image | None:
        """Return the previous result in the true region."""
        return None if self.last is None else self.truth.crop(self.last)

    @cached_property
    def similarity(self) -> tuple[float, float]:
        """Return SSIM and MS-SSIM, which share most of their computation."""
        return image_metrics.both_ssim(self.truth.image, self.image)


class Accumulator(Protocol):
    """Accumulator of samples; its value is None when nothing could be measured."""

    def add(self, sample: Sample) -> None: ...
    def value(self) -> float | None: ...


class Mean:
    """Mean of a function over the frames for which it returns a number.

    last: value of the last frame.
    """

    def __init__(self, function: Callable[[Sample], float | None]) -> None:
        self._function = function
        self._sum, self._count = 0.0, 0
        self.last: float | None = None

    def add(self, sample: Sample) -> None:
        value = self.last = self._function(sample)
        if value is not None:
            self._sum += value
            self._count += 1

    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


def coefficient_distance(
    fitted: FaceFitCache, distance: Callable[[Coefficients, Coefficients], float]
) -> Mean:
    """Return the mean distance of 3-D model coefficients between result and truth.

    Frames without either face are left out.
    """

    def measured(sample: Sample) -> float | None:
        true = fitted.get(sample.truth.frame, sample.truth.face)
        made = fitted.get(sample.frame, sample.face)
        return None if true is None or made is None else distance(true, made)

    return Mean(measured)


def _meshes(sample: Sample) -> tuple[Array32, Array32] | None:
    true, made = sample.truth.face, sample.face
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
    if both is None or sample.truth.box is None:
        return None
    return face_geometry.keypoint_distance(*both) * FACE_SIZE / sample.truth.box[2]


def _keypoints_of_iod(truth: Array32, result: Array32) -> float:
    return 100 * face_geometry.keypoint_distance(truth, result) / face_geometry.interocular(truth)


def _missed(sample: Sample) -> float:
    return 0.0 if sample.face is not None else 100.0


def _flicker(sample: Sample) -> float | None:
    flow = sample.truth.flow
    if flow is None or sample.previous is None:
        return None
    return image_metrics.warping_error(sample.previous, sample.image, flow)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    better: direction of better values ("zero": near 0).
    about: description.
    regions: where it is measured.
    make: returns a new accumulator.
    model: network or backend whose numbers are compared, where there is a choice.
    """

    name: str
    unit: str
    better: Literal["lower", "higher", "zero"]
    about: str
    regions: tuple[Region, ...]
    make: Callable[[], Accumulator]
    model: str = ""


FACE: tuple[Region, ...] = ("face",)

_MODEL_FREE_METRICS: tuple[Metric, ...] = (
    Metric(
        "l1",
        "0..255",
        "lower",
        "mean absolute difference",
        REGIONS,
        lambda: Mean(lambda s: image_metrics.l1(s.truth.image, s.image)),
    ),
    Metric(
        "psnr",
        "dB",
        "higher",
        "signal-to-noise ratio, mean over frames",
        REGIONS,
        lambda: Mean(
            lambda s: image_metrics.psnr(image_metrics.mean_squared_error(s.truth.image, s.image))
        ),
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
        "sharpness",
        "octaves",
        "zero",
        "energy of the Laplacian over the truth's, log2",
        FACE,
        lambda: Mean(lambda s: image_metrics.relative_sharpness(s.truth.image, s.image)),
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
        lambda: openings.following(face_geometry.mouth_opening, lambda lag: lag.correlation),
    ),
    Metric(
        "mouth_lag",
        "frames",
        "zero",
        "shift of the mouth at its best correlation, positive: late",
        FACE,
        lambda: openings.following(face_geometry.mouth_opening, lambda lag: lag.frames),
    ),
    Metric(
        "eye_corr",
        "",
        "higher",
        "correlation of the eyes' opening",
        FACE,
        lambda: openings.following(face_geometry.eye_opening, lambda lag: lag.correlation),
    ),
    Metric(
        "eye_amp",
        "",
        "higher",
        "amplitude of the eyes' opening over the truth's (1 is right)",
        FACE,
        lambda: openings.eye_series(openings.amplitude_ratio),
    ),
    Metric(
        "blink_error",
        "",
        "zero",
        "eyes' opening in the true blinks, result minus truth",
        FACE,
        lambda: openings.eye_series(openings.blink_error),
    ),
    Metric(
        "lip_gap",
        "",
        "lower",
        "lip opening over the truth's where the true lips are closed",
        FACE,
        lambda: openings.lip_series(openings.closed_gap_ratio),
    ),
    Metric(
        "mouth_l1",
        "0..255",
        "lower",
        "mean absolute difference in the square around the lips",
        FACE,
        lambda: Mean(openings.mouth_l1),
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


def metrics_for_model(name: str, model: FaceModel) -> tuple[Metric, ...]:
    """Return all metrics, with expression and pose (AED, APD) of the named 3-D model."""
    fitted = FaceFitCache(model)
    return (
        *_MODEL_FREE_METRICS,
        Metric(
            "aed",
            "",
            "lower",
            "mean difference of the expression's numbers",
            FACE,
            lambda: coefficient_distance(fitted, face_geometry.expression_distance),
            name,
        ),
        Metric(
            "apd",
            "degrees",
            "lower",
            "angle between the poses",
            FACE,
            lambda: coefficient_distance(fitted, face_geometry.pose_distance),
            name,
        ),
    )


METRICS: tuple[Metric, ...] = metrics_for_model(model3d.NAME, model3d.MeshModel())
