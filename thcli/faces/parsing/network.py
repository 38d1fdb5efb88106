"""ParseNet: the small network of `parse-s`, 256 x 256 pixels to 19 logits a pixel.

Dense 3 x 3 convolutions at strides 2 to 32 (on a CPU they are faster than separable ones of equal
accuracy), a gate by the global mean at the top, and a decoder that adds skip connections. Logits
have half the size and are enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from thcli.faces.parsing.classes import CLASSES
from thcli.faces.parsing.graph import MEAN, RESIDUALS, SPREAD

WIDTHS = (16, 32, 64, 128, 160)  # of the encoder, at strides 2, 4, 8, 16, 32
DECODER_WIDTHS = (16, 32, 48, 64)  # at strides 2, 4, 8, 16
STRIDE = 32  # the sides of an image are multiples of it


class ConvUnit(nn.Sequential):
    """Convolution, batch norm and, unless `plain`, ReLU.

    The size is kept, or divided by the stride.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, plain: bool = False
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.Identity() if plain else nn.ReLU())


class Residual(nn.Module):
    """Residual block: two convolutions, plus the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = (
            ConvUnit(channels, channels),
            ConvUnit(channels, channels, plain=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class ParseNet(nn.Module):
    """Encoder and decoder of parse-s.

    narrow: divisor of every width, for experiments.
    """

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        widths = [max(width // narrow, 4) for width in WIDTHS]
        down = [max(width // narrow, 4) for width in DECODER_WIDTHS]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                ConvUnit(inputs, outputs, stride=2), *(Residual(outputs) for _ in range(count))
            )
            for (inputs, outputs), count in zip(pairwise([3, *widths]), RESIDUALS, strict=True)
        )
        self.gate = nn.Conv2d(widths[-1], widths[-1], 1)
        self.top = ConvUnit(widths[-1], down[-1], 1)
        self.skips = nn.ModuleList(
            ConvUnit(wide, out, 1) for wide, out in zip(widths[1:4], down[1:], strict=True)
        )
        self.mixes = nn.ModuleList(ConvUnit(width, width) for width in down[1:])
        self.narrowing = nn.ModuleList(ConvUnit(wide, out, 1) for out, wide in pairwise(down[1:]))
        self.fine, self.fine_skip = (
            nn.Conv2d(down[1], 4 * down[0], 1),
            nn.Conv2d(widths[0], down[0], 1),
        )
        self.last = ConvUnit(down[0], down[0])
        self.out = nn.Conv2d(down[0], len(CLASSES), 1)

    def features(self, images: Tensor) -> list[Tensor]:
        """Encode images (B, 3, H, W) in 0..1 to maps at strides 2, 4, 8, 16 and 32."""
        x = (images - MEAN) / SPREAD
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's maps to logits (B, 19, H / 2, W / 2)."""
        gate = self.gate(maps[-1].mean((2, 3), keepdim=True)).sigmoid()
        x = self.top(maps[-1] * gate)
        for level in (2, 1, 0):
            x = self.mixes[level](upsample_twice(x) + self.skips[level](maps[level + 1]))
            if level:
                x = self.narrowing[level - 1](x)
        x = F.relu(F.pixel_shuffle(self.fine(x), 2) + self.fine_skip(maps[0]))
        out: Tensor = self.out(self.last(x))
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (B, 19, H / 2, W / 2).

        images: (B, 3, H, W) in 0..1, sides multiples of 32.
        """
        return self.decode(self.features(images))


def upsample_twice(maps: Tensor) -> Tensor:
    """Double height and width, bilinear; the outer corners stay."""
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def fold_batch_norm(network: ParseNet) -> ParseNet:
    """Merge batch norms into the convolutions before them, in place, for inference only."""
    for unit in [module for module in network.eval().modules() if isinstance(module, ConvUnit)]:
        conv, norm = unit[0], unit[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        unit[0], unit[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network
