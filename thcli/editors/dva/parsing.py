"""Face mask of DVA: BiSeNet's 19 regions, some of which are background.

Source: Yu et al. 2018; the layout follows zllrunning/face-parsing.PyTorch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.editors.dva.landmarks import normalize_imagenet

REGIONS = 19
INPUT_SIZE, MASK_SIZE = 512, 256  # pixels of the input and of a mask, for images of any size
BACKGROUND = (0, 16, 18)  # background, cloth, hat
VIDEO_BACKGROUND = (*BACKGROUND, 7, 8, 14, 17)  # ears, neck and hair too


class ConvBnRelu(nn.Module):
    """Convolution, norm and ReLU."""

    FOLDS = (("conv", "bn"),)

    def __init__(self, in_channels: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """ResNet's block of two convolutions."""

    FOLDS = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, in_channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride > 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Backbone with feature maps at 1/8, 1/16 and 1/32."""

    FOLDS = (("conv1", "bn1"),)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(BasicBlock(64, 64, 1), BasicBlock(64, 64, 1))
        self.layer2 = nn.Sequential(BasicBlock(64, 128, 2), BasicBlock(128, 128, 1))
        self.layer3 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1))
        self.layer4 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class AttentionRefinement(nn.Module):
    """Convolution whose output is scaled by a gate computed from its channel means."""

    FOLDS = (("conv_atten", "bn_atten"),)

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(in_channels, 128)
        self.conv_atten = nn.Conv2d(128, 128, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(128)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        gate: Tensor = self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))).sigmoid()
        return x * gate


class ContextPath(nn.Module):
    """Backbone and upsampling path."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16, self.arm32 = AttentionRefinement(256), AttentionRefinement(512)
        self.conv_head32, self.conv_head16 = ConvBnRelu(128, 128), ConvBnRelu(128, 128)
        self.conv_avg = ConvBnRelu(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the map at 1/8, and the heads' inputs at 1/8 and 1/16."""
        eighth, sixteenth, last = self.resnet(x)
        top = self.arm32(last) + self.conv_avg(last.mean((2, 3), keepdim=True))
        head16 = self.conv_head32(F.interpolate(top, sixteenth.shape[2:], mode="nearest"))
        middle = self.arm16(sixteenth) + head16
        head8 = self.conv_head16(F.interpolate(middle, eighth.shape[2:], mode="nearest"))
        return eighth, head8, head16


class FeatureFusion(nn.Module):
    """Fusion of two maps, with a channel gate added to the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = ConvBnRelu(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x: Tensor = self.convblk(torch.cat([first, second], 1))
        gate: Tensor = self.conv2(F.relu(self.conv1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * gate + x


class SegmentationHead(nn.Module):
    """Head that predicts the regions' logits."""

    def __init__(self, in_channels: int, hidden_channels: int) -> None:
        super().__init__()
        self.conv = ConvBnRelu(in_channels, hidden_channels)
        self.conv_out = nn.Conv2d(hidden_channels, REGIONS, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_out(self.conv(x))
        return out


class BiSeNet(nn.Module):
    """Segmentation network that maps (B, 3, H, W) to logits (B, 19, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion()
        self.conv_out, self.conv_out16, self.conv_out32 = (
            SegmentationHead(256, 256),
            SegmentationHead(128, 64),
            SegmentationHead(128, 64),
        )

    def forward(self, x: Tensor) -> Tensor:
        eighth, head8, _ = self.cp(x)
        return upsample_like(self.conv_out(self.ffm(eighth, head8)), x)

    def auxiliary_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of the training heads at 1/8 and 1/16."""
        _, head8, head16 = self.cp(x)
        return upsample_like(self.conv_out16(head8), x), upsample_like(self.conv_out32(head16), x)


class ParsingNet(nn.Module):
    """Network that maps images to face masks."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = BiSeNet()

    def logits(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in [-1, 1] to (B, 19, 512, 512)."""
        out: Tensor = self.backbone(preprocess(images))
        return out

    def forward(self, images: Tensor, background: tuple[int, ...] = BACKGROUND) -> Tensor:
        """Map (B, 3, H, W) RGB in [-1, 1] to masks (B, 1, 256, 256), 1 on the face, else 0."""
        return foreground(self.logits(images), background)


def preprocess(images: Tensor) -> Tensor:
    """Convert images in [-1, 1] to the network's input (B, 3, 512, 512)."""
    return normalize_imagenet(
        F.interpolate(images, (INPUT_SIZE, INPUT_SIZE), mode="nearest").clamp(-1, 1)
    )


def foreground(logits: Tensor, background: tuple[int, ...] = BACKGROUND) -> Tensor:
    """Convert logits (B, 19, H, W) to masks (B, 1, 256, 256).

    A mask is 1 where the likeliest region is not in `background`, else 0.
    """
    out_of = torch.ones(REGIONS, device=logits.device)
    out_of[list(background)] = 0
    return F.interpolate(out_of[logits.argmax(1)][:, None], (MASK_SIZE, MASK_SIZE), mode="nearest")


def upsample_like(logits: Tensor, like: Tensor) -> Tensor:
    """Resize logits bilinearly with aligned corners, as in training."""
    return F.interpolate(logits, like.shape[2:], mode="bilinear", align_corners=True)
