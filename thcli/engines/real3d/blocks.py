"""Convolution blocks of the torso network, whose keys are positions in nested sequences.

Source: Real3DPortrait modules/real3d/facev2v_warp/layers.py at a9d70c7, after face vid2vid (Wang et
al. 2021). The published spectral norms are merged when a checkpoint is loaded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from thcli.engines.shared.fast_conv.enlarged import UpsampleConv, is_faster
from thcli.engines.shared.networks.layers import convolution, norm


class ConvBlock(nn.Module):
    """Convolution, batch norm and ReLU, leaky where `slope` is not 0; keys layers.0, .1, .2."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, *, dims: int = 2, slope: float = 0.0
    ):
        super().__init__()
        activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
        self.layers = nn.Sequential(
            convolution(dims, inputs, outputs, kernel), norm(dims, outputs), activation
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class DownBlock(nn.Module):
    """A block and 2 x 2 average pooling of rows and columns."""

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2):
        super().__init__()
        pool = nn.AvgPool2d(2) if dims == 2 else nn.AvgPool3d((1, 2, 2))
        self.layers = nn.Sequential(ConvBlock(inputs, outputs, dims=dims), pool)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class UpBlock(nn.Module):
    """Nearest upsampling of rows and columns by 2, and a block."""

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2):
        super().__init__()
        factor = 2 if dims == 2 else (1, 2, 2)
        self.layers = nn.Sequential(
            nn.Upsample(scale_factor=factor, mode="nearest"), ConvBlock(inputs, outputs, dims=dims)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    def fuse_for_inference(self) -> None:
        """Merge upsampling and convolution into one step."""
        block = self.layers[1]
        assert isinstance(block, ConvBlock)
        conv = block.layers[0]
        if isinstance(conv, nn.Conv2d | nn.Conv3d) and is_faster(conv):
            block.layers[0], self.layers[0] = UpsampleConv(conv, 2), nn.Identity()


class _NormedConv(nn.Module):
    """Batch norm, ReLU and a 3 x 3 convolution."""

    def __init__(self, channels: int, dims: int):
        super().__init__()
        self.layers = nn.Sequential(
            norm(dims, channels), nn.ReLU(), convolution(dims, channels, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ResidualBlock(nn.Module):
    """Twice norm, ReLU and convolution, plus the input."""

    def __init__(self, channels: int, *, dims: int = 2):
        super().__init__()
        self.layers = nn.Sequential(_NormedConv(channels, dims), _NormedConv(channels, dims))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out

    def fuse_for_inference(self) -> None:
        """Merge the second norm into the first convolution."""
        first, second = self.layers
        assert isinstance(first, _NormedConv)
        assert isinstance(second, _NormedConv)
        conv, following = first.layers[2], second.layers[0]
        if not isinstance(conv, nn.Conv2d | nn.Conv3d):
            return
        if not isinstance(following, nn.BatchNorm2d | nn.BatchNorm3d):
            return
        if following.running_mean is None or following.running_var is None:
            return
        with torch.no_grad():
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight,
                conv.bias,
                following.running_mean,
                following.running_var,
                following.eps,
                following.weight,
                following.bias,
            )
        conv.requires_grad_(False)
        second.layers[0] = nn.Identity()
