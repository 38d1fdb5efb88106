"""The blocks of ADM U-Nets (Dhariwal and Nichol 2021), under the published key names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Resample = Literal["up", "down", ""]
GROUPS = 32


def sinusoid(
    timesteps: Tensor,
    width: int,
    *,
    slowest: float = 10000.0,
    sine_first: bool = False,
    divisor: int | None = None,
) -> Tensor:
    """(B,) -> (B, width) cosines and sines of frequencies slowest^(-k / divisor), k = 0 .. width / 2 - 1.

    divisor: width / 2 where nothing is given, which is the usual one.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps.float()[:, None] * torch.exp(-math.log(slowest) * steps / (divisor or half))
    waves = [angles.sin(), angles.cos()] if sine_first else [angles.cos(), angles.sin()]
    return torch.cat(waves, 1)


def norm(channels: int) -> nn.GroupNorm:
    """GroupNorm in 32 groups (as many as divide the channels, where 32 does not)."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def zeroed(module: nn.Conv2d | nn.Conv1d) -> nn.Module:
    """The same layer, giving zero at the beginning of training."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class Residual(nn.Module):
    """A residual block whose second norm is scaled and shifted by embeddings, one after the other.

    embeds: the key's name -> width of each embedding, in order.  resample: "down" halves (2x2 mean), "up" doubles (nearest), between
    the first activation and its convolution, and in the skip.
    """

    def __init__(
        self,
        inside: int,
        out: int,
        embeds: Mapping[str, int],
        *,
        dropout: float = 0.0,
        resample: Resample = "",
    ) -> None:
        super().__init__()
        self.names, self.resample = tuple(embeds), resample
        self.in_layers = nn.Sequential(
            norm(inside), nn.SiLU(), nn.Conv2d(inside, out, 3, padding=1)
        )
        for name, width in embeds.items():
            self.add_module(name, nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out)))
        self.out_layers = nn.Sequential(
            norm(out), nn.SiLU(), nn.Dropout(dropout), zeroed(nn.Conv2d(out, out, 3, padding=1))
        )
        self.skip_connection: nn.Module = (
            nn.Identity() if inside == out else nn.Conv2d(inside, out, 1)
        )

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """x (B, C, H, W); embeds: (B, width) each."""
        h = self.in_layers[2](self._resampled(self.in_layers[1](self.in_layers[0](x))))
        h = self.out_layers[0](h)
        for name, embed in zip(self.names, embeds, strict=True):
            scale, shift = self.get_submodule(name)(embed)[..., None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        for layer in list(self.out_layers)[1:]:
            h = layer(h)
        out: Tensor = self.skip_connection(self._resampled(x)) + h
        return out

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resample == "up" else x


class Attention(nn.Module):
    """Self-attention over all positions; the channels of qkv lie head by head (q, k, v of each)."""

    def __init__(self, channels: int, head: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head)
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """x (B, C, H, W); the embeddings take no part."""
        flat = x.flatten(2)
        b, c, n = flat.shape
        parts = (
            self.qkv(self.norm(flat)).reshape(b * self.heads, 3, c // self.heads, n).transpose(2, 3)
        )
        found = F.scaled_dot_product_attention(parts[:, 0], parts[:, 1], parts[:, 2])
        out: Tensor = flat + self.proj_out(found.transpose(1, 2).reshape(b, c, n))
        return out.reshape(x.shape)


class Stage(nn.Sequential):
    """Layers that take embeddings where they know what to do with them."""

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:  # type: ignore[override]  # more than Sequential's
        for layer in self:
            x = layer(x, embeds) if isinstance(layer, Residual | Attention) else layer(x)
        return x
