"""Torso network: the source's torso, warped to the driving keypoints under the rendered head.

Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.3; Real3DPortrait modules/real3d/facev2v_warp/
model2.py at a9d70c7, after face vid2vid (Wang et al. 2021).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.blocks import ConvBlock, DownBlock, ResidualBlock, UpBlock
from thcli.engines.real3d.config import FEATURES, Real3DConfig
from thcli.engines.real3d.torso_motion import KEYPOINTS, MotionFieldEstimator
from thcli.engines.shared.networks.volume import DEPTH

TORSO_CLASSES = [2, 4]  # body skin and clothes
DILATION = 7  # pixels of the mask's maximum filter, at a quarter of the torso image's size


class TorsoSource(NamedTuple):
    """Torso of a source, encoded once.

    volume: (B, 32, 16, S, S), zero outside of the torso.  small: (B, 4, 16, S, S) for the motion.
    keypoints: (B, 4, 3).
    """

    volume: Tensor
    small: Tensor
    keypoints: Tensor


class Torso(NamedTuple):
    """A warped torso: rgb (B, 3, H, W), about [-1, 1]; hidden (B, 64, H, W); occlusion (B, 1, H,
    W) in 0..1, where the torso is.
    """

    rgb: Tensor
    hidden: Tensor
    occlusion: Tensor


class AppearanceExtractor(nn.Module):
    """Torso image (B, 3 or 5, H, W) to a feature volume (B, 32, 16, H / 4, W / 4)."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        a, b, c, volume = 64 // divisor, 128 // divisor, 256 // divisor, FEATURES // divisor
        self.in_conv = ConvBlock(5 if config.torso_input == "rgb_alpha" else 3, a, 7)
        self.down = nn.Sequential(DownBlock(a, b), DownBlock(b, c))
        self.mid_conv = nn.Conv2d(c, volume * DEPTH, 1)
        self.res = nn.Sequential(*(ResidualBlock(volume, dims=3) for _ in range(6)))

    def forward(self, image: Tensor) -> Tensor:
        x = self.mid_conv(self.down(self.in_conv(image)))
        out: Tensor = self.res(x.unflatten(1, (-1, DEPTH)).contiguous())
        return out


class Generator(nn.Module):
    """Warped volume (B, 512, S, S) to hidden features (B, 64, 4 S, 4 S), and those to RGB."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        a, b, c = 64 // divisor, 128 // divisor, 256 // divisor
        self.in_conv = ConvBlock(FEATURES // divisor * DEPTH, c, slope=0.2)
        self.mid_conv = nn.Conv2d(c, c, 1)
        self.res = nn.Sequential(*(ResidualBlock(c) for _ in range(6)))
        self.up = nn.Sequential(UpBlock(c, b), UpBlock(b, a))
        self.out_conv = nn.Conv2d(a, 3, 7, padding=3)

    def forward(self, warped: Tensor) -> Tensor:
        out: Tensor = self.up(self.res(self.mid_conv(self.in_conv(warped))))
        return out


class TorsoModel(nn.Module):
    """The warping network of the torso."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        hidden, middle = 64 // config.width_divisor, 32 // config.width_divisor
        self.with_masks = config.torso_input == "rgb_alpha"
        self.size = config.plane_size
        self.appearance_extractor = AppearanceExtractor(config)
        self.motion_field_estimator = MotionFieldEstimator(config)
        self.deform_based_generator = Generator(config)
        self.occlusion_2_predictor = nn.Sequential(
            nn.Conv2d(hidden + 1, middle, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, 1, 3, padding=1),
            nn.Sigmoid(),
        )

    def encode(self, image: Tensor, segmap: Tensor, keypoints: Tensor) -> TorsoSource:
        """Encode a source, once.

        Args:
            image: (B, 3, H, W) torso in [-1, 1], half the size of the output.
            segmap: (B, 6, 2 H, 2 W) one-hot classes of MediaPipe's selfie segmenter.
            keypoints: (B, 68, 3) landmarks in [-1, 1], z 0.
        """
        masks = segmap[:, TORSO_CLASSES].to(image.dtype)
        if self.with_masks:
            image = torch.cat([image, _resized(masks, self.size)], 1)
        small_masks = _resized(masks, self.size // 4)
        near = F.max_pool2d(small_masks.sum(1, keepdim=True), DILATION, 1, DILATION // 2)
        volume = self.appearance_extractor(image) * near[:, :, None]
        small = self.motion_field_estimator.compress_source(volume, small_masks)
        return TorsoSource(volume, small, keypoints[:, list(KEYPOINTS)])

    def forward(self, source: TorsoSource, keypoints: Tensor, head: Tensor) -> Torso:
        """Draw the torso.

        Args:
            source: encoded source, of the batch's size or 1.
            keypoints: (B, 68, 3) driving landmarks in [-1, 1], z 0.
            head: (B, 4, H, W), the rendered head's RGB and weights.
        """
        volume, small, own = (x.expand(len(head), *x.shape[1:]) for x in source)
        motion = self.motion_field_estimator(small, own, keypoints[:, list(KEYPOINTS)], head)
        warped = F.grid_sample(
            volume, motion.deformation, padding_mode="border", align_corners=True
        )
        hidden = self.deform_based_generator(warped.flatten(1, 2))
        seen = _resized(motion.occlusion, self.size)
        occlusion = self.occlusion_2_predictor(torch.cat([hidden, seen], 1))
        return Torso(self.deform_based_generator.out_conv(hidden), hidden, occlusion)


def _resized(image: Tensor, side: int) -> Tensor:
    """Resize bilinearly to (side, side), without a filter."""
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False)
