"""Who a face is, to DVA: ArcFace's IR-SE50 as TreB1eN published it, on RGB in [-1, 1] of an FFHQ crop."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

LENGTH = 512
GROUPS = (
    (64, 3),
    (128, 4),
    (256, 14),
    (512, 3),
)  # channels, blocks; the first block of each halves the map
SQUEEZE = 16
INSIDE, SIDE = 256, 112  # pixels of the crop that is cut from, and of what the network sees
ROWS, COLUMNS = slice(35, 223), slice(32, 220)


class Gate(nn.Module):
    """Squeeze and excitation: every channel times a share that all of them decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        share: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * share


class Block(nn.Module):
    """Norm, two convolutions, gate, beside the way through; nothing after the sum."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if before != after:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(before),
            nn.Conv2d(before, after, 3, 1, 1, bias=False),
            nn.PReLU(after),
            nn.Conv2d(after, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            Gate(after),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IrSe50(nn.Module):
    """(B, 3, 112, 112) -> (B, 512), of any length."""

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
        blocks, before = [], 64
        for channels, count in GROUPS:
            for number in range(count):
                blocks.append(Block(before, channels, 1 if number else 2))
                before = channels
        self.body = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.output_layer(self.body(self.input_layer(x)))
        return out


class IdentityNet(nn.Module):
    """Pictures -> identities."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = IrSe50()

    def unscaled(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] -> (B, 512), before they are brought to unit length."""
        if pictures.shape[2] != INSIDE:
            pictures = F.adaptive_avg_pool2d(pictures, INSIDE)
        out: Tensor = self.backbone(F.adaptive_avg_pool2d(pictures[:, :, ROWS, COLUMNS], SIDE))
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] -> (B, 512) of unit length."""
        found = self.unscaled(pictures).float()
        length: Tensor = found.norm(dim=1, keepdim=True)
        return found / length
