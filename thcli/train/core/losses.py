"""The papers' loss terms as plain functions, unweighted: small, named after what they ask for.

Points are in [-1, 1] (`engines.shared.networks.grid`), pictures (B, 3, H, W) in [0, 1]; every function returns a scalar tensor.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from thcli.train.keypoint_models.random_warps import Warp, exactly


def equivariance(points: Tensor, warped: Tensor, warp: Warp) -> Tensor:
    """mean |p - T(p')|: keypoints (B, K, 2) of a frame, and p' of `warp.picture` of it. FOMM eq. 11."""
    off: Tensor = (points - warp.points(warped)).abs()
    return off.mean()


def equivariance_jacobian(jacobian: Tensor, warped: Tensor, at: Tensor, warp: Warp) -> Tensor:
    """mean |1 - J^-1 (dT/dz J')|: local maps (B, K, 2, 2) of a frame, J' of the warped one at its keypoints `at` (B, K, 2). FOMM eq. 13."""
    with exactly(at):
        carried = torch.linalg.inv(jacobian) @ (warp.jacobians(at) @ warped)
        off: Tensor = (torch.eye(2, device=jacobian.device) - carried).abs()
        return off.mean()


def keypoint_prior(points: Tensor, *, apart: float = 0.1, depth: float = 0.33) -> Tensor:
    """Canonical keypoints (B, K, 3) lie apart, and around z = depth. face vid2vid sec. A.2, as its unofficial code computes it.

    Every ordered pair counts, a point with itself too: that adds `apart` each and no gradient.
    """
    distance = (points[:, :, None] - points[:, None]).square().sum(-1)  # (B, K, K)
    return (apart - distance).clamp(min=0).mean(0).sum() + (
        points[..., 2].mean(-1) - depth
    ).abs().mean()


def expression_size(expression: Tensor) -> Tensor:
    """|expression|, summed over a face's numbers: (B, 45) or (B, 15, 3). The deformation prior of face vid2vid."""
    return expression.flatten(1).abs().sum(1).mean()


def head_pose(angles: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Sum over yaw, pitch, roll of the mean |difference| in degrees, of the items (B,) that are known; (B, 3) each."""
    off = (angles - truth).abs().sum(1) * known
    return off.sum() / known.sum().clamp(min=1)


def feature_matching(
    made: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]
) -> Tensor:
    """sum_i weight_i mean |real_i - made_i| over a discriminator's features; no gradient reaches the real ones."""
    terms = [
        w * (a - b.detach()).abs().mean() for a, b, w in zip(made, real, weights, strict=False) if w
    ]
    return torch.stack(terms).sum()


def lsgan_generator(made: Tensor) -> Tensor:
    """mean (1 - D(made))^2. Mao et al. 2017."""
    return (1 - made).square().mean()


def lsgan_discriminator(made: Tensor, real: Tensor) -> Tensor:
    """mean (1 - D(real))^2 + D(made)^2."""
    return (1 - real).square().mean() + made.square().mean()


def hinge_generator(made: Tensor) -> Tensor:
    """-mean D(made). Lim and Ye 2017."""
    return -made.mean()


def hinge_discriminator(made: Tensor, real: Tensor) -> Tensor:
    """mean max(0, 1 - D(real)) + max(0, 1 + D(made))."""
    return (1 - real).clamp(min=0).mean() + (1 + made).clamp(min=0).mean()
