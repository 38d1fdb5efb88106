"""Convolution blocks of the warping networks; attribute names are the published checkpoints' keys.

`dims` is 2 for (B, C, H, W) and 3 for (B, C, D, H, W), or FLAT for the latter with kernels of depth
1; depth is never scaled. A block that normalises lists in FOLDS which convolution is followed by
which norm, so that `fast.prepare_network` can merge the two.
Sources: first-order-model modules/util.py; face-vid2vid modules/util.py; monkey-net
modules/util.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.fast_conv.enlarged import UpsampleConv, is_faster

FLAT = 1


def convolution(
    dims: int, inputs: int, outputs: int, kernel: int, groups: int = 1, padding: int | None = None
) -> nn.Module:
    """Create a biased convolution, zero-padded to keep the size unless `padding` is given."""
    pad = kernel // 2 if padding is None else padding
    if dims == FLAT:
        return nn.Conv3d(inputs, outputs, (1, kernel, kernel), padding=(0, pad, pad), groups=groups)
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(inputs, outputs, kernel, padding=pad, groups=groups)


def norm(dims: int, channels: int) -> nn.Module:
    """Create a batch norm: eps 1e-5, affine, running statistics."""
    return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm3d(channels)


def rectify(x: Tensor, slope: float = 0.0) -> Tensor:
    """Apply ReLU, leaky when slope is not 0; in place where no gradient can pass."""
    inplace = not torch.is_grad_enabled()
    return F.leaky_relu(x, slope, inplace) if slope else F.relu(x, inplace)


class SameBlock(nn.Module):
    """Convolution, norm and (leaky) ReLU; the size is kept."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv", "norm"),)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        dims: int = 2,
        groups: int = 1,
        slope: float = 0.0,
    ):
        super().__init__()
        self.conv = convolution(dims, inputs, outputs, kernel, groups)
        self.norm = norm(dims, outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return rectify(self.norm(self.conv(x)), self.slope)


class DownBlock(SameBlock):
    """Convolution 3, norm, ReLU and 2 x 2 average pooling: half the height and width."""

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2):
        super().__init__(inputs, outputs, dims=dims)
        self.pool: nn.Module = nn.AvgPool2d(2) if dims == 2 else nn.AvgPool3d((1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(super().forward(x))
        return out


class UpBlock(SameBlock):
    """Nearest upsampling x 2 in height and width, convolution 3, norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2):
        super().__init__(inputs, outputs, dims=dims)
        self.enlarge: nn.Module = nn.Upsample(
            scale_factor=2 if dims == 2 else (1, 2, 2), mode="nearest"
        )

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.enlarge(x))

    def fuse_for_inference(self) -> None:
        """Merge upsampling and convolution into one step."""
        if isinstance(self.conv, nn.Conv2d | nn.Conv3d) and is_faster(self.conv):
            self.conv, self.enlarge = UpsampleConv(self.conv, 2), nn.Identity()


class ResidualBlock(nn.Module):
    """norm1, ReLU, conv1, norm2, ReLU, conv2, plus the input; no activation after."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv1", "norm2"),)

    def __init__(self, channels: int, *, dims: int = 2):
        super().__init__()
        self.conv1 = convolution(dims, channels, channels, 3)
        self.conv2 = convolution(dims, channels, channels, 3)
        self.norm1 = norm(dims, channels)
        self.norm2 = norm(dims, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(rectify(self.norm1(x)))
        out: Tensor = self.conv2(rectify(self.norm2(y)))
        return out.add_(x)


def residual_blocks(stem: str, count: int, channels: int, *, dims: int = 2) -> nn.Sequential:
    """Create `count` residual blocks in sequence, named stem0, stem1, …"""
    out = nn.Sequential()
    for i in range(count):
        out.add_module(f"{stem}{i}", ResidualBlock(channels, dims=dims))
    return out


class AntiAlias(nn.Module):
    """Reduction of (B, C, H, W) by a whole factor: a Gaussian, then every factor-th pixel from 0.

    The kernel is a buffer of the checkpoint: sigma (factor - 1) / 2, 2 * round(4 sigma) + 1 taps,
    zero padding.
    """

    weight: Tensor

    def __init__(self, channels: int, factor: int):
        super().__init__()
        sigma = (factor - 1) / 2
        half = round(4 * sigma)
        line = torch.exp(-((torch.arange(2 * half + 1) - half) ** 2) / (2 * sigma**2))
        kernel = torch.outer(line, line)
        self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone())
        self.factor, self.margin = factor, half

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=self.factor, padding=self.margin, groups=x.shape[1])


@dataclass(frozen=True, slots=True)
class PyramidSize:
    """Size of an encoder and its decoder, in the published configs' terms.

    expansion: width of the largest level (block_expansion).  inputs: channels of the input.
    blocks: number of levels.  max_width: limit of every level's width (max_features).
    """

    expansion: int
    inputs: int
    blocks: int
    max_width: int

    def width(self, level: int) -> int:
        """Return the width of a level; level 0 has the input's resolution."""
        return min(self.max_width, self.expansion << level)


class Encoder(nn.Module):
    """Down blocks; the output is the input and every block's output."""

    def __init__(self, size: PyramidSize, *, dims: int = 2):
        super().__init__()
        widths = [size.inputs, *(size.width(i + 1) for i in range(size.blocks))]
        self.down_blocks = nn.ModuleList(DownBlock(a, b, dims=dims) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> list[Tensor]:
        out = [x]
        for block in self.down_blocks:
            out.append(block(out[-1]))
        return out


class Decoder(nn.Module):
    """Up blocks with skips: after each, the encoder's tensor of that size is appended.

    The channels are the block's output, then the skip. The result has expansion + inputs + extra
    channels, or, after a last convolution 3, `outputs` channels, followed by norm and ReLU when
    `normed`.

    extra: channels of every skip beyond the encoder's own.
    """

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv", "norm"),)

    def __init__(
        self,
        size: PyramidSize,
        *,
        dims: int = 2,
        extra: int = 0,
        outputs: int = 0,
        normed: bool = False,
    ):
        super().__init__()
        ups = []
        for i in reversed(range(size.blocks)):
            skips = 1 if i == size.blocks - 1 else 2
            ups.append(UpBlock(skips * size.width(i + 1) + extra, size.width(i), dims=dims))
        self.up_blocks = nn.ModuleList(ups)
        wide = size.expansion + size.inputs + extra
        self.conv: nn.Module = convolution(dims, wide, outputs, 3) if outputs else nn.Identity()
        self.norm: nn.Module = norm(dims, outputs) if normed else nn.Identity()
        self.channels, self.normed = outputs or wide, normed

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        x = skips[-1]
        for block, skip in zip(self.up_blocks, reversed(skips[:-1]), strict=True):
            x = torch.cat([block(x), skip], 1)
        x = self.norm(self.conv(x))
        return rectify(x) if self.normed else x


class Hourglass(nn.Module):
    """Encoder and decoder with skips at every size; outputs and normed as in `Decoder`."""

    def __init__(self, size: PyramidSize, *, dims: int = 2, outputs: int = 0, normed: bool = False):
        super().__init__()
        self.encoder = Encoder(size, dims=dims)
        self.decoder = Decoder(size, dims=dims, outputs=outputs, normed=normed)
        self.channels = self.decoder.channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(x))
        return out
