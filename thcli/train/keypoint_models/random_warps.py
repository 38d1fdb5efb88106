"""Random warps of the plane under which keypoints must move along: an affine map plus a thin-plate spline.

Points are (x, y) in [-1, 1] as in `engines.shared.networks.grid`. Source: first-order-model modules/model.py (Transform), at c027484.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.engines.shared.networks import grid

EPSILON = 1e-6


def exactly(like: Tensor) -> torch.autocast:
    """Points and matrices are computed in float32 in mixed precision too: half a pixel matters."""
    return torch.autocast(like.device.type, enabled=False)


@dataclass(frozen=True)
class Warp:
    """T(z) = A z + b + sum_k c_k r_k^2 log(r_k + 1e-6), r_k the L1 distance to control point k; the sum goes to both coordinates.

    affine: (B, 2, 3).  weights: (B, K) c.  controls: (K, 2).
    """

    affine: Tensor
    weights: Tensor
    controls: Tensor

    @classmethod
    def random(
        cls,
        batch: int,
        generator: torch.Generator,
        device: torch.device,
        *,
        affine: float = 0.05,
        spline: float = 0.005,
        points: int = 5,
    ) -> Warp:
        """Identity + N(0, affine), weights N(0, spline) on points x points controls, drawn on the CPU: the same on every device."""
        matrix = torch.eye(2, 3) + affine * torch.randn(batch, 2, 3, generator=generator)
        weights = spline * torch.randn(batch, points * points, generator=generator)
        controls = grid.identity((points, points), device, torch.float32).flatten(0, 1)
        return cls(matrix.to(device), weights.to(device), controls)

    def points(self, at: Tensor) -> Tensor:
        """(B, N, 2) -> T of them."""
        with exactly(at):
            linear = at @ self.affine[:, :, :2].transpose(1, 2) + self.affine[:, None, :, 2]
            away = (at[:, :, None] - self.controls).abs().sum(-1)  # (B, N, K)
            bend = (away.square() * torch.log(away + EPSILON) * self.weights[:, None]).sum(
                -1, keepdim=True
            )
            return linear + bend

    def jacobians(self, at: Tensor) -> Tensor:
        """(B, N, 2) -> dT/dz there, (B, N, 2, 2) row-major; in closed form, so that its gradient costs no second backward pass."""
        apart = at[:, :, None] - self.controls
        away = apart.abs().sum(-1)
        slope = 2 * away * torch.log(away + EPSILON) + away.square() / (away + EPSILON)
        bend = (slope[..., None] * apart.sign() * self.weights[:, None, :, None]).sum(
            2
        )  # (B, N, 2)
        return self.affine[:, None, :, :2] + bend[:, :, None]

    def picture(self, frame: Tensor, *, aligned: bool) -> Tensor:
        """The frame (B, C, H, W) read at T of every pixel: what lies at p of the result lay at T(p). Mirrored at its borders."""
        height, width = frame.shape[2:]
        flat = grid.identity((height, width), frame.device, torch.float32).flatten(0, 1)
        where = self.points(flat.expand(len(frame), -1, -1)).view(len(frame), height, width, 2)
        return F.grid_sample(
            frame, where, mode="bilinear", padding_mode="reflection", align_corners=aligned
        )
