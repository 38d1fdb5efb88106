"""Landmark loss of a face model: value, gradient and Gauss-Newton matrix for many frames.

Real3D-Portrait's loss (Ye et al. 2024; data_gen/utils/process_video/fit_3dmm_landmark.py): the
weighted mean of squared landmark distances in pixels of a 224 x 224 image, and penalties on the
mean squares of the coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.faces.landmarks import topology
from thcli.faces.model3d.bfm.camera import CENTRE, DISTANCE, FOCAL, SIDE, rotation_from_euler
from thcli.faces.model3d.bfm.model import UNMATCHED_POINTS, FaceModel3D, Indices

POSE = 6  # three angles, three translations


@dataclass(frozen=True, slots=True)
class Penalties:
    """Weights of the terms of the loss.

    identity, expression: of the mean square of the coefficients.
    smooth_expression, smooth_pose: of the mean square of x[t] - (x[t-1] + x[t+1]) / 2 of
        expressions, and of angles in radians and translations in decimetres.
    eyes, upper_lids, lips: weights of these landmarks; others have 1.
    """

    identity: float
    expression: float
    smooth_expression: float
    smooth_pose: float
    eyes: float
    upper_lids: float
    lips: float


IMAGE = Penalties(0.3, 0.05, 0.0, 0.0, 5.0, 5.0, 2.0)
VIDEO = Penalties(0.2, 0.6, 1.0, 0.3, 3.0, 20.0, 5.0)
"""Of one image and of a clip, as in the published program."""


@dataclass(frozen=True, slots=True)
class LandmarkBasis:
    """Part of a face model at K landmarks.

    Attributes:
        mean: (K, 3) float64.
        identity: (K, 3, 80) float32.
        expression: (K, 3, 64) float32.
        weights: (K,) float32 weight of each landmark.
    """

    mean: Array
    identity: Array32
    expression: Array32
    weights: Array32

    def with_identity(self, identity: npt.ArrayLike) -> Array:
        """Return the landmarks (K, 3) of a face without expression."""
        return np.asarray(self.mean + self.identity @ np.asarray(identity, np.float64))


def landmark_basis(model: FaceModel3D, count: int, penalties: Penalties) -> LandmarkBasis:
    """Return the basis at the 468 mesh points or at the 68 iBUG landmarks.

    Args:
        model: the face model.
        count: 468 or 68.
        penalties: weights of the landmarks.
    """
    weights = np.ones(count, np.float32)
    if count == topology.POINTS:
        chosen = model.mp468
        weights[np.concatenate(topology.EYES)] = penalties.eyes
        weights[np.concatenate([lids.upper[1:-1] for lids in topology.LIDS])] = penalties.upper_lids
        weights[np.concatenate([topology.LIPS_INNER, topology.LIPS_OUTER])] = penalties.lips
        weights[list(UNMATCHED_POINTS)] = 0
    else:
        chosen = model.keypoints68
        weights[28:31] = weights[36:48] = weights[-8:] = 3  # as in the published program
    return LandmarkBasis(
        model.mean[chosen].astype(np.float64),
        model.id_base[chosen],
        model.exp_base[chosen],
        weights,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """Parameters of T frames: expression (T, 64), euler (T, 3) radians, trans (T, 3) decimetres."""

    expression: Array
    euler: Array
    trans: Array

    def __len__(self) -> int:
        return len(self.euler)

    def __getitem__(self, window: slice | Indices) -> Pose:
        return Pose(self.expression[window], self.euler[window], self.trans[window])

    def moved(self, step: Array) -> Pose:
        """Return the parameters plus a step (T, E + 6): expression, angles, translation."""
        count = self.expression.shape[1]
        return Pose(
            self.expression + step[:, :count],
            self.euler + step[:, count : count + 3],
            self.trans + step[:, count + 3 :],
        )

    def rows(self) -> Array:
        """Return the parameters side by side, (T, E + 6)."""
        return np.concatenate([self.expression, self.euler, self.trans], 1)


@dataclass(frozen=True, slots=True)
class Linearisation:
    """Loss of the landmarks of T frames, to second order in P parameters.

    Attributes:
        loss: (T,) value.
        gradient: (T, P) half its gradient.
        matrix: (T, P, P) half its Gauss-Newton matrix.
    """

    loss: Array
    gradient: Array
    matrix: Array


def residuals(neutral: Array, basis: LandmarkBasis, pose: Pose, seen: Array) -> Array:
    """Return weighted landmark differences (T, K, 2), whose squares add up to the loss.

    Args:
        neutral: (K, 3) landmarks without expression.
        basis: model at the landmarks.
        pose: parameters of the frames.
        seen: (T, K, 2) landmarks in 0..1 of a square image.
    """
    posed = _posed(neutral, basis, pose)
    plane = FOCAL * posed[..., :2] / (DISTANCE - posed[..., 2:]) + CENTRE
    return np.asarray((plane - _upright(seen)) * _row_weights(basis)[:, None])


def linearise(
    neutral: Array, basis: LandmarkBasis, pose: Pose, seen: Array, *, identity: bool = False
) -> Linearisation:
    """Linearise the landmark loss about a pose.

    Args:
        neutral: (K, 3) landmarks without expression.
        basis: model at the landmarks.
        pose: parameters of T frames.
        seen: (T, K, 2) landmarks in 0..1 of a square image.
        identity: add the coefficients of identity after those of expression and pose.
    """
    posed = _posed(neutral, basis, pose)
    depth = DISTANCE - posed[..., 2:]
    plane = FOCAL * posed[..., :2] / depth
    # derivative of the projection by the posed point, (T, K, 2, 3)
    by_point = np.zeros((*plane.shape, 3))
    by_point[..., 0, 0] = by_point[..., 1, 1] = FOCAL / depth[..., 0]
    by_point[..., 2] = plane / depth
    by_point *= _row_weights(basis)[:, None, None]
    error = (plane + CENTRE - _upright(seen)) * _row_weights(basis)[:, None]
    rotation = rotation_from_euler(pose.euler)
    by_shape = (by_point @ np.swapaxes(rotation, 1, 2)[:, None]).astype(np.float32)
    shape = neutral + np.tensordot(pose.expression, basis.expression, (1, 2))
    turned = shape[:, None] @ _rotation_derivatives(pose.euler)  # (T, 3 angles, K, 3)
    columns = [_by_coefficients(by_shape, basis.expression)]
    columns.append((by_point @ turned.transpose(0, 2, 3, 1)).astype(np.float32))
    columns.append(by_point.astype(np.float32))
    if identity:
        columns.append(_by_coefficients(by_shape, basis.identity))
    jacobian = np.concatenate(columns, -1).reshape(len(pose), -1, sum(c.shape[-1] for c in columns))
    flat = error.reshape(len(pose), -1, 1).astype(np.float32)
    transposed = np.swapaxes(jacobian, 1, 2)
    return Linearisation(
        (error**2).sum((1, 2)),
        (transposed @ flat)[..., 0].astype(np.float64),
        (transposed @ jacobian).astype(np.float64),
    )


def pose_from_landmarks(neutral: Array, basis: LandmarkBasis, seen: Array) -> tuple[Array, Array]:
    """Estimate poses from landmarks by an affine camera, as a start.

    Returns:
        euler (T, 3) and trans (T, 3).
    """
    weights = np.sqrt(basis.weights.astype(np.float64))[:, None]
    homogeneous = np.concatenate([neutral, np.ones((len(neutral), 1))], 1) * weights
    inverse = np.linalg.pinv(homogeneous)
    affine = inverse @ ((_upright(seen) - CENTRE) * weights)  # (T, 4, 2): linear part, shift
    u, lengths, vt = np.linalg.svd(np.swapaxes(affine[:, :3], 1, 2), full_matrices=False)
    two = u @ vt  # nearest pair of orthonormal rows
    scale = lengths.mean(1)
    rotation = np.concatenate([two, np.cross(two[:, 0], two[:, 1])[:, None]], 1)  # Rz Ry Rx
    pitch = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    yaw = np.arcsin(np.clip(-rotation[:, 2, 0], -1, 1))
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    depth = FOCAL / scale
    trans = np.concatenate([affine[:, 3] * (depth / FOCAL)[:, None], DISTANCE - depth[:, None]], 1)
    return np.stack([pitch, yaw, roll], 1), trans


def _posed(neutral: Array, basis: LandmarkBasis, pose: Pose) -> Array:
    shape = neutral + np.tensordot(pose.expression, basis.expression, (1, 2))
    return np.asarray(shape @ rotation_from_euler(pose.euler) + pose.trans[:, None])


def _upright(seen: Array) -> Array:
    """Return landmarks in pixels of a 224 x 224 image, y up."""
    return np.asarray(np.stack([seen[..., 0], 1 - seen[..., 1]], -1) * SIDE)


def _row_weights(basis: LandmarkBasis) -> Array:
    """Return the factor (K,) of each landmark's differences: the loss is a mean."""
    weights = basis.weights.astype(np.float64)
    return np.asarray(np.sqrt(weights / (2 * len(weights))))


def _by_coefficients(by_shape: Array32, base: Array32) -> Array32:
    """Multiply derivatives by the shape (T, K, 2, 3) with a basis (K, 3, C): (T, K, 2, C)."""
    out = by_shape[..., 0, None] * base[:, None, 0]
    out += by_shape[..., 1, None] * base[:, None, 1]
    out += by_shape[..., 2, None] * base[:, None, 2]
    return np.asarray(out, np.float32)


def _rotation_derivatives(euler: Array) -> Array:
    """Return the derivatives (T, 3 angles, 3, 3) of `rotation_from_euler` by each angle."""
    zero = np.zeros_like(euler)
    out = []
    # Rz Ry Rx: a derivative of one factor is that factor turned by 90 degrees, without its axis
    for axis in range(3):
        quarter = zero.copy()
        quarter[:, axis] = np.pi / 2
        factors = [rotation_from_euler(zero + np.eye(3)[i] * euler) for i in range(3)]
        turned = rotation_from_euler(quarter + np.eye(3)[axis] * euler)
        along = np.zeros((3, 3))
        along[axis, axis] = 1
        factors[axis] = turned - along
        out.append(factors[0] @ factors[1] @ factors[2])  # transposed: Rx^T Ry^T Rz^T
    return np.stack(out, 1)
