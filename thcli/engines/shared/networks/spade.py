"""SPADE: instance norm whose scale and shift are computed from a guide, and its residual block.

Source: Park et al. 2019, eq. 1. In face vid2vid and LivePortrait the guide is the warped source
feature itself. Convolutions are plain: the published files' spectral norm is merged at load time
(`checkpoint.without_spectral_norm`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.fast_conv.enlarged import UpsampleConv
from thcli.engines.shared.networks.layers import convolution, rectify

EPSILON = 1e-5


def standardise(x: Tensor) -> Tensor:
    """Normalise every channel of every image to mean 0 and (biased) variance 1."""
    if x.dtype != torch.float32:
        # it sums in float32: squares overflow in half precision
        return F.instance_norm(x, eps=EPSILON)
    centred = x - x.mean((2, 3), keepdim=True)
    # two means are four times as fast as torch.var_mean here, and as exact
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + EPSILON)


class Spade(nn.Module):
    """x * (1 + gamma) + beta of a standardised x, with gamma and beta from the guide.

    channels: of x.  guide: channels of the guide, which is `factor` times smaller than x in height
    and width (nearest upsampling).
    """

    def __init__(self, channels: int, guide: int, hidden: int = 128, factor: int = 1):
        super().__init__()
        self.mlp_shared = nn.Sequential(convolution(2, guide, hidden, 3), nn.ReLU(inplace=True))
        self.mlp_gamma = convolution(2, hidden, channels, 3)
        self.mlp_beta = convolution(2, hidden, channels, 3)
        self.factor = factor
        self.enlarge: nn.Module = nn.Upsample(scale_factor=factor) if factor > 1 else nn.Identity()
        self.joint_conv: nn.Module | None = None
        self.widths = [channels, channels]

    def modulation(self, guide: Tensor) -> tuple[Tensor, Tensor]:
        """Compute 1 + gamma, and beta, from the guide."""
        shared = self.mlp_shared(self.enlarge(guide))
        if self.joint_conv is None:
            return 1 + self.mlp_gamma(shared), self.mlp_beta(shared)
        gamma, beta = self.joint_conv(shared).split(self.widths, 1)
        return gamma, beta

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        gamma, beta = self.modulation(guide)
        return torch.addcmul(beta, x, gamma)

    def fuse_for_inference(self) -> None:
        """Merge gamma and beta into one convolution, and the guide's upsampling into its first."""
        gamma, beta, first = self.mlp_gamma, self.mlp_beta, self.mlp_shared[0]
        if (
            isinstance(gamma, nn.Conv2d)
            and isinstance(beta, nn.Conv2d)
            and gamma.bias is not None
            and beta.bias is not None
        ):
            self.widths = [gamma.out_channels, beta.out_channels]
            joint_conv = nn.Conv2d(gamma.in_channels, sum(self.widths), 3, padding=1)
            joint_conv.weight.data = torch.cat([gamma.weight, beta.weight])
            joint_conv.bias = nn.Parameter(
                torch.cat([gamma.bias + 1, beta.bias]), requires_grad=False
            )
            self.joint_conv = joint_conv.requires_grad_(False)
            self.mlp_gamma = self.mlp_beta = nn.Identity()
        if self.factor > 1 and isinstance(first, nn.Conv2d):
            self.mlp_shared[0], self.enlarge = UpsampleConv(first, self.factor), nn.Identity()


class SpadeBlock(nn.Module):
    """Two steps of SPADE, leaky ReLU 0.2 and convolution 3, plus a shortcut.

    The shortcut is 1 x 1 and normalised where the width changes.
    factor: how many times smaller the guide is than the block's image.  twice: the input is first
    upsampled by 2 (nearest).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        guide: int,
        hidden: int = 128,
        *,
        factor: int = 1,
        twice: bool = False,
    ):
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0 = convolution(2, inputs, middle, 3)
        self.conv_1 = convolution(2, middle, outputs, 3)
        self.norm_0 = Spade(inputs, guide, hidden, factor)
        self.norm_1 = Spade(middle, guide, hidden, factor)
        self.learned, self.twice, self.shortcut_merged = inputs != outputs, twice, False
        if self.learned:
            self.conv_s = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, guide, hidden, factor)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        # upsampling keeps mean and variance, so the small tensor is standardised
        base = self._upsample(standardise(x))
        y = self.conv_0(rectify(self.norm_0(base, guide), 0.2))
        y = self.conv_1(rectify(self.norm_1(standardise(y), guide), 0.2))
        out: Tensor = y + (self._shortcut(base, guide) if self.learned else self._upsample(x))
        return out

    def _shortcut(self, base: Tensor, guide: Tensor) -> Tensor:
        if not self.shortcut_merged:
            plain: Tensor = self.conv_s(self.norm_s(base, guide))
            return plain
        gamma, beta = self.norm_s.modulation(guide)
        merged: Tensor = beta + self.conv_s(base * gamma)
        return merged

    def _upsample(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.twice else x

    def fuse_for_inference(self) -> None:
        """Merge the shortcut's beta and its 1 x 1 convolution, whose output is narrower."""
        beta = self.norm_s.mlp_beta if self.learned else None
        if not isinstance(beta, nn.Conv2d) or beta.bias is None:
            return
        mix = self.conv_s.weight.double()[:, :, 0, 0]
        merged = nn.Conv2d(beta.in_channels, len(mix), 3, padding=1)
        merged.weight.data = torch.einsum("oc,cihw->oihw", mix, beta.weight.double()).float()
        merged.bias = nn.Parameter((mix @ beta.bias.double()).float(), requires_grad=False)
        self.norm_s.mlp_beta, self.shortcut_merged = merged.requires_grad_(False), True
