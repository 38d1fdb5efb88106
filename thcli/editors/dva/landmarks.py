"""Landmark encoder of DVA: 51 points by a MobileNetV2 with a global depthwise convolution.

Source: cunjian/pytorch_face_landmark; the backbone is torchvision's mobilenet_v2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

POINTS, JAW = 68, 17  # the jaw's points are dropped
LENGTH = 2 * (POINTS - JAW)
SIDE, CROP = 224, slice(16, 240)  # pixels of the input, the centre of a 256-pixel crop
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
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
LAST_CHANNELS = 1280


def conv_bn_relu6(
    in_channels: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution, norm and ReLU6."""
    conv = nn.Conv2d(in_channels, out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and projection; plus the input where shapes allow."""

    def __init__(self, in_channels: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        self.is_residual = stride == 1 and in_channels == out
        hidden_channels = in_channels * expand
        layers = [conv_bn_relu6(in_channels, hidden_channels, 1)] if expand != 1 else []
        self.conv = nn.Sequential(
            *layers,
            conv_bn_relu6(hidden_channels, hidden_channels, 3, stride, hidden_channels),
            nn.Conv2d(hidden_channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.is_residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 with the classifier of the checkpoint, which is never run."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn_relu6(3, 32, stride=2)]
        in_channels = 32
        for expand, out, repeats, stride in GROUPS:
            for number in range(repeats):
                layers.append(InvertedResidual(in_channels, out, 1 if number else stride, expand))
                in_channels = out
        self.features = nn.Sequential(*layers, conv_bn_relu6(in_channels, LAST_CHANNELS, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(LAST_CHANNELS, 1000))


class Projection(nn.Module):
    """Convolution and norm without activation."""

    FOLDS = (("conv", "bn"),)

    def __init__(self, in_channels: int, out: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out, kernel, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out


class GlobalDepthwise(nn.Module):
    """Network that maps (B, 3, 224, 224) to (B, 136).

    The backbone has two names, as in the checkpoint. It is one module; the second name's tensors
    win.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pretrain_net = MobileNetV2()
        self.base_net = nn.Sequential(self.pretrain_net.features)
        self.linear7 = Projection(LAST_CHANNELS, LAST_CHANNELS, 7, LAST_CHANNELS)
        self.linear1 = Projection(LAST_CHANNELS, 2 * POINTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear1(self.linear7(self.base_net(x)))
        return out.flatten(1)


class LandmarkNet(nn.Module):
    """Network that maps images to landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = GlobalDepthwise()

    def predict_points(self, images: Tensor) -> Tensor:
        """Map (B, 3, 256, 256) RGB in [-1, 1] to (B, 136): x0, y0, x1, y1 ... of 68 points.

        Coordinates are shares of the 224 pixels, not clamped.
        """
        if images.shape[2] != SIDE:
            images = images[:, :, CROP, CROP]
        out: Tensor = self.backbone(normalize_imagenet(images))
        return out

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, 256, 256) RGB in [-1, 1] to (B, 102): x0, y0, ... of 51 points in 0..1."""
        return self.predict_points(images).float().clamp(0, 1)[:, 2 * JAW :]


def normalize_imagenet(images: Tensor) -> Tensor:
    """Normalise RGB in [-1, 1] by ImageNet's mean and standard deviation."""
    mean, spread = (
        torch.tensor(numbers, device=images.device)[:, None, None] for numbers in (MEAN, STD)
    )
    return ((images + 1) / 2 - mean) / spread
