"""ParseS: the small network of `parse-s`, 256 x 256 pixels in, 19 logits a pixel out.

Dense 3 x 3 convolutions at strides 2 to 32 (on a CPU they are quicker than separable ones of equal strength), a gate by the whole
picture's mean at the top, and a decoder that adds the skips coming down. Labels are decided at half the size; logits are enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from thcli.faces.parsing.classes import CLASSES

WIDTHS = (16, 32, 64, 128, 160)  # of the encoder, at strides 2, 4, 8, 16, 32
BLOCKS = (0, 1, 1, 2, 1)  # residual blocks at each
COMING_DOWN = (16, 32, 48, 64)  # of the decoder, at strides 2, 4, 8, 16
STRIDE = 32  # the sides of a picture are multiples of it
MEAN, SPREAD = 0.45, 0.25  # of all channels alike: the picture's values come to about -2..2


class Unit(nn.Sequential):
    """Convolution, batch norm and, unless `plain`, ReLU; the size is kept, or divided by the stride."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, plain: bool = False
    ) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.Identity() if plain else nn.ReLU())


class Residual(nn.Module):
    """Two convolutions, plus the input, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Unit(channels, channels), Unit(channels, channels, plain=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class ParseNet(nn.Module):
    """narrow: every width is divided by it, for trials."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        widths = [max(width // narrow, 4) for width in WIDTHS]
        down = [max(width // narrow, 4) for width in COMING_DOWN]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Unit(inputs, outputs, stride=2), *(Residual(outputs) for _ in range(count))
            )
            for (inputs, outputs), count in zip(pairwise([3, *widths]), BLOCKS, strict=True)
        )
        self.gate = nn.Conv2d(widths[-1], widths[-1], 1)
        self.top = Unit(widths[-1], down[-1], 1)
        self.skips = nn.ModuleList(
            Unit(wide, out, 1) for wide, out in zip(widths[1:4], down[1:], strict=True)
        )
        self.mixes = nn.ModuleList(Unit(width, width) for width in down[1:])
        self.narrowing = nn.ModuleList(Unit(wide, out, 1) for out, wide in pairwise(down[1:]))
        self.fine, self.fine_skip = (
            nn.Conv2d(down[1], 4 * down[0], 1),
            nn.Conv2d(widths[0], down[0], 1),
        )
        self.last = Unit(down[0], down[0])
        self.out = nn.Conv2d(down[0], len(CLASSES), 1)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Pictures (B, 3, H, W) in 0..1 -> the encoder's five maps, at strides 2, 4, 8, 16 and 32."""
        x = (pictures - MEAN) / SPREAD
        maps = []
        for stage in self.encoder:
            x = stage(x)
            maps.append(x)
        return maps

    def decode(self, maps: Sequence[Tensor]) -> Tensor:
        """The encoder's maps -> logits (B, 19, H / 2, W / 2)."""
        whole = self.gate(maps[-1].mean((2, 3), keepdim=True)).sigmoid()
        x = self.top(maps[-1] * whole)
        for level in (2, 1, 0):
            x = self.mixes[level](enlarged(x) + self.skips[level](maps[level + 1]))
            if level:
                x = self.narrowing[level - 1](x)
        x = F.relu(F.pixel_shuffle(self.fine(x), 2) + self.fine_skip(maps[0]))
        out: Tensor = self.out(self.last(x))
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1, sides multiples of 32 -> logits (B, 19, H / 2, W / 2)."""
        return self.decode(self.features(pictures))


def enlarged(maps: Tensor) -> Tensor:
    """Twice the height and width, bilinear; the outer corners stay where they are."""
    return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)


def folded(network: ParseNet) -> ParseNet:
    """The network with its batch norms merged into the convolutions before them, in place: for inference only."""
    for unit in [module for module in network.eval().modules() if isinstance(module, Unit)]:
        conv, norm = unit[0], unit[1]
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        unit[0], unit[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network
