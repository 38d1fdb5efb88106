"""Blocks of the quantised autoencoders that CodeFormer and RestoreFormer are built on.

Source: Esser et al. 2021 (VQGAN), sec. 3.1 and appendix; keys as published with CodeFormer
(sczhou/CodeFormer) and RestoreFormer (wzhouxiff/RestoreFormer).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

GROUPS, EPSILON = 32, 1e-6


def group_norm(channels: int) -> nn.GroupNorm:
    """Return the normalisation of all blocks."""
    return nn.GroupNorm(GROUPS, channels, EPSILON)


class ResBlock(nn.Module):
    """Two convolutions, each after a normalisation and SiLU, around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(inputs), group_norm(outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.conv_out = nn.Conv2d(inputs, outputs, 1)
        self.same = inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        out: Tensor = inner + (x if self.same else self.conv_out(x))
        return out


class Attention(nn.Module):
    """Attention among positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(x)
        out: Tensor = x + self.proj_out(attend(self.q(inner), self.k(inner), self.v(inner), 1))
        return out


class GuidedAttention(nn.Module):
    """Attention of several heads; the queries may come from a second map.

    Source: Wang et al. 2022 (RestoreFormer), sec. 3.1.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.heads = heads

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        inner = self.norm1(x)
        query = inner if other is None else self.norm2(other)
        mixed = attend(self.q(query), self.k(inner), self.v(inner), self.heads)
        out: Tensor = x + self.proj_out(mixed)
        return out


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attend among the positions of maps (B, C, H, W)."""
    batch, channels, height, width = query.shape
    q, k, v = (
        m.reshape(batch, heads, channels // heads, height * width).transpose(2, 3)
        for m in (query, key, value)
    )
    mixed = F.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(2, 3).reshape(batch, channels, height, width)


class Downsample(nn.Module):
    """Halve the size by a convolution padded on the right and below."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Double the size by repetition, then convolve."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out
