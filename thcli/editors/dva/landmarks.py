"""How a face lies and what it does, to DVA: 51 points by a MobileNetV2 with a global depthwise convolution at its end.

Source: cunjian/pytorch_face_landmark; the trunk is torchvision's mobilenet_v2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

POINTS, JAW = 68, 17  # the points of the outline are left out
LENGTH = 2 * (POINTS - JAW)
SIDE, CROP = 224, slice(16, 240)  # pixels that it sees, cut from the middle of 256
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# expansion, channels, repeats, stride of the first
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
WIDE = 1280


def unit(inside: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, norm, ReLU6."""
    conv = nn.Conv2d(inside, out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Inverted(nn.Module):
    """Expansion, a depthwise convolution, projection; plus the input where shapes allow."""

    def __init__(self, inside: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        self.straight = stride == 1 and inside == out
        wide = inside * expand
        layers = [unit(inside, wide, 1)] if expand != 1 else []
        self.conv = nn.Sequential(
            *layers,
            unit(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.straight else out


class MobileNetV2(nn.Module):
    """The trunk, and the classifier that the checkpoint carries along; it is never run."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [unit(3, 32, stride=2)]
        inside = 32
        for expand, out, repeats, stride in GROUPS:
            for number in range(repeats):
                layers.append(Inverted(inside, out, 1 if number else stride, expand))
                inside = out
        self.features = nn.Sequential(*layers, unit(inside, WIDE, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDE, 1000))


class Projection(nn.Module):
    """Convolution and norm, no activation."""

    FOLDS = (("conv", "bn"),)

    def __init__(self, inside: int, out: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class GlobalDepthwise(nn.Module):
    """(B, 3, 224, 224) -> (B, 136). The trunk has two names, as in the checkpoint: it is one, and the second name's tensors hold."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrain_net = MobileNetV2()
        self.base_net = nn.Sequential(self.pretrain_net.features)
        self.linear7 = Projection(WIDE, WIDE, 7, WIDE)
        self.linear1 = Projection(WIDE, 2 * POINTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear1(self.linear7(self.base_net(x)))
        return out.flatten(1)


class LandmarkNet(nn.Module):
    """Pictures -> landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = GlobalDepthwise()

    def all_points(self, pictures: Tensor) -> Tensor:
        """(B, 3, 256, 256) RGB in [-1, 1] -> (B, 136): x0, y0, x1, y1 ... of 68 points, in shares of the 224 pixels, as they come."""
        if pictures.shape[2] != SIDE:
            pictures = pictures[:, :, CROP, CROP]
        out: Tensor = self.backbone(imagenet(pictures))
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, 3, 256, 256) RGB in [-1, 1] -> (B, 102): x0, y0, x1, y1 ... of the 51 inner points, in 0..1."""
        return self.all_points(pictures).float().clamp(0, 1)[:, 2 * JAW :]


def imagenet(pictures: Tensor) -> Tensor:
    """RGB in [-1, 1] by ImageNet's mean and spread."""
    mean, spread = (
        torch.tensor(numbers, device=pictures.device)[:, None, None] for numbers in (MEAN, SPREAD)
    )
    return ((pictures + 1) / 2 - mean) / spread
