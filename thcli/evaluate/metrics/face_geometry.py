"""Metrics of two faces from their 468-point meshes or 3-D model coefficients, as pure functions.

Meshes are (468, 3): x, y, z in pixels. IOD is the 3-D distance of the outer eye corners, points 33
and 263.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.geometry import matrix_from_rotvec, rotvec_from_matrix
from thcli.core.types import Array, Coefficients
from thcli.faces.landmarks.topology import EYE_OUTER
from thcli.motion import canonical


def interocular(mesh: npt.ArrayLike) -> float:
    """Return the IOD in pixels."""
    p = np.asarray(mesh, np.float64)
    return float(np.linalg.norm(p[EYE_OUTER[0]] - p[EYE_OUTER[1]]))


def keypoint_distance(truth: npt.ArrayLike, result: npt.ArrayLike) -> float:
    """Return the mean 2-D distance of the points in pixels.

    It is the AKD of Siarohin et al. 2019 with 468 points.
    """
    p, q = np.asarray(truth, np.float64), np.asarray(result, np.float64)
    return float(np.linalg.norm(p[:, :2] - q[:, :2], axis=1).mean())


def shape_distance(truth: npt.ArrayLike, result: npt.ArrayLike) -> float:
    """Return the mean 3-D distance in percent of IOD after a similarity fit of the rigid points.

    It is 0 for equal expressions of one face. Between different faces it includes their shapes.
    """
    p, q = np.asarray(truth, np.float64), np.asarray(result, np.float64)
    scale, rotation, shift = canonical.fit_rigid_points(q, p)
    moved = scale * q @ rotation.T + shift
    return float(100 * np.linalg.norm(moved - p, axis=1).mean() / interocular(p))


def expression_distance(truth: Coefficients, result: Coefficients) -> float:
    """Return AED: mean absolute difference of the expression coefficients, in the model's unit."""
    _one_model(truth, result)
    return float(np.abs(np.asarray(truth.expression, np.float64) - result.expression).mean())


def pose_distance(truth: Coefficients, result: Coefficients) -> float:
    """Return APD: mean angle in degrees, 0..180, between two head poses; symmetric."""
    _one_model(truth, result)
    p, q = matrix_from_rotvec(truth.rotation), matrix_from_rotvec(result.rotation)
    return math.degrees(
        float(np.linalg.norm(rotvec_from_matrix(q @ np.swapaxes(p, -1, -2)), axis=-1).mean())
    )


def _one_model(truth: Coefficients, result: Coefficients) -> None:
    if truth.model != result.model:
        raise ValueError(f"numbers of {truth.model} and {result.model} do not compare")


def mouth_opening(mesh: npt.ArrayLike) -> float:
    """Return the mean gap of the inner lips over the width of the mouth, 0 (shut) to about 0.5.

    The pose is removed.
    """
    return float(canonical.mouth_opening(canonical.decompose(mesh).shape))


def eye_opening(mesh: npt.ArrayLike) -> float:
    """Return the mean gap of the lids over the width of the eye, for both eyes, the pose removed.

    It is 0.03 for shut eyes and 0.2 to 0.3 for open ones.
    """
    return float(canonical.eye_openings(canonical.decompose(mesh).shape).mean())


@dataclass(frozen=True, slots=True)
class SignalLag:
    """Correlation and lag of a signal to another; all None when one is constant or too short.

    correlation: Pearson's without a shift, -1..1.
    frames: shift with the best correlation; positive when the result is late.
    best: correlation at that shift.
    """

    correlation: float | None
    frames: int | None
    best: float | None


def correlate_signals(truth: npt.ArrayLike, result: npt.ArrayLike, reach: int = 10) -> SignalLag:
    """Return correlation and lag of two signals of equal length.

    Args:
        truth, result: values per frame; NaN where a frame has none.
        reach: largest shift, frames.

    Raises:
        ValueError: for different lengths.
    """
    a, b = np.asarray(truth, np.float64), np.asarray(result, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"signals of different lengths: {a.size} and {b.size}")
    found: dict[int, float] = {}
    for shift in sorted(range(-reach, reach + 1), key=abs):
        early = a[max(-shift, 0) : a.size - max(shift, 0)] if abs(shift) < a.size else a[:0]
        late = b[max(shift, 0) : b.size - max(-shift, 0)] if abs(shift) < b.size else b[:0]
        value = _pearson(early, late)
        if value is not None:
            found[shift] = value
    if 0 not in found:
        return SignalLag(None, None, None)
    best = max(found, key=lambda shift: found[shift])
    return SignalLag(found[0], best, found[best])


def _pearson(a: Array, b: Array) -> float | None:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return None
    x, y = a[both] - a[both].mean(), b[both] - b[both].mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(np.clip(x @ y / norm, -1, 1)) if norm > 1e-12 else None
