"""FADM's attribute-guided conditioning network: a condition image from the coarse frame at three resolutions, its colours, and the
difference of 3-D attributes between source and driving.

What depends on the pictures alone is read once a frame (`read`); the rest follows the step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.refiners.fadm.alignment import RefinerInput
from thcli.refiners.fadm.blocks import Block, Plain

COARSEST = 8  # the coarse frame's side over that of its lowest resolution
LEVELS = 3
ALPHA = 0.3
LEVEL_COLOUR = 0.4  # of the driving colours, added to each resolution's feature
OUT_COLOUR = 0.2  # and to the coarse frame's own colours
LOUDEST = 0.4  # of the largest attributes, added to w


class Conditions(NamedTuple):
    """What the pictures tell, RGB in [0, 1]. levels: (B, 3, n / 8), (B, 3, n / 4), (B, 3, n / 2) of the coarse frame, n a side.

    generated, driving: (B, 3, n, n) blocks of one colour, of the coarse and of the driving frame.
    """

    levels: tuple[Tensor, ...]
    generated: Tensor
    driving: Tensor

    @classmethod
    def of(cls, coarse: Tensor, driving: Tensor | None = None) -> Conditions:
        """Of coarse and driving frames (B, 3, n, n), n divisible by 8; without a driving frame the coarse one stands for it.

        Reduced to the nearest pixel, the upper left one of each square.
        """
        steps = [COARSEST >> level for level in range(LEVELS)]
        levels = tuple(coarse[..., ::step, ::step] for step in steps)
        generated = _blocks(levels[0])
        return cls(
            levels,
            generated,
            generated if driving is None else _blocks(driving[..., ::COARSEST, ::COARSEST]),
        )


def _blocks(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=float(COARSEST), mode="nearest")


class Read(NamedTuple):
    """What a frame gives once, (B, C, n, n) each: the levels' features as `gains` weigh them, and the colours.

    apart: mean distance of the generated and the driving colours, the loss that aligns them.  beside: what the U-Net sees of the frame and
    the source themselves; None as published.
    """

    low: Tensor
    high: Tensor
    colour: Tensor
    apart: Tensor
    beside: RefinerInput | None = None


class Motion(nn.Module):
    """P_motion's w = f_theta(attributes, step): one number a channel."""

    def __init__(self, time: int, attributes: int, channels: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.SiLU(), nn.Linear(time, channels))
        self.condition = nn.Sequential(
            nn.SiLU(),
            nn.Linear(attributes + channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.Sigmoid(),
        )

    def forward(self, attributes: Tensor, time: Tensor) -> Tensor:
        """attributes (B, A), source minus driving, and the step's vector (B, T) -> w (B, C)."""
        source_is_reference = self.condition(torch.cat([attributes, self.time_mlp(time)], 1))
        loudest = F.adaptive_max_pool1d(attributes[:, None], source_is_reference.shape[1])[:, 0]
        out: Tensor = source_is_reference + LOUDEST * loudest
        return out


class LevelFeature(nn.Module):
    """A resolution of the coarse frame, enlarged, as channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(3, channels, 3, padding=1)
        self.block2 = Block(channels, channels, channels)

    def forward(self, small: Tensor, size: tuple[int, int]) -> Tensor:
        out: Tensor = self.block2(
            self.block1(F.interpolate(small, size, mode="bilinear", align_corners=False))
        )
        return out


class Agcn(nn.Module):
    """time: width of the step's vector.  attributes: how many numbers say expression and pose.  inner: channels, half for each path."""

    VERBATIM = True  # with channels last in memory torch 2.13 sums a whole channel in a row: 5e-4 off where it is normalised alone

    def __init__(self, time: int, attributes: int, inner: int) -> None:
        super().__init__()
        half = inner // 2
        self.pre_conv_color = nn.Sequential(
            nn.Conv2d(3, half, 7, padding=3),
            nn.ReLU(),
            Plain(half),
            nn.ReLU(),
            Plain(half),
            nn.SiLU(),
        )
        self.deal_cond = LevelFeature(half)
        self.motion_cond = Motion(time, attributes, half)
        self.resnet = nn.Sequential(
            Plain(inner),
            nn.ReLU(),
            Plain(inner),
            nn.ReLU(),
            Plain(inner),
            nn.ReLU(),
            nn.Conv2d(inner, 3, 7, padding=3),
        )

    def read(self, pictures: Conditions) -> Read:
        """P_conv of both frames, and P_motion's features of the levels, already added up as the two gains will weigh them."""
        own = self.pre_conv_color(pictures.generated)
        alike = pictures.driving is pictures.generated
        driving = own if alike else self.pre_conv_color(pictures.driving)
        low, high = torch.zeros_like(own), torch.zeros_like(own)
        for level, feature in enumerate(self.levels(pictures, driving)):
            down, up = shares(level)
            low, high = low.add_(feature, alpha=down), high.add_(feature, alpha=up)
        return Read(low, high, own + OUT_COLOUR * driving, (own - driving).abs().mean())

    def levels(self, pictures: Conditions, driving: Tensor) -> list[Tensor]:
        """Each resolution's feature (B, C, n, n), lowest first. driving: the driving colours."""
        size = (driving.shape[2], driving.shape[3])
        return [
            self.deal_cond(small, size).add_(driving, alpha=LEVEL_COLOUR)
            for small in pictures.levels
        ]

    def forward(self, read: Read, attributes: Tensor, time: Tensor) -> Tensor:
        """The condition image (B, 3, n, n) in (0, 1), P_cond, at the step whose vector is `time`."""
        low, high = (gain[..., None, None] for gain in gains(self.motion_cond(attributes, time)))
        moved = (read.low * low).addcmul_(read.high, high)
        out: Tensor = self.resnet(torch.cat([moved, read.colour], 1)).sigmoid_()
        return out


def shares(level: int) -> tuple[float, float]:
    """Of the two gains in w_i = (K - i) / K exp(w - alpha) + i / K exp(alpha - w).

    K is the number of levels less one: differs from the paper's K = 3, as the published weights do.
    """
    most = LEVELS - 1
    return (most - level) / most, level / most


def gains(w: Tensor) -> tuple[Tensor, Tensor]:
    """exp(w - alpha), which the lowest resolution takes, and exp(alpha - w), which the highest does."""
    return torch.exp(w - ALPHA), torch.exp(ALPHA - w)
