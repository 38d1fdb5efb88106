"""SPADE: instance norm whose scale and shift are painted from a guide picture (Park et al. 2019, eq. 1), and its residual block.

In face vid2vid and LivePortrait the guide is the warped source feature itself. Convolutions are plain: the published files'
spectral norm is merged at load time (`checkpoint.without_spectral_norm`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thcli.engines.blocks.enlarged import Enlarged
from thcli.engines.blocks.layers import convolution, rectify

EPSILON = 1e-5


class Spade(nn.Module):
    """instance_norm(x) * (1 + gamma) + beta, gamma and beta from the guide.

    channels: of x.  guide: channels of the guide, which is `factor` times smaller than x in height and width (nearest).
    """

    def __init__(self, channels: int, guide: int, hidden: int = 128, factor: int = 1):
        super().__init__()
        self.mlp_shared = nn.Sequential(convolution(2, guide, hidden, 3), nn.ReLU(inplace=True))
        self.mlp_gamma = convolution(2, hidden, channels, 3)
        self.mlp_beta = convolution(2, hidden, channels, 3)
        self.factor = factor
        self.enlarge: nn.Module = nn.Upsample(scale_factor=factor) if factor > 1 else nn.Identity()
        self.both: nn.Module | None = None

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        shared = self.mlp_shared(self.enlarge(guide))
        if self.both is None:
            gamma, beta = self.mlp_gamma(shared), self.mlp_beta(shared)
        else:
            gamma, beta = self.both(shared).chunk(2, 1)
        variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
        return torch.addcmul(beta, (x - mean) * torch.rsqrt(variance + EPSILON), 1 + gamma)

    def quicken(self) -> None:
        """gamma and beta by one convolution, and the guide enlarged within its own; for inference."""
        gamma, beta, first = self.mlp_gamma, self.mlp_beta, self.mlp_shared[0]
        if (
            isinstance(gamma, nn.Conv2d)
            and isinstance(beta, nn.Conv2d)
            and gamma.bias is not None
            and beta.bias is not None
        ):
            both = nn.Conv2d(gamma.in_channels, 2 * gamma.out_channels, 3, padding=1)
            both.weight.data = torch.cat([gamma.weight, beta.weight])
            both.bias = nn.Parameter(torch.cat([gamma.bias, beta.bias]), requires_grad=False)
            self.both = both.requires_grad_(False)
            self.mlp_gamma = self.mlp_beta = nn.Identity()
        if self.factor > 1 and isinstance(first, nn.Conv2d):
            self.mlp_shared[0], self.enlarge = Enlarged(first, self.factor), nn.Identity()


class SpadeBlock(nn.Module):
    """Two (SPADE, leaky ReLU 0.2, convolution 3) steps plus a shortcut, which is 1 x 1 and normalised where the width changes.

    factor: how many times smaller the guide is than the block's picture.
    """

    def __init__(self, inputs: int, outputs: int, guide: int, hidden: int = 128, factor: int = 1):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = convolution(2, inputs, middle, 3)
        self.conv_1 = convolution(2, middle, outputs, 3)
        self.norm_0 = Spade(inputs, guide, hidden, factor)
        self.norm_1 = Spade(middle, guide, hidden, factor)
        self.learned = inputs != outputs
        if self.learned:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, guide, hidden, factor)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        y = self.conv_0(rectify(self.norm_0(x, guide), 0.2))
        y = self.conv_1(rectify(self.norm_1(y, guide), 0.2))
        out: Tensor = y + (self.conv_s(self.norm_s(x, guide)) if self.learned else x)
        return out
