"""Dual discriminator: final image and enlarged rendering together, with the camera.

Source: Chan et al. 2022 (EG3D), sec. 4.4; Karras et al. 2020 (StyleGAN 2), whose residual blocks
are replaced by plain strided convolutions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CAMERA = 25
WIDTHS = (64, 128, 256, 512, 512)
SLOPE = 0.2
PENALTY_EVERY = 16  # updates between gradient penalties
PENALTY = 5.0


class DualDiscriminator(nn.Module):
    """Score (B,) of an image (B, 3, S, S) and its rendering, given its camera (B, 25)."""

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        widths = [6, *(width // width_divisor for width in WIDTHS)]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)
        self.camera = nn.Linear(CAMERA, widths[-1])
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, image: Tensor, raw: Tensor, camera: Tensor) -> Tensor:
        large = F.interpolate(raw, image.shape[2:], mode="bilinear", align_corners=False)
        features = self.layers(torch.cat([image, large], 1)).mean((2, 3))
        matched = (features * self.camera(camera)).sum(1) / features.shape[1] ** 0.5
        out: Tensor = self.score(features)[:, 0] + matched
        return out


def generator_loss(score: Tensor) -> Tensor:
    """Return the non-saturating loss of a generator."""
    return F.softplus(-score).mean()


def discriminator_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Return the logistic loss of a discriminator."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def gradient_penalty(score: Tensor, images: tuple[Tensor, ...]) -> Tensor:
    """Return R1 of real images, scaled for its interval (Mescheder et al. 2018)."""
    gradients = torch.autograd.grad(score.sum(), images, create_graph=True)
    total = torch.stack([gradient.square().sum((1, 2, 3)).mean() for gradient in gradients]).sum()
    return 0.5 * PENALTY * PENALTY_EVERY * total
