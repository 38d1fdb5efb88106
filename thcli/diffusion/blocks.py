"""Building blocks of ADM U-Nets (Dhariwal and Nichol 2021), under the published key names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Resample = Literal["up", "down", ""]
GROUPS = 32


def sinusoidal_embedding(
    timesteps: Tensor,
    width: int,
    *,
    max_period: float = 10000.0,
    sine_first: bool = False,
    divisor: int | None = None,
) -> Tensor:
    """Return cosines and sines of the time step at geometric frequencies.

    Frequency k is `max_period ** (-k / divisor)`, k = 0 .. width / 2 - 1.

    Args:
        timesteps: (B,) time steps.
        width: columns of the result, even.
        max_period: longest period, over 2 pi.
        sine_first: puts the sines before the cosines.
        divisor: divisor of the exponent; width / 2, the common choice, when None.

    Returns:
        (B, width) float32.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps.float()[:, None] * torch.exp(
        -math.log(max_period) * steps / (divisor or half)
    )
    waves = [angles.sin(), angles.cos()] if sine_first else [angles.cos(), angles.sin()]
    return torch.cat(waves, 1)


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a GroupNorm of 32 groups, or gcd(32, channels) if 32 does not divide the channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def zero_init(module: nn.Conv2d | nn.Conv1d) -> nn.Module:
    """Set all parameters of a layer to zero and return it."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResidualBlock(nn.Module):
    """Residual block whose second norm is scaled and shifted by embeddings, one after the other.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        embeds: width of each embedding by the key's name, in the order of use.
        dropout: dropout probability before the last convolution.
        resample: "down" halves the size (2x2 mean), "up" doubles it (nearest), "" keeps it.
            It acts between the first activation and its convolution, and in the skip.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embeds: Mapping[str, int],
        *,
        dropout: float = 0.0,
        resample: Resample = "",
    ) -> None:
        super().__init__()
        self.embedding_names, self.resample = tuple(embeds), resample
        self.in_layers = nn.Sequential(
            group_norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        for name, width in embeds.items():
            self.add_module(name, nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * out_channels)))
        self.out_layers = nn.Sequential(
            group_norm(out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection: nn.Module = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """Apply the block to x (B, C, H, W); embeds: (B, width) each."""
        h = self.in_layers[2](self._resample(self.in_layers[1](self.in_layers[0](x))))
        h = self.out_layers[0](h)
        for name, embed in zip(self.embedding_names, embeds, strict=True):
            scale, shift = self.get_submodule(name)(embed)[..., None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        for layer in list(self.out_layers)[1:]:
            h = layer(h)
        out: Tensor = self.skip_connection(self._resample(x)) + h
        return out

    def _resample(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resample == "up" else x


class SelfAttention(nn.Module):
    """Self-attention over all positions, the channels of qkv ordered by head (q, k, v of each)."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero_init(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """Apply the block to x (B, C, H, W); the embeddings are not used."""
        flat = x.flatten(2)
        b, c, n = flat.shape
        parts = (
            self.qkv(self.norm(flat)).reshape(b * self.heads, 3, c // self.heads, n).transpose(2, 3)
        )
        found = F.scaled_dot_product_attention(parts[:, 0], parts[:, 1], parts[:, 2])
        out: Tensor = flat + self.proj_out(found.transpose(1, 2).reshape(b, c, n))
        return out.reshape(x.shape)


class EmbeddingSequential(nn.Sequential):
    """Sequential container that passes the embeddings to the layers that take them."""

    # the embeddings are an argument that Sequential's method does not have
    def forward(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        for layer in self:
            x = layer(x, embeds) if isinstance(layer, ResidualBlock | SelfAttention) else layer(x)
        return x
