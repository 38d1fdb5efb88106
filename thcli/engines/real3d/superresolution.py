"""Super-resolution of a rendered head, alone or with torso and background (HTB-SR).

Source: Chan et al. 2022 (EG3D), sec. 4.3; Ye et al. 2024 (Real3D-Portrait), sec. 3.3;
Real3DPortrait modules/real3d/super_resolution/sr_with_ref.py at a9d70c7, fusion mode v2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.config import FEATURES, Real3DConfig
from thcli.engines.real3d.stylegan import SynthesisBlock
from thcli.engines.real3d.torso import TorsoModel, TorsoSource
from thcli.engines.real3d.volume_renderer import Rendered

STYLE = 512
SLOPE = 0.01
HIDDEN = 64  # channels of the torso's features


class Surroundings(NamedTuple):
    """Torso and background of a source, encoded once.

    torso: of the torso network.  background: (B, 3, H, W) in [-1, 1], half of the output's size.
    features: (B, 256, H, W) of the background.
    """

    torso: TorsoSource
    background: Tensor
    features: Tensor


class Fused(NamedTuple):
    """Head, torso and background in one image.

    image: (B, 3, 4 S, 4 S), without limits.  occlusion: (B, 1, 2 S, 2 S) in 0..1, where the torso
    is.
    """

    image: Tensor
    occlusion: Tensor


class SuperResolution(nn.Module):
    """A rendering to an image of four times its size (EG3D's 8XDC)."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        wide, narrow = 256 // divisor, 128 // divisor
        style, size = STYLE // divisor, config.image_size
        self.block0 = SynthesisBlock((FEATURES, wide), style, size // 2)
        self.block1 = SynthesisBlock((wide, narrow), style, size)

    def forward(self, rendered: Rendered) -> Tensor:
        """Draw the head alone, (B, 3, 4 S, 4 S) in [-1, 1]."""
        return self.enlarge(rendered).clamp(-1, 1)

    def enlarge(self, rendered: Rendered) -> Tensor:
        """Draw the head alone without limits, so that every pixel has a gradient."""
        x, rgb = self.block0(rendered.features, rendered.rgb)
        image: Tensor = self.block1(x, rgb)[1]
        return image


class TorsoSuperResolution(SuperResolution):
    """Super-resolution that draws torso and background as well."""

    def __init__(self, config: Real3DConfig):
        super().__init__(config)
        divisor = config.width_divisor
        wide, hidden, middle = 256 // divisor, HIDDEN // divisor, 32 // divisor
        self.size = config.plane_size
        self.torso_model = TorsoModel(config)
        self.torso_encoder = nn.Sequential(nn.Conv2d(hidden, wide, 1))
        self.bg_encoder = _sequence((3, 3), (hidden, 3), (wide, 3), (wide, 3))
        # Part of the checkpoint; only another fusion mode uses it.
        self.head_torso_alpha_predictor = _sequence((7, 3), (middle, 3), (middle, 3), (1, 3))
        self.fuse_head_torso_convs = _sequence((2 * wide, 3), (wide, 3), (wide, 3))
        self.head_torso_block = SynthesisBlock(
            (wide, wide), STYLE // divisor, config.plane_size, up=False
        )
        self.fuse_fg_bg_convs = _sequence((2 * wide, 1), (hidden, 1), (wide, 3), (wide, 3))

    def prepare(
        self, torso: Tensor, background: Tensor, segmap: Tensor, keypoints: Tensor
    ) -> Surroundings:
        """Encode torso and background of a source.

        Args:
            torso: (B, 3, H, W) in [-1, 1], the head black.
            background: (B, 3, H, W) in [-1, 1].
            segmap: (B, 6, H, W) one-hot classes.
            keypoints: (B, 68, 3) landmarks of the source in [-1, 1], z 0.
        """
        small = _antialiased(background, self.size)
        source = self.torso_model.encode(_antialiased(torso, self.size), segmap, keypoints)
        return Surroundings(source, small, self.bg_encoder(small))

    def compose(
        self, rendered: Rendered, surroundings: Surroundings, keypoints: Tensor, threshold: float
    ) -> Tensor:
        """Draw head, torso and background, (B, 3, 4 S, 4 S) in [-1, 1].

        Args:
            rendered: the head.
            surroundings: encoded torso and background, of the batch's size or 1.
            keypoints: (B, 68, 3) driving landmarks in [-1, 1], z 0.
            threshold: share of the head above which a pixel is all head.
        """
        return self.fuse(rendered, surroundings, keypoints, threshold).image.clamp(-1, 1)

    def fuse(
        self, rendered: Rendered, surroundings: Surroundings, keypoints: Tensor, threshold: float
    ) -> Fused:
        """Draw as `compose` does, without limits, so that every pixel has a gradient."""
        share = _enlarged(rendered.weights, self.size)
        raw = _enlarged(rendered.rgb, self.size)
        x, rgb = self.block0(rendered.features, rendered.rgb)
        torso = self.torso_model(surroundings.torso, keypoints, torch.cat([raw, share], 1))
        rest = 1 - share
        rgb = rgb * share + torso.rgb * rest
        x = torch.cat([x * share, self.torso_encoder(torso.hidden) * rest], 1)
        x, rgb = self.head_torso_block(self.fuse_head_torso_convs(x), rgb)
        head = torch.where(share > threshold, torch.ones_like(share), share)
        person = (torso.occlusion + head).clamp(0, 1)
        rgb = rgb * person + surroundings.background * (1 - person)
        x = torch.cat([x * person, surroundings.features * (1 - person)], 1)
        image = self.block1(self.fuse_fg_bg_convs(x), rgb)[1]
        return Fused(image, torso.occlusion)


def _sequence(first: tuple[int, int], *rest: tuple[int, int]) -> nn.Sequential:
    """Create convolutions with leaky ReLUs between them, from (inputs, _), (outputs, kernel), …"""
    inputs, layers = first[0], list[nn.Module]()
    for outputs, kernel in rest:
        layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
        layers += [nn.LeakyReLU(SLOPE, inplace=True)]
        inputs = outputs
    return nn.Sequential(*layers[:-1])


def _antialiased(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)


def _enlarged(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False)
