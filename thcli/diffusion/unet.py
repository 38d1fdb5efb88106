"""The ADM U-Net's trunk, with as many embeddings as a model has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thcli.diffusion.blocks import Attention, Residual, Stage, norm, zeroed


@dataclass(frozen=True, slots=True)
class UNetShape:
    """inside, out: channels.  width: of the first level, times `times` for each.  blocks: residual blocks a level (one more going up).

    attention: the factors of downsampling at whose levels there is attention (the middle always has it).  head: channels a head.
    """

    inside: int
    out: int
    width: int
    times: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    head: int
    dropout: float = 0.0


class UNet(nn.Module):
    """Resampling by residual blocks, skips from every input block. embeds: name of a block's layer -> width of that embedding.

    block: what its residual blocks are.
    """

    def __init__(
        self, shape: UNetShape, embeds: Mapping[str, int], block: type[Residual] = Residual
    ) -> None:
        super().__init__()
        s, first = shape, shape.width * shape.times[0]

        def residual(inside: int, out: int, resample: str = "") -> Residual:
            return block(inside, out, embeds, dropout=s.dropout, resample=resample)  # type: ignore[arg-type]  # its literals

        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(s.inside, first, 3, padding=1))])
        skips, channels, factor = [first], first, 1
        for level, times in enumerate(s.times):
            wide = s.width * times
            for _ in range(s.blocks):
                layers: list[nn.Module] = [residual(channels, wide)]
                channels = wide
                if factor in s.attention:
                    layers.append(Attention(channels, s.head))
                self.input_blocks.append(Stage(*layers))
                skips.append(channels)
            if level < len(s.times) - 1:
                self.input_blocks.append(Stage(residual(channels, channels, "down")))
                skips.append(channels)
                factor *= 2
        self.middle_block = Stage(
            residual(channels, channels), Attention(channels, s.head), residual(channels, channels)
        )
        self.output_blocks = nn.ModuleList()
        for level, times in reversed(list(enumerate(s.times))):
            wide = s.width * times
            for number in range(s.blocks + 1):
                layers = [residual(channels + skips.pop(), wide)]
                channels = wide
                if factor in s.attention:
                    layers.append(Attention(channels, s.head))
                if level and number == s.blocks:
                    layers.append(residual(channels, channels, "up"))
                    factor //= 2
                self.output_blocks.append(Stage(*layers))
        self.out = nn.Sequential(
            norm(channels), nn.SiLU(), zeroed(nn.Conv2d(channels, s.out, 3, padding=1))
        )

    def trunk(self, x: Tensor, embeds: Sequence[Tensor]) -> Tensor:
        """(B, inside, H, W) -> (B, out, H, W); H and W divisible by the deepest factor."""
        kept = []
        for block in self.input_blocks:
            x = block(x, embeds)
            kept.append(x)
        x = self.middle_block(x, embeds)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], 1), embeds)
        out: Tensor = self.out(x)
        return out
