"""Discriminators of the keypoint models, used in training only.

Attribute names are the published checkpoints' keys.
Sources: first-order-model modules/discriminator.py at c027484 (face vid2vid's is the same);
monkey-net modules/discriminator.py at 0c8aa4e.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm


class DownBlock(nn.Module):
    """Convolution 4 x 4 without padding, instance norm, leaky ReLU 0.2 and average pool 2 x 2.

    normed, pooled: with instance norm and pooling.
    """

    def __init__(self, inputs: int, outputs: int, *, normed: bool, pooled: bool, spectral: bool):
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 4)
        self.conv = spectral_norm(conv) if spectral else conv
        self.norm: nn.Module = nn.InstanceNorm2d(outputs, affine=True) if normed else nn.Identity()
        self.pooled = pooled

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.norm(self.conv(x)), 0.2)
        return F.avg_pool2d(x, 2) if self.pooled else x


class Discriminator(nn.Module):
    """A patch discriminator of an image and optional keypoint maps.

    inputs: channels of image and maps. widths: channels after each block. pool_last: pool after the
    last block too, as Monkey-Net does.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], *, pool_last: bool = False, spectral: bool = False
    ):
        super().__init__()
        chain = list(pairwise([inputs, *widths]))
        self.down_blocks = nn.ModuleList(
            DownBlock(a, b, normed=i > 0, pooled=pool_last or i < len(chain) - 1, spectral=spectral)
            for i, (a, b) in enumerate(chain)
        )
        last = nn.Conv2d(widths[-1], 1, 1)
        self.conv = spectral_norm(last) if spectral else last

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the blocks' outputs and a realism map (B, 1, h, w) for an input (B, C, H, W)."""
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return features, self.conv(x)


class SingleScaleDiscriminator(nn.Module):
    """A discriminator of scale 1, the only scale of the papers' configurations.

    Its published prefix is discs.1.
    """

    def __init__(self, inputs: int, widths: Sequence[int], *, spectral: bool = False):
        super().__init__()
        self.discs = nn.ModuleDict({"1": Discriminator(inputs, widths, spectral=spectral)})

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        out: tuple[list[Tensor], Tensor] = self.discs["1"](x)
        return out
