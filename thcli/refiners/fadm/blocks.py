"""The blocks of SR3's U-Net (Saharia et al. 2021) as FADM has them, under its checkpoint's keys."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.fast_conv.enlarged import Enlarged, pays

GROUPS = 32


class Sinusoid(nn.Module):
    """(B,) -> (B, width): sines, then cosines. The frequencies stand in the checkpoint."""

    inv_freq: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = torch.arange(0, width, 2, dtype=torch.float32)
        self.register_buffer("inv_freq", torch.exp(steps * (-math.log(10000) / width)))

    def forward(self, timesteps: Tensor) -> Tensor:
        angles = timesteps.float()[:, None] * self.inv_freq
        return torch.cat([angles.sin(), angles.cos()], 1)


class Block(nn.Module):
    """GroupNorm, Swish, 3 x 3 convolution. groups: fewer where they do not divide the channels."""

    def __init__(self, inside: int, out: int, groups: int = GROUPS) -> None:
        super().__init__()
        norm = nn.GroupNorm(math.gcd(groups, inside), inside)
        # The place of a dropout stays empty: the checkpoint counts it.
        self.block = nn.Sequential(
            norm, nn.SiLU(inplace=True), nn.Identity(), nn.Conv2d(inside, out, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class Residual(nn.Module):
    """Two blocks with the step's vector (B, time) added between them, plus the input."""

    def __init__(self, inside: int, out: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, out))
        self.block1, self.block2 = Block(inside, out), Block(out, out)
        self.res_conv: nn.Module = nn.Identity() if inside == out else nn.Conv2d(inside, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h: Tensor = self.block1(x).add_(self.mlp(time)[..., None, None])
        out: Tensor = self.block2(h).add_(self.res_conv(x))
        return out


class Plain(nn.Module):
    """The same without a step, every channel normalised alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1, self.block2 = (Block(channels, channels, channels) for _ in range(2))

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
        found = F.scaled_dot_product_attention(*rows.chunk(3, -1))
        out: Tensor = self.out(found[:, 0].mT.reshape(x.shape)).add_(x)
        return out


class Layer(nn.Module):
    """One entry of a level: a residual block and, at some levels, attention."""

    def __init__(self, inside: int, out: int, time: int, *, attention: bool = False) -> None:
        super().__init__()
        self.res_block = Residual(inside, out, time)
        self.attn: nn.Module = Attention(out) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.attn(self.res_block(x, time))
        return out


class Down(nn.Module):
    """Half as large."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Up(nn.Module):
    """Twice as large (nearest), then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enlarge: nn.Module = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv: nn.Module = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.enlarge(x))
        return out

    def quicken(self) -> None:
        """Enlarging and convolving in one step; for inference."""
        if isinstance(self.conv, nn.Conv2d) and pays(self.conv):
            self.conv, self.enlarge = Enlarged(self.conv, 2), nn.Identity()
