"""FADM's attribute-guided conditioning network (AGCN).

It makes a condition image from the coarse frame at three resolutions, its colours, and the
difference of 3-D attributes between source and driving. The part that depends on the images alone
is computed once per frame (`Agcn.encode_conditions`); the rest follows the diffusion step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.refiners.fadm.alignment import RefinerInput
from thcli.refiners.fadm.blocks import ConvBlock, PlainResidual

COARSEST = 8  # the coarse frame's side over that of its lowest resolution
LEVELS = 3
ALPHA = 0.3
LEVEL_COLOUR = 0.4  # weight of the driving colours in each resolution's feature
OUT_COLOUR = 0.2  # weight of the driving colours in the coarse frame's own
MAX_POOL_WEIGHT = 0.4  # weight of the largest attributes in w


class ConditionImages(NamedTuple):
    """Images that condition the network, RGB in [0, 1], of frames with n pixels a side.

    levels: (B, 3, n / 8), (B, 3, n / 4), (B, 3, n / 2) of the coarse frame.  generated, driving:
    (B, 3, n, n) blocks of one colour, of the coarse and of the driving frame.
    """

    levels: tuple[Tensor, ...]
    generated: Tensor
    driving: Tensor

    @classmethod
    def of(cls, coarse: Tensor, driving: Tensor | None = None) -> ConditionImages:
        """Downsample coarse and driving frames (B, 3, n, n), n divisible by 8.

        The upper left pixel of each square is kept (nearest). Without a driving frame the coarse
        one is used in its place.
        """
        steps = [COARSEST >> level for level in range(LEVELS)]
        levels = tuple(coarse[..., ::step, ::step] for step in steps)
        generated = _blocks(levels[0])
        if driving is None:
            return cls(levels, generated, generated)
        return cls(levels, generated, _blocks(driving[..., ::COARSEST, ::COARSEST]))


def _blocks(small: Tensor) -> Tensor:
    return F.interpolate(small, scale_factor=float(COARSEST), mode="nearest")


class ConditionFeatures(NamedTuple):
    """Features of a frame that every step uses, (B, C, n, n) each.

    low, high: the levels' features, summed for the two gains of `level_gains`.  colour: colour
    features.  colour_loss: mean distance of the generated and the driving colours, the alignment
    loss.  refiner_input: frame and source as the U-Net sees them; None as published.
    """

    low: Tensor
    high: Tensor
    colour: Tensor
    colour_loss: Tensor
    refiner_input: RefinerInput | None = None


class MotionGains(nn.Module):
    """P_motion's w = f_theta(attributes, step): one number per channel."""

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
        """Compute w (B, C).

        Args:
            attributes: (B, A), source minus driving; A = 0 leaves the step alone.
            time: (B, T) embedding of the step.
        """
        w = self.condition(torch.cat([attributes, self.time_mlp(time)], 1))
        if not attributes.shape[1]:  # the ablation without P_motion
            return torch.as_tensor(w)
        largest = F.adaptive_max_pool1d(attributes[:, None], w.shape[1])[:, 0]
        out: Tensor = w + MAX_POOL_WEIGHT * largest
        return out


class LevelFeature(nn.Module):
    """Feature of one resolution of the coarse frame, upsampled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(3, channels, 3, padding=1)
        self.block2 = ConvBlock(channels, channels, channels)

    def forward(self, small: Tensor, size: tuple[int, int]) -> Tensor:
        large = F.interpolate(small, size, mode="bilinear", align_corners=False)
        out: Tensor = self.block2(self.block1(large))
        return out


class Agcn(nn.Module):
    """Attribute-guided conditioning network.

    time: width of the step's embedding.  attributes: number of expression and pose attributes.
    inner: channels, half for each path.
    """

    # With channels last in memory torch 2.13 sums a whole channel in sequence: an error of 5e-4
    # where each channel is normalised alone.
    VERBATIM = True

    def __init__(self, time: int, attributes: int, inner: int) -> None:
        super().__init__()
        half = inner // 2
        self.pre_conv_color = nn.Sequential(
            nn.Conv2d(3, half, 7, padding=3),
            nn.ReLU(),
            PlainResidual(half),
            nn.ReLU(),
            PlainResidual(half),
            nn.SiLU(),
        )
        self.deal_cond = LevelFeature(half)
        self.motion_cond = MotionGains(time, attributes, half)
        self.resnet = nn.Sequential(
            PlainResidual(inner),
            nn.ReLU(),
            PlainResidual(inner),
            nn.ReLU(),
            PlainResidual(inner),
            nn.ReLU(),
            nn.Conv2d(inner, 3, 7, padding=3),
        )

    def encode_conditions(self, images: ConditionImages) -> ConditionFeatures:
        """Compute P_conv of both frames and P_motion's features of the levels.

        The features are already summed by the shares of the two gains.
        """
        own = self.pre_conv_color(images.generated)
        is_same = images.driving is images.generated
        driving = own if is_same else self.pre_conv_color(images.driving)
        low, high = torch.zeros_like(own), torch.zeros_like(own)
        for level, feature in enumerate(self.level_features(images, driving)):
            low_share, high_share = gain_shares(level)
            low = low.add_(feature, alpha=low_share)
            high = high.add_(feature, alpha=high_share)
        colour_loss = (own - driving).abs().mean()
        return ConditionFeatures(low, high, own + OUT_COLOUR * driving, colour_loss)

    def level_features(self, images: ConditionImages, driving: Tensor) -> list[Tensor]:
        """Compute each resolution's feature (B, C, n, n), lowest first.

        driving: (B, C, n, n) features of the driving colours.
        """
        size = (driving.shape[2], driving.shape[3])
        return [
            self.deal_cond(small, size).add_(driving, alpha=LEVEL_COLOUR) for small in images.levels
        ]

    def forward(self, features: ConditionFeatures, attributes: Tensor, time: Tensor) -> Tensor:
        """Compute the condition image P_cond, (B, 3, n, n) in (0, 1), at a step.

        Args:
            features: of the frames.
            attributes: (B, A), source minus driving.
            time: (B, T) embedding of the step.
        """
        gains = level_gains(self.motion_cond(attributes, time))
        low, high = (gain[..., None, None] for gain in gains)
        weighted = (features.low * low).addcmul_(features.high, high)
        out: Tensor = self.resnet(torch.cat([weighted, features.colour], 1)).sigmoid_()
        return out


def gain_shares(level: int) -> tuple[float, float]:
    """Return the shares of the gains in w_i = (K - i) / K exp(w - alpha) + i / K exp(alpha - w).

    K is the number of levels less one: differs from the paper's K = 3, as the published weights do.
    """
    highest = LEVELS - 1
    return (highest - level) / highest, level / highest


def level_gains(w: Tensor) -> tuple[Tensor, Tensor]:
    """Compute exp(w - alpha) for the lowest resolution and exp(alpha - w) for the highest."""
    return torch.exp(w - ALPHA), torch.exp(ALPHA - w)
