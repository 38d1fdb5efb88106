"""LivePortrait's motion extractor, a ConvNeXt V2 (Woo et al. 2023), with the keys as published.

It gives keypoints, head pose, expression, shift and scale of an image.
Source: LivePortrait src/modules/{motion_extractor,convnextv2}.py at 1986663.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYPOINTS = 21
CANONICAL = "canonical"  # name of the motion rows with a face's keypoints at rest
BINS = 66
DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
EPSILON = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Global response norm of (B, H, W, C).

    Each channel is weighted by its energy over that of all channels; the input is added.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + EPSILON)
        return torch.addcmul(self.beta, x, self.gamma * share + 1)


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7, layer norm, wide layer, GELU, response norm, narrow layer; residual."""

    def __init__(self, channels: int):
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = ResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))
        out: Tensor = x + y.permute(0, 3, 1, 2)
        return out


class MotionOutput(NamedTuple):
    """Raw outputs of the extractor.

    pitch, yaw, roll: (B, 66) bin scores.  shift: (B, 3).  expression, canonical: (B, 63), 21
    triples. scale: (B, 1).
    """

    pitch: Tensor
    yaw: Tensor
    roll: Tensor
    shift: Tensor
    expression: Tensor
    scale: Tensor
    canonical: Tensor

    def angles(self) -> Tensor:
        """Compute pitch, yaw, roll (B, 3) in degrees.

        An angle is the mean of its bins, which are 3 degrees apart from -97.5 on.
        """
        bins = torch.softmax(torch.stack([self.pitch, self.yaw, self.roll], 1), -1)
        return (bins * torch.arange(BINS, device=bins.device, dtype=bins.dtype)).sum(-1) * 3 - 97.5


class ConvNext(nn.Module):
    """ConvNeXt V2 with seven heads. widths: channels of the four stages."""

    def __init__(self, widths: Sequence[int] = WIDTHS):
        super().__init__()
        self.downsample_layers = nn.ModuleList()
        for i, width in enumerate(widths):
            if i == 0:
                layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 4), ChannelNorm(width)]
            else:
                layers = [ChannelNorm(widths[i - 1]), nn.Conv2d(widths[i - 1], width, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*layers))
        stages = (
            nn.Sequential(*(ConvNextBlock(w) for _ in range(n)))
            for n, w in zip(DEPTHS, widths, strict=True)
        )
        self.stages = nn.ModuleList(stages)
        last = widths[-1]
        self.norm = nn.LayerNorm(last, eps=EPSILON)
        self.fc_kp, self.fc_exp = nn.Linear(last, 3 * KEYPOINTS), nn.Linear(last, 3 * KEYPOINTS)
        self.fc_scale, self.fc_t = nn.Linear(last, 1), nn.Linear(last, 3)
        self.fc_pitch, self.fc_yaw = nn.Linear(last, BINS), nn.Linear(last, BINS)
        self.fc_roll = nn.Linear(last, BINS)

    def forward(self, image: Tensor) -> MotionOutput:
        x = image
        for reduce, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(reduce(x))
        x = self.norm(x.mean((2, 3)))
        angle_heads = (self.fc_pitch, self.fc_yaw, self.fc_roll)
        heads = (*angle_heads, self.fc_t, self.fc_exp, self.fc_scale, self.fc_kp)
        return MotionOutput(*(head(x).float() for head in heads))


class MotionExtractor(nn.Module):
    """Motion extractor of images (B, 3, 256, 256) RGB in [0, 1].

    width_divisor: divides every width (1: as published).
    """

    EXACT = True  # a small network whose errors would move keypoints

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        self.detector = ConvNext([width // width_divisor for width in WIDTHS])

    def forward(self, image: Tensor) -> MotionOutput:
        out: MotionOutput = self.detector(image)
        return out
