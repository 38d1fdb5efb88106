"""Low-resolution encoder: a dilated ResNet-34 and atrous spatial pyramid pooling.

Sources: He et al. 2016; Chen et al. 2017, sec. 3.3 (DeepLabv3). Keys as published in
Real3DPortrait modules/img2plane/deeplabv3 at a9d70c7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.shared.networks.layers import rectify

# Blocks, stride and dilation of the four layers: the last two keep the size and dilate instead.
LAYERS = ((3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4))
RATES = (12, 24, 36)  # dilations of the pyramid


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with norms, plus the input."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, dilation, dilation, bias=False)
        self.bn2: nn.Module = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(rectify(self.bn1(self.conv1(x)))))
        return rectify(y + (x if self.downsample is None else self.downsample(x)))


class ResNet34(nn.Module):
    """ResNet-34 whose last two layers are dilated: (B, C, H, W) to (B, 512, H / 8, W / 8)."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv1", "bn1"),)

    def __init__(self, inputs: int, *, width_divisor: int = 1):
        super().__init__()
        width = 64 // width_divisor
        self.conv1 = nn.Conv2d(inputs, width, 7, 2, 3, bias=False)
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        before = width
        for number, (count, stride, dilation) in enumerate(LAYERS):
            after = width << number
            blocks = [BasicBlock(before, after, stride, dilation)]
            blocks += [BasicBlock(after, after, 1, dilation) for _ in range(count - 1)]
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            before = after

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(rectify(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(len(LAYERS)):
            x = self.get_submodule(f"layer{number + 1}")(x)
        return x


class PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: three dilations, a 1 x 1 convolution and the mean."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        kinds: list[nn.Module] = [nn.Sequential(nn.Conv2d(inputs, width, 1, bias=False), nn.ReLU())]
        kinds += [
            nn.Sequential(
                nn.Conv2d(inputs, width, 3, padding=rate, dilation=rate, bias=False), nn.ReLU()
            )
            for rate in RATES
        ]
        pooled = nn.Conv2d(inputs, width, 1, bias=False)
        kinds.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), pooled, nn.ReLU()))
        self.convs = nn.ModuleList(kinds)
        self.project = nn.Sequential(
            nn.Conv2d(width * len(kinds), width, 1, bias=False), nn.ReLU(), nn.Dropout(0.5)
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [conv(x) for conv in self.convs]
        parts[-1] = parts[-1].expand_as(parts[0])  # one pixel, enlarged
        out: Tensor = self.project(torch.cat(parts, 1))
        return out


class LowResolutionEncoder(nn.Module):
    """Image (B, C, H, W) to features (B, 256, H / 8, W / 8)."""

    def __init__(self, inputs: int, *, width_divisor: int = 1):
        super().__init__()
        width = 256 // width_divisor
        self.encoder = ResNet34(inputs, width_divisor=width_divisor)
        self.decoder = nn.Sequential(
            PyramidPooling(2 * width, width), nn.Conv2d(width, width, 3, padding=1, bias=False)
        )

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.decoder(self.encoder(image))
        return out
