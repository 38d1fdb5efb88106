"""Image-to-plane network: the head of a source image to a canonical tri-plane.

Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.1, after Trevithick et al. 2023 (LP3D), sec. 3.2;
keys as published in Real3DPortrait modules/real3d/segformer.py and modules/img2plane at a9d70c7.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.planes import as_planes
from thcli.engines.real3d.resnet_aspp import LowResolutionEncoder
from thcli.engines.real3d.transformer import Block, BlockSize, PatchEmbed, to_map
from thcli.engines.shared.networks.layers import rectify

SLOPE = 0.01
BLOCKS = 5  # of the low-resolution transformer
FEATURES = 96  # of the high- and low-resolution branch
INPUTS = 5  # RGB, row and column


def with_coordinates(image: Tensor) -> Tensor:
    """Append every pixel's row and column, both divided by the height, as two channels."""
    batch, _, height, width = image.shape
    rows = torch.arange(height, device=image.device, dtype=image.dtype) / height
    columns = torch.arange(width, device=image.device, dtype=image.dtype) / height
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return torch.cat([image, grid.expand(batch, -1, -1, -1)], 1)


def enlarge(x: Tensor) -> Tensor:
    """Double height and width bilinearly; the corner pixels stay the corners."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class HighResolutionEncoder(nn.Module):
    """Image (B, 5, H, W) to fine features (B, 96, H / 2, W / 2)."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        first, width = 64 // config.width_divisor, FEATURES // config.width_divisor
        self.first = nn.Conv2d(INPUTS, first, 7, 2, 3)
        layers: list[nn.Module] = []
        for inputs in (first, width, width, width):
            layers += [_conv(inputs, width), nn.LeakyReLU(SLOPE, inplace=True)]
        self.conv_layers = nn.Sequential(*layers)
        self.final = _conv(width, width)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.final(self.conv_layers(self.first(image)))  # nothing after the first
        return out


class LowResolutionTransformer(nn.Module):
    """Features (B, 256, S, S) to (B, 96, 4 S, 4 S), with attention among all of them."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        tokens, wide, narrow = 1024 // divisor, 256 // divisor, 128 // divisor
        self.patch_embed = PatchEmbed(wide, tokens, 3, 2)
        for number in range(BLOCKS):
            self.add_module(f"block{number + 1}", Block(BlockSize(tokens, 4, 2)))
        self.conv_after_upsample1 = _conv(tokens // 4, narrow)
        self.conv_after_upsample2 = _conv(narrow, narrow)
        self.final_conv = _conv(narrow, FEATURES // divisor)

    def forward(self, features: Tensor) -> Tensor:
        tokens = self.patch_embed(features)
        for number in range(BLOCKS):
            tokens = self.get_submodule(f"block{number + 1}")(tokens)
        x = F.pixel_shuffle(to_map(tokens), 2)
        x = rectify(self.conv_after_upsample1(enlarge(x)))
        x = rectify(self.conv_after_upsample2(enlarge(x)))
        out: Tensor = self.final_conv(x)
        return out


class PlanePredictor(nn.Module):
    """Coarse and fine features (B, 96, S, S) to the channels of three planes (B, 3 C, S, S)."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        tokens, wide, narrow = 1024 // divisor, 256 // divisor, 128 // divisor
        features = FEATURES // divisor
        self.first_conv = _conv(2 * features, wide)
        self.second_conv = _conv(wide, narrow)
        self.patch_embed = PatchEmbed(narrow, tokens, 3, 2)
        self.block1 = Block(BlockSize(tokens, 4, 2, reduction=2))
        self.first_conv_after_cat = _conv(tokens // 4 + features, wide)
        self.second_conv_after_cat = _conv(wide, narrow)
        self.third_conv_after_cat = _conv(narrow, narrow)
        self.final_conv = _conv(narrow, 3 * config.plane_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        x = self._rectified(torch.cat([low, high], 1), ("first_conv", "second_conv"))
        tokens = self.block1(self.patch_embed(x))
        x = torch.cat([F.pixel_shuffle(to_map(tokens), 2), low], 1)
        names = ("first_conv_after_cat", "second_conv_after_cat", "third_conv_after_cat")
        out: Tensor = self.final_conv(self._rectified(x, names))
        return out

    def _rectified(self, x: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            x = rectify(self.get_submodule(name)(x), SLOPE)
        return x


class ImageToPlane(nn.Module):
    """Head image (B, 3, H, W) in [-1, 1], black around, to planes (B, 3, C, H / 2, W / 2)."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        self.low_reso_encoder = LowResolutionEncoder(INPUTS, width_divisor=config.width_divisor)
        self.low_reso_vit = LowResolutionTransformer(config)
        self.high_reso_encoder = HighResolutionEncoder(config)
        self.triplane_predictor_vit = PlanePredictor(config)

    def forward(self, head: Tensor) -> Tensor:
        image = with_coordinates(head)
        low = self.low_reso_vit(self.low_reso_encoder(image))
        return as_planes(self.triplane_predictor_vit(low, self.high_reso_encoder(image)))
