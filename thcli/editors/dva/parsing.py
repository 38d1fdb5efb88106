"""Where the face is, to DVA: BiSeNet's 19 regions, of which some are background.

Source: Yu et al. 2018; the layout is that of zllrunning/face-parsing.PyTorch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.editors.dva.landmarks import imagenet

REGIONS = 19
SEEN, MASK = 512, 256  # pixels that it sees, and of a mask, whatever the picture's
BACKGROUND = (0, 16, 18)  # background, cloth, hat
VIDEO_BACKGROUND = (*BACKGROUND, 7, 8, 14, 17)  # ears, neck and hair too


class Unit(nn.Module):
    """Convolution, norm, ReLU."""

    FOLDS = (("conv", "bn"),)

    def __init__(self, inside: int, out: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, out, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Basic(nn.Module):
    """ResNet's block of two convolutions."""

    FOLDS = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride > 1 or inside != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(h + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """Maps at an eighth, a sixteenth and a thirty-second."""

    FOLDS = (("conv1", "bn1"),)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Basic(64, 64, 1), Basic(64, 64, 1))
        self.layer2 = nn.Sequential(Basic(64, 128, 2), Basic(128, 128, 1))
        self.layer3 = nn.Sequential(Basic(128, 256, 2), Basic(256, 256, 1))
        self.layer4 = nn.Sequential(Basic(256, 512, 2), Basic(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class Refinement(nn.Module):
    """A map times what its own mean says of each channel."""

    FOLDS = (("conv_atten", "bn_atten"),)

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.conv = Unit(inside, 128)
        self.conv_atten = nn.Conv2d(128, 128, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(128)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        share: Tensor = self.bn_atten(self.conv_atten(x.mean((2, 3), keepdim=True))).sigmoid()
        return x * share


class ContextPath(nn.Module):
    """The trunk, and what comes back from its top."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16, self.arm32 = Refinement(256), Refinement(512)
        self.conv_head32, self.conv_head16 = Unit(128, 128), Unit(128, 128)
        self.conv_avg = Unit(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The map at an eighth, and the heads at an eighth and a sixteenth."""
        eighth, sixteenth, last = self.resnet(x)
        top = self.arm32(last) + self.conv_avg(last.mean((2, 3), keepdim=True))
        head16 = self.conv_head32(F.interpolate(top, sixteenth.shape[2:], mode="nearest"))
        middle = self.arm16(sixteenth) + head16
        head8 = self.conv_head16(F.interpolate(middle, eighth.shape[2:], mode="nearest"))
        return eighth, head8, head16


class Fusion(nn.Module):
    """Two maps as one, whose mean says how much of each channel counts twice."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = Unit(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x: Tensor = self.convblk(torch.cat([first, second], 1))
        share: Tensor = self.conv2(F.relu(self.conv1(x.mean((2, 3), keepdim=True)))).sigmoid()
        return x * share + x


class Head(nn.Module):
    """The regions' logits."""

    def __init__(self, inside: int, wide: int) -> None:
        super().__init__()
        self.conv = Unit(inside, wide)
        self.conv_out = nn.Conv2d(wide, REGIONS, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_out(self.conv(x))
        return out


class BiSeNet(nn.Module):
    """(B, 3, H, W) -> logits (B, 19, H, W), and those of its two helpers in training."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out, self.conv_out16, self.conv_out32 = (
            Head(256, 256),
            Head(128, 64),
            Head(128, 64),
        )

    def forward(self, x: Tensor) -> Tensor:
        eighth, head8, _ = self.cp(x)
        return enlarged(self.conv_out(self.ffm(eighth, head8)), x)

    def helpers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits by the heads at an eighth and a sixteenth alone."""
        _, head8, head16 = self.cp(x)
        return enlarged(self.conv_out16(head8), x), enlarged(self.conv_out32(head16), x)


class ParsingNet(nn.Module):
    """Pictures -> masks."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = BiSeNet()

    def logits(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] -> (B, 19, 512, 512)."""
        out: Tensor = self.backbone(seen(pictures))
        return out

    def forward(self, pictures: Tensor, background: tuple[int, ...] = BACKGROUND) -> Tensor:
        """(B, 3, H, W) RGB in [-1, 1] -> (B, 1, 256, 256), 1 where the face is, else 0."""
        return foreground(self.logits(pictures), background)


def seen(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] as the network takes them, (B, 3, 512, 512)."""
    return imagenet(F.interpolate(pictures, (SEEN, SEEN), mode="nearest").clamp(-1, 1))


def foreground(logits: Tensor, background: tuple[int, ...] = BACKGROUND) -> Tensor:
    """Logits (B, 19, H, W) -> (B, 1, 256, 256), 1 where the likeliest region is not of the background, else 0."""
    out_of = torch.ones(REGIONS, device=logits.device)
    out_of[list(background)] = 0
    return F.interpolate(out_of[logits.argmax(1)][:, None], (MASK, MASK), mode="nearest")


def enlarged(logits: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners on corners, as it was trained."""
    return F.interpolate(logits, like.shape[2:], mode="bilinear", align_corners=True)
