"""Encoder, codebook and decoder of VQGAN, as flat lists of blocks.

Source: Esser et al. 2021 (VQGAN); layout of CodeFormer's and RestoreFormer's published networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.refiners.restoration.blocks import Downsample, ResBlock, Upsample, group_norm

MakeAttention = Callable[[int], nn.Module]


@dataclass(frozen=True, slots=True)
class AutoencoderShape:
    """Size of the networks; the defaults are the published ones.

    width: channels of the first level. multipliers: of the width, per level; attention is at the
    last level. code: channels of a code. codes: of the codebook. decoder_blocks: per level.
    """

    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2, 4, 4, 8)
    code: int = 256
    codes: int = 1024
    decoder_blocks: int = 2

    @property
    def channels(self) -> list[int]:
        """Channels of each level."""
        return [self.width * factor for factor in self.multipliers]


ENCODER_BLOCKS = 2  # per level


class Encoder(nn.Module):
    """Image to codes; `blocks` are its layers in their order."""

    def __init__(self, shape: AutoencoderShape, attention: MakeAttention) -> None:
        super().__init__()
        levels = shape.channels
        last = len(levels) - 1
        blocks: list[nn.Module] = [nn.Conv2d(3, shape.width, 3, padding=1)]
        channels = shape.width
        for level, outputs in enumerate(levels):
            for _ in range(ENCODER_BLOCKS):
                blocks.append(ResBlock(channels, outputs))
                channels = outputs
                if level == last:
                    blocks.append(attention(channels))
            if level < last:
                blocks.append(Downsample(channels))
        blocks += [ResBlock(channels, channels), attention(channels), ResBlock(channels, channels)]
        blocks += [group_norm(channels), nn.Conv2d(channels, shape.code, 3, padding=1)]
        self.blocks = nn.ModuleList(blocks)


class Decoder(nn.Module):
    """Codes to image; `blocks` are its layers in their order."""

    def __init__(self, shape: AutoencoderShape, attention: MakeAttention) -> None:
        super().__init__()
        levels = shape.channels
        last = len(levels) - 1
        channels = levels[-1]
        blocks: list[nn.Module] = [nn.Conv2d(shape.code, channels, 3, padding=1)]
        blocks += [ResBlock(channels, channels), attention(channels), ResBlock(channels, channels)]
        for level in range(last, -1, -1):
            for _ in range(shape.decoder_blocks):
                blocks.append(ResBlock(channels, levels[level]))
                channels = levels[level]
                if level == last:
                    blocks.append(attention(channels))
            if level:
                blocks.append(Upsample(channels))
        blocks += [group_norm(channels), nn.Conv2d(channels, 3, 3, padding=1)]
        self.blocks = nn.ModuleList(blocks)


class Codebook(nn.Module):
    """Codes, of which a map consists."""

    def __init__(self, shape: AutoencoderShape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.codes, shape.code)

    def nearest(self, codes: Tensor) -> Tensor:
        """Replace each code of a map (B, C, H, W) by the nearest one of the book, in float32."""
        rows = codes.permute(0, 2, 3, 1).float()
        book = self.embedding.weight
        with torch.autocast(codes.device.type, enabled=False):
            distances = book.square().sum(1) - 2 * rows @ book.T
        return self.look_up(distances.argmin(-1))

    def look_up(self, numbers: Tensor) -> Tensor:
        """Return the map (B, C, H, W) of the codes with these numbers (B, H, W)."""
        return torch.movedim(self.embedding(numbers), -1, 1)
