"""Loss terms of Real3D-Portrait's head. Images are (B, 3, H, W) in [-1, 1], masks (B, 1, H, W)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.planes import PlaneTable
from thcli.engines.real3d.volume_renderer import VolumeRenderer

OUTSIDE = 0.2  # weight of pixels outside of the head
STEP = 0.004  # distance of the points whose densities are compared
POINTS = 500
TUNING = 0.01  # learning rate of a weight that is tuned


def masked_difference(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return mean |difference|, with less weight outside of the mask."""
    weight = mask + OUTSIDE * (1 - mask)
    return ((image - target).abs() * weight).mean()


def inside_difference(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return mean |difference| inside a mask; 0 where the mask is empty."""
    error = ((image - target).abs() * mask).sum()
    return error / (3 * mask.sum()).clamp(min=1)


def entropy(share: Tensor) -> Tensor:
    """Return the mean entropy in bits of shares in 0..1: none where all is head or none is."""
    p = share.clamp(1e-5, 1 - 1e-5)
    return (-p * p.log2() - (1 - p) * (1 - p).log2()).mean()


def density_smoothness(
    renderer: VolumeRenderer, planes: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the mean |difference| of densities at random points and close to them.

    Source: Chan et al. 2022 (EG3D), supplement 2.
    """
    terms = []
    for own in planes:
        points = torch.rand(POINTS, 3, generator=generator) - 0.5
        near = points + STEP * torch.randn(POINTS, 3, generator=generator)
        both = torch.cat([points, near]).to(planes.device)
        density, _ = renderer.samples(PlaneTable.of(own), both)
        terms.append((density[:POINTS] - density[POINTS:]).abs().mean())
    return torch.stack(terms).mean()


def resized(image: Tensor, side: int) -> Tensor:
    """Reduce an image to (side, side) with an anti-aliasing filter."""
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)


@torch.no_grad()
def tune_weight(weight: nn.Parameter, loss: Tensor, target: float, most: float) -> float:
    """Move a loss's weight so that the loss approaches its target, and return the weight.

    Source: Real3DPortrait tasks/os_avatar/secc_img2plane_task.py at a9d70c7.
    """
    step = math.log10(float(loss) + 1e-15) - math.log10(target + 1e-15)
    weight.add_(TUNING * step).clamp_(0, most)
    return float(weight.detach())
