"""Random warps of the image plane for the equivariance losses: affine map plus thin-plate spline.

Points are (x, y) in [-1, 1] as in `engines.shared.networks.grid`.
Source: first-order-model modules/model.py (Transform), at c027484.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from thcli.engines.shared.networks import grid

EPSILON = 1e-6


def full_precision(like: Tensor) -> torch.autocast:
    """Return a context that disables autocast: points and matrices need float32."""
    return torch.autocast(like.device.type, enabled=False)


@dataclass(frozen=True)
class RandomWarp:
    """T(z) = A z + b + sum_k c_k r_k^2 log(r_k + 1e-6), r_k the L1 distance to control point k.

    The sum is added to both coordinates.
    affine: (B, 2, 3). weights: (B, K) c. controls: (K, 2).
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
    ) -> RandomWarp:
        """Draw a random warp on points x points controls.

        The affine part is the identity + N(0, affine), the spline weights are N(0, spline). The
        numbers are drawn on the CPU, so they are the same on every device.
        """
        matrix = torch.eye(2, 3) + affine * torch.randn(batch, 2, 3, generator=generator)
        weights = spline * torch.randn(batch, points * points, generator=generator)
        controls = grid.identity((points, points), device, torch.float32).flatten(0, 1)
        return cls(matrix.to(device), weights.to(device), controls)

    def map_points(self, at: Tensor) -> Tensor:
        """Map points (B, N, 2) by T."""
        with full_precision(at):
            linear = at @ self.affine[:, :, :2].transpose(1, 2) + self.affine[:, None, :, 2]
            distance = (at[:, :, None] - self.controls).abs().sum(-1)  # (B, N, K)
            kernel = distance.square() * torch.log(distance + EPSILON)
            return linear + (kernel * self.weights[:, None]).sum(-1, keepdim=True)

    def jacobians(self, at: Tensor) -> Tensor:
        """Return dT/dz at points (B, N, 2) as (B, N, 2, 2), row-major.

        The closed form saves a second backward pass.
        """
        offset = at[:, :, None] - self.controls
        distance = offset.abs().sum(-1)
        slope = 2 * distance * torch.log(distance + EPSILON)
        slope = slope + distance.square() / (distance + EPSILON)
        weighted = slope[..., None] * offset.sign() * self.weights[:, None, :, None]
        gradient = weighted.sum(2)  # (B, N, 2)
        return self.affine[:, None, :, :2] + gradient[:, :, None]

    def warp_image(self, frame: Tensor, *, aligned: bool) -> Tensor:
        """Sample the frame (B, C, H, W) at T of every pixel, mirrored at its borders.

        The content at p of the result is that at T(p) of the frame. aligned: align_corners of the
        grid.
        """
        height, width = frame.shape[2:]
        pixels = grid.identity((height, width), frame.device, torch.float32).flatten(0, 1)
        sampled = self.map_points(pixels.expand(len(frame), -1, -1))
        coordinates = sampled.view(len(frame), height, width, 2)
        return F.grid_sample(
            frame, coordinates, mode="bilinear", padding_mode="reflection", align_corners=aligned
        )
