"""SPADE: instance norm whose scale and shift are painted from a guide picture (Park et al. 2019, eq. 1), and its residual block.

In face vid2vid and LivePortrait the guide is the warped source feature itself. Convolutions are plain: the published files'
spectral norm is merged at load time (`checkpoint.without_spectral_norm`).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.blocks.layers import convolution, rectify


class Spade(nn.Module):
    """instance_norm(x) * (1 + gamma) + beta, gamma and beta from the guide, resized by nearest to x."""

    def __init__(self, channels: int, guide: int, hidden: int = 128):
        super().__init__()
        self.mlp_shared = nn.Sequential(convolution(2, guide, hidden, 3), nn.ReLU())
        self.mlp_gamma = convolution(2, hidden, channels, 3)
        self.mlp_beta = convolution(2, hidden, channels, 3)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        if guide.shape[2:] != x.shape[2:]:
            guide = F.interpolate(guide, x.shape[2:], mode="nearest")
        shared = self.mlp_shared(guide)
        out = F.instance_norm(x)
        return out.mul(1 + self.mlp_gamma(shared)).add(self.mlp_beta(shared))


class SpadeBlock(nn.Module):
    """Two (SPADE, leaky ReLU 0.2, convolution 3) steps plus a shortcut, which is 1 x 1 and normalised where the width changes."""

    def __init__(self, inputs: int, outputs: int, guide: int, hidden: int = 128):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = convolution(2, inputs, middle, 3)
        self.conv_1 = convolution(2, middle, outputs, 3)
        self.norm_0 = Spade(inputs, guide, hidden)
        self.norm_1 = Spade(middle, guide, hidden)
        self.learned = inputs != outputs
        if self.learned:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, guide, hidden)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        y = self.conv_0(rectify(self.norm_0(x, guide), 0.2))
        y = self.conv_1(rectify(self.norm_1(y, guide), 0.2))
        out: Tensor = y + (self.conv_s(self.norm_s(x, guide)) if self.learned else x)
        return out
