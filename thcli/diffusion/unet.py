"""Convolutional trunk of the ADM U-Net, with any number of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.diffusion.blocks import (
    EmbeddingSequential,
    Resample,
    ResidualBlock,
    SelfAttention,
    group_norm,
    zero_init,
)


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Sizes of a U-Net.

    Attributes:
        in_channels, out_channels: channels of the input and of the output.
        base_channels: channels of the first level before its multiplier.
        channel_multipliers: multiplier of each level.
        blocks_per_level: residual blocks of a level (one more in the decoder).
        attention_factors: downsampling factors of levels with attention (the middle always has it).
        head_channels: channels of an attention head.
        dropout: dropout probability.
    """

    in_channels: int
    out_channels: int
    base_channels: int
    channel_multipliers: tuple[int, ...]
    blocks_per_level: int
    attention_factors: tuple[int, ...]
    head_channels: int
    dropout: float = 0.0


class UNet(nn.Module):
    """ADM U-Net with resampling by residual blocks and a skip from every input block.

    Args:
        config: channels and levels.
        embeds: width of each embedding, by the name of its layer in a block.
        block: class of the residual blocks.
    """

    def __init__(
        self,
        config: UNetConfig,
        embeds: Mapping[str, int],
        block: type[ResidualBlock] = ResidualBlock,
    ) -> None:
        super().__init__()
        c, first = config, config.base_channels * config.channel_multipliers[0]

        def residual_block(
            in_channels: int, out_channels: int, resample: Resample = ""
        ) -> ResidualBlock:
            return block(in_channels, out_channels, embeds, dropout=c.dropout, resample=resample)

        self.input_blocks = nn.ModuleList(
            [EmbeddingSequential(nn.Conv2d(c.in_channels, first, 3, padding=1))]
        )
        skips, channels, factor = [first], first, 1
        for level, multiplier in enumerate(c.channel_multipliers):
            level_channels = c.base_channels * multiplier
            for _ in range(c.blocks_per_level):
                layers: list[nn.Module] = [residual_block(channels, level_channels)]
                channels = level_channels
                if factor in c.attention_factors:
                    layers.append(SelfAttention(channels, c.head_channels))
                self.input_blocks.append(EmbeddingSequential(*layers))
                skips.append(channels)
            if level < len(c.channel_multipliers) - 1:
                self.input_blocks.append(
                    EmbeddingSequential(residual_block(channels, channels, "down"))
                )
                skips.append(channels)
                factor *= 2
        self.middle_block = EmbeddingSequential(
            residual_block(channels, channels),
            SelfAttention(channels, c.head_channels),
            residual_block(channels, channels),
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(c.channel_multipliers))):
            level_channels = c.base_channels * multiplier
            for index in range(c.blocks_per_level + 1):
                layers = [residual_block(channels + skips.pop(), level_channels)]
                channels = level_channels
                if factor in c.attention_factors:
                    layers.append(SelfAttention(channels, c.head_channels))
                if level and index == c.blocks_per_level:
                    layers.append(residual_block(channels, channels, "up"))
                    factor //= 2
                self.output_blocks.append(EmbeddingSequential(*layers))
        self.out = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            zero_init(nn.Conv2d(channels, c.out_channels, 3, padding=1)),
        )

    def forward_unet(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W).

        H and W must be divisible by the largest downsampling factor.
        """
        skips = []
        for block in self.input_blocks:
            x = block(x, embeds)
            skips.append(x)
        x = self.middle_block(x, embeds)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], 1), embeds)
        out: Tensor = self.out(x)
        return out
