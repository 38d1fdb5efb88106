"""Blocks of SR3's U-Net (Saharia et al. 2021) as in FADM, with its checkpoint's keys."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.fast_conv.enlarged import UpsampleConv, is_faster

GROUPS = 32


class StepEmbedding(nn.Module):
    """Sinusoidal embedding of steps (B,): (B, width), sines, then cosines.

    The frequencies are stored in the checkpoint.
    """

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.arange(0, width, 2, dtype=torch.float32)
        self.register_buffer("inv_freq", torch.exp(steps * (-math.log(10000) / width)))

    def forward(self, timesteps: Tensor) -> Tensor:
        angles = timesteps.float()[:, None] * self.inv_freq
        return torch.cat([angles.sin(), angles.cos()], 1)


class ConvBlock(nn.Module):
    """GroupNorm, Swish and 3 x 3 convolution.

    groups: fewer where they do not divide the channels.
    """

    def __init__(self, inputs: int, outputs: int, groups: int = GROUPS) -> None:
        super().__init__()
        norm = nn.GroupNorm(math.gcd(groups, inputs), inputs)
        # The position of a dropout stays empty: the checkpoint counts it.
        self.block = nn.Sequential(
            norm, nn.SiLU(inplace=True), nn.Identity(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class StepResidual(nn.Module):
    """Two blocks with the step's embedding (B, time) added between them, plus the input."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, outputs))
        self.block1, self.block2 = ConvBlock(inputs, outputs), ConvBlock(outputs, outputs)
        self.res_conv: nn.Module = (
            nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h: Tensor = self.block1(x).add_(self.mlp(time)[..., None, None])
        out: Tensor = self.block2(h).add_(self.res_conv(x))
        return out


class PlainResidual(nn.Module):
    """Residual block without a step; every channel is normalised alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1, self.block2 = (ConvBlock(channels, channels, channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block2(self.block1(x)).add_(x)
        return out


class Attention(nn.Module):
    """Self-attention over all positions with one head, plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(GROUPS, channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.qkv(self.norm(x)).flatten(2).mT[:, None]
        attended = F.scaled_dot_product_attention(*rows.chunk(3, -1))
        out: Tensor = self.out(attended[:, 0].mT.reshape(x.shape)).add_(x)
        return out


class UNetLayer(nn.Module):
    """One entry of a level: a residual block and, at some levels, attention."""

    def __init__(self, inputs: int, outputs: int, time: int, *, attention: bool = False) -> None:
        super().__init__()
        self.res_block = StepResidual(inputs, outputs, time)
        self.attn: nn.Module = Attention(outputs) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.attn(self.res_block(x, time))
        return out


class Downsample(nn.Module):
    """Convolution with stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Nearest upsampling by 2, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enlarge: nn.Module = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv: nn.Module = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.enlarge(x))
        return out

    def fuse_for_inference(self) -> None:
        """Merge upsampling and convolution into one step."""
        if isinstance(self.conv, nn.Conv2d) and is_faster(self.conv):
            self.conv, self.enlarge = UpsampleConv(self.conv, 2), nn.Identity()
