"""The papers' loss terms as plain functions, without their weights.

Points are in [-1, 1] (`engines.shared.networks.grid`), images (B, 3, H, W) in [0, 1]; every
function returns a scalar tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thcli.train.keypoint_models.random_warps import RandomWarp, full_precision


def equivariance(points: Tensor, warped: Tensor, warp: RandomWarp) -> Tensor:
    """Return the keypoint equivariance error, mean |p - T(p')|. FOMM eq. 11.

    Args:
        points: Keypoints of a frame, (B, K, 2).
        warped: Keypoints of the warped frame, (B, K, 2).
        warp: The warp T that made the second frame.
    """
    error: Tensor = (points - warp.map_points(warped)).abs()
    return error.mean()


def equivariance_jacobian(
    jacobian: Tensor, warped: Tensor, points: Tensor, warp: RandomWarp
) -> Tensor:
    """Return the equivariance error of the local affine maps, mean |1 - J^-1 (dT/dz J')|. FOMM eq.
    13.

    Args:
        jacobian: Maps J of a frame, (B, K, 2, 2).
        warped: Maps J' of the warped frame, (B, K, 2, 2).
        points: Keypoints of the warped frame, (B, K, 2).
        warp: The warp T that made the second frame.
    """
    with full_precision(points):
        product = torch.linalg.inv(jacobian) @ (warp.jacobians(points) @ warped)
        error: Tensor = (torch.eye(2, device=jacobian.device) - product).abs()
        return error.mean()


def keypoint_prior(
    points: Tensor, *, min_squared_distance: float = 0.1, depth: float = 0.33
) -> Tensor:
    """Penalise canonical keypoints (B, K, 3) that are close together or away from z = depth.

    face vid2vid sec. A.2, as its unofficial code computes it. Every ordered pair counts, also a
    point with itself: that adds `min_squared_distance` per point and no gradient.
    """
    distance = (points[:, :, None] - points[:, None]).square().sum(-1)  # (B, K, K)
    too_close = (min_squared_distance - distance).clamp(min=0).mean(0).sum()
    return too_close + (points[..., 2].mean(-1) - depth).abs().mean()


def expression_prior(expression: Tensor) -> Tensor:
    """Return the L1 norm of an expression (B, 45) or (B, 15, 3), averaged over the batch.

    This is the deformation prior of face vid2vid.
    """
    return expression.flatten(1).abs().sum(1).mean()


def head_pose(angles: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the head pose error in degrees, summed over yaw, pitch and roll.

    Args:
        angles: Predicted angles, (B, 3) degrees.
        truth: True angles, (B, 3) degrees.
        known: 1 for the items that count, (B,).
    """
    error = (angles - truth).abs().sum(1) * known
    return error.sum() / known.sum().clamp(min=1)


def feature_matching(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """Return sum_i weight_i mean |real_i - fake_i| over a discriminator's feature maps.

    No gradient reaches the real features.
    """
    terms = [
        w * (a - b.detach()).abs().mean() for a, b, w in zip(fake, real, weights, strict=False) if w
    ]
    return torch.stack(terms).sum()


def lsgan_generator(fake: Tensor) -> Tensor:
    """Return mean (1 - D(fake))^2. Mao et al. 2017."""
    return (1 - fake).square().mean()


def lsgan_discriminator(fake: Tensor, real: Tensor) -> Tensor:
    """Return mean (1 - D(real))^2 + mean D(fake)^2."""
    return (1 - real).square().mean() + fake.square().mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """Return -mean D(fake). Lim and Ye 2017."""
    return -fake.mean()


def hinge_discriminator(fake: Tensor, real: Tensor) -> Tensor:
    """Return mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake))."""
    return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
