"""The network that observes: keypoints, head pose, expression, shift and scale of a picture. ConvNeXt V2 (Woo et al. 2023), keys as published.

Source: LivePortrait src/modules/{motion_extractor,convnextv2}.py at 1986663.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYPOINTS = 21
OWN = "canonical"  # name of the rows with a face's own keypoints in rest
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
    """Global response norm of (B, H, W, C): each channel by its energy over that of all channels, plus the input."""

    def __init__(self, channels: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        energy = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + EPSILON)
        return torch.addcmul(self.beta, x, self.gamma * share + 1)


class Block(nn.Module):
    """Depthwise 7 x 7, layer norm, wide layer, GELU, response norm, narrow layer, plus the input."""

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


class Observed(NamedTuple):
    """Raw outputs: pitch, yaw, roll (B, 66) bin scores; shift (B, 3); expression, canonical (B, 63), 21 triples; scale (B, 1)."""

    pitch: Tensor
    yaw: Tensor
    roll: Tensor
    shift: Tensor
    expression: Tensor
    scale: Tensor
    canonical: Tensor

    def angles(self) -> Tensor:
        """(B, 3) pitch, yaw, roll in degrees: the mean of each head's bins, 3 degrees apart from -97.5 on."""
        bins = torch.softmax(torch.stack([self.pitch, self.yaw, self.roll], 1), -1)
        return (bins * torch.arange(BINS, device=bins.device, dtype=bins.dtype)).sum(-1) * 3 - 97.5


class ConvNext(nn.Module):
    """Picture -> `Observed`. widths: channels of the four stages."""

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
            nn.Sequential(*(Block(w) for _ in range(n)))
            for n, w in zip(DEPTHS, widths, strict=True)
        )
        self.stages = nn.ModuleList(stages)
        last = widths[-1]
        self.norm = nn.LayerNorm(last, eps=EPSILON)
        self.fc_kp, self.fc_exp = nn.Linear(last, 3 * KEYPOINTS), nn.Linear(last, 3 * KEYPOINTS)
        self.fc_scale, self.fc_t = nn.Linear(last, 1), nn.Linear(last, 3)
        self.fc_pitch, self.fc_yaw, self.fc_roll = (
            nn.Linear(last, BINS),
            nn.Linear(last, BINS),
            nn.Linear(last, BINS),
        )

    def forward(self, picture: Tensor) -> Observed:
        x = picture
        for reduce, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(reduce(x))
        x = self.norm(x.mean((2, 3)))
        heads = (
            self.fc_pitch,
            self.fc_yaw,
            self.fc_roll,
            self.fc_t,
            self.fc_exp,
            self.fc_scale,
            self.fc_kp,
        )
        return Observed(*(head(x).float() for head in heads))


class MotionExtractor(nn.Module):
    """Picture (B, 3, 256, 256) RGB in [0, 1] -> `Observed`. narrow: divides every width (1: as published)."""

    EXACT = True  # small networks whose errors would move keypoints

    def __init__(self, *, narrow: int = 1):
        super().__init__()
        self.detector = ConvNext([width // narrow for width in WIDTHS])

    def forward(self, picture: Tensor) -> Observed:
        out: Observed = self.detector(picture)
        return out
