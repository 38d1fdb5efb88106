"""Identity encoder of DVA: ArcFace's IR-SE50 as TreB1eN published it.

Its input is RGB in [-1, 1] of an FFHQ crop.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

LENGTH = 512
# Channels and blocks of each stage; the first block of a stage halves the map.
GROUPS = ((64, 3), (128, 4), (256, 14), (512, 3))
SQUEEZE = 16
CROP_SIZE, SIDE = 256, 112  # pixels of the crop, and of the network's input
ROWS, COLUMNS = slice(35, 223), slice(32, 220)


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation: scales each channel by a gate computed from all channel means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * gate


class Block(nn.Module):
    """Residual block of norm, two convolutions and squeeze-and-excitation.

    There is no activation after the sum.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if in_channels != out_channels:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 3, 1, 1, bias=False),
            nn.PReLU(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcitation(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IrSe50(nn.Module):
    """Backbone that maps (B, 3, 112, 112) to (B, 512), not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        flat = 512 * (SIDE // 16) ** 2
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(flat, LENGTH),
            nn.BatchNorm1d(LENGTH),
        )
        blocks, in_channels = [], 64
        for channels, count in GROUPS:
            for number in range(count):
                blocks.append(Block(in_channels, channels, 1 if number else 2))
                in_channels = channels
        self.body = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output_layer(self.body(self.input_layer(x)))
        return out


class IdentityNet(nn.Module):
    """Network that maps images to identities."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = IrSe50()

    def encode_unnormalized(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in [-1, 1] to (B, 512) before normalisation."""
        if images.shape[2] != CROP_SIZE:
            images = F.adaptive_avg_pool2d(images, CROP_SIZE)
        out: Tensor = self.backbone(F.adaptive_avg_pool2d(images[:, :, ROWS, COLUMNS], SIDE))
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in [-1, 1] to (B, 512) of unit length."""
        found = self.encode_unnormalized(images).float()
        length: Tensor = found.norm(dim=1, keepdim=True)
        return found / length
