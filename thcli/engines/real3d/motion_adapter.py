"""Motion adapter: three PNCC images to the change of the planes (SegFormer MiT-b0).

The code calls PNCC images SECC. Source: Ye et al. 2024 (Real3D-Portrait), sec. 3.2; Xie et al. 2021
(SegFormer); keys as published in Real3DPortrait modules/real3d/segformer.py at a9d70c7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.planes import as_planes
from thcli.engines.real3d.stylegan import blur_kernel
from thcli.engines.real3d.transformer import Block, BlockSize, PatchEmbed, to_map, to_tokens
from thcli.engines.shared.networks.layers import rectify

WIDTHS, HEADS, REDUCTIONS = (32, 64, 160, 256), (1, 2, 5, 8), (8, 4, 2, 1)
DEPTH = 2  # blocks of every stage
SLOPE = 0.01


class MixTransformer(nn.Module):
    """SegFormer's encoder MiT-b0: an image (B, 3, H, W) to four maps at 1/4, 1/8, 1/16, 1/32."""

    def __init__(self, inputs: int, *, width_divisor: int = 1):
        super().__init__()
        before = inputs
        stages = zip(WIDTHS, HEADS, REDUCTIONS, strict=True)
        for number, (published, heads, reduction) in enumerate(stages, 1):
            width = published // width_divisor
            kernel, stride = (7, 4) if number == 1 else (3, 2)
            self.add_module(f"patch_embed{number}", PatchEmbed(before, width, kernel, stride))
            size = BlockSize(width, heads, 4, reduction, epsilon=1e-6)
            self.add_module(f"block{number}", nn.Sequential(*(Block(size) for _ in range(DEPTH))))
            self.add_module(f"norm{number}", nn.LayerNorm(width, eps=1e-6))
            before = width

    def forward(self, image: Tensor) -> list[Tensor]:
        out = []
        for number in range(1, len(WIDTHS) + 1):
            tokens = self.get_submodule(f"patch_embed{number}")(image)
            tokens = self.get_submodule(f"block{number}")(tokens)
            image = to_map(self.get_submodule(f"norm{number}")(tokens))
            out.append(image)
        return out


class _Projection(nn.Module):
    """A linear layer of a map's channels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, image: Tensor) -> Tensor:
        return to_map(self.proj(to_tokens(image)))


class _NormedConv(nn.Module):
    """A 1 x 1 convolution and its norm."""

    FOLDS: ClassVar[Sequence[tuple[str, str]]] = (("conv", "bn"),)

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(outputs)


class FuseHead(nn.Module):
    """SegFormer's head: four maps to one (B, 256, H, W) of the first one's size."""

    def __init__(self, *, width_divisor: int = 1):
        super().__init__()
        self.width = 256 // width_divisor
        for number, width in enumerate(WIDTHS, 1):
            projection = _Projection(width // width_divisor, self.width)
            self.add_module(f"linear_c{number}", projection)
        self.linear_fuse = _NormedConv(len(WIDTHS) * self.width, self.width)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        # The fusing convolution is 1 x 1 and linear: each level takes its own share of the kernel
        # before it is enlarged, on 1 to 1/64 of the pixels. Its columns are in the order c4 to c1.
        kernels = self.linear_fuse.conv.weight[:, :, 0, 0].chunk(len(WIDTHS), 1)[::-1]
        total: Tensor | None = None
        for number, (level, kernel) in enumerate(zip(levels, kernels, strict=True), 1):
            linear = self.get_submodule(f"linear_c{number}.proj")
            assert isinstance(linear, nn.Linear)
            merged = F.linear(to_tokens(level), kernel @ linear.weight, kernel @ linear.bias)
            image = to_map(merged)
            if total is None:
                total = image
                continue
            size = (levels[0].shape[2], levels[0].shape[3])
            total = total + F.interpolate(image, size, mode="bilinear", align_corners=False)
        assert total is not None
        bias = self.linear_fuse.conv.bias  # of the folded norm
        if bias is not None:
            total = total + bias[:, None, None]
        out: Tensor = self.dropout(rectify(self.linear_fuse.bn(total)))
        return out


class EqualizedConv(nn.Module):
    """StyleGAN's 1 x 1 convolution: weights are divided by sqrt(inputs) when used."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("resample_filter", blur_kernel())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.shape[1] ** 0.5, self.bias)


class MotionAdapter(nn.Module):
    """PNCCs (B, 9, H, W) in [-1, 1] to planes (B, 3, C, H / 2, W / 2) to add to the canonical."""

    def __init__(self, config: Real3DConfig):
        super().__init__()
        divisor = config.width_divisor
        width = 256 // divisor
        self.prenet = EqualizedConv(9, 3)
        self.mix_vit = MixTransformer(3, width_divisor=divisor)
        self.fuse_head = FuseHead(width_divisor=divisor)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        layers.append(nn.UpsamplingBilinear2d(scale_factor=2))
        layers.append(nn.Conv2d(width, 3 * config.plane_channels, 3, padding=1))
        self.to_plane_cnn = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        features = self.fuse_head(self.mix_vit(self.prenet(images)))
        return as_planes(self.to_plane_cnn(features))
