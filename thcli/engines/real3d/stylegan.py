"""Synthesis blocks of StyleGAN 2 with a constant style, as EG3D's super-resolution uses them.

Source: Karras et al. 2020 (StyleGAN 2), sec. 2.2; Chan et al. 2022 (EG3D), sec. 4.3; keys as
published in Real3DPortrait modules/eg3ds/models at a9d70c7. The style is a vector of ones, so a
layer's modulated weights are constants of the checkpoint: `fold_styles` computes them once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, GAIN = 0.2, 2**0.5
EPSILON = 1e-8


def blur_kernel() -> Tensor:
    """Return the 4 x 4 low-pass filter [1, 3, 3, 1] in both directions, of sum 1."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(line, line) / 64


class Affine(nn.Module):
    """Style of every input channel from the constant style vector of ones."""

    def __init__(self, style: int, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, style))
        self.bias = nn.Parameter(torch.ones(channels))

    def forward(self) -> Tensor:
        """Return the scale of each channel, (channels,)."""
        out: Tensor = self.weight.sum(1) / self.weight.shape[1] ** 0.5 + self.bias
        return out


class StyledConv(nn.Module):
    """Modulated 3 x 3 convolution, bias and leaky ReLU, with upsampling by 2 where `up`.

    resolution: side of the output in the published size, of the unused noise.
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, channels: tuple[int, int], style: int, resolution: int, *, up: bool = False):
        super().__init__()
        inputs, outputs = channels
        self.affine = Affine(style, inputs)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.register_buffer("noise_const", torch.zeros(resolution, resolution))
        self.register_buffer("resample_filter", blur_kernel())
        self.up = up

    def kernel(self) -> Tensor:
        """Return the modulated and demodulated weights, (outputs, inputs, 3, 3)."""
        scaled = self.weight * self.affine()[:, None, None]
        norm: Tensor = scaled.square().sum((1, 2, 3), keepdim=True) + EPSILON
        out: Tensor = scaled * torch.rsqrt(norm)
        return out

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            x = upsampled_convolution(x, self.kernel(), self.bias)
        else:
            x = F.conv2d(x, self.kernel(), self.bias, padding=1)
        return F.leaky_relu(x, SLOPE) * GAIN


def upsampled_convolution(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """Double the size of x (B, C, H, W) by a transposed convolution and StyleGAN's low-pass."""
    x = F.conv_transpose2d(x, kernel.transpose(0, 1), stride=2)
    channels = x.shape[1]
    line = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 4
    x = F.conv2d(x, line.expand(channels, 1, 1, 4), padding=(0, 1), groups=channels)
    down = line[:, None].expand(channels, 1, 4, 1)
    return F.conv2d(x, down, bias, padding=(1, 0), groups=channels)


def enlarge_image(image: Tensor) -> Tensor:
    """Double the size of an image (B, 3, H, W) with StyleGAN's low-pass; zeros lie outside."""
    channels = image.shape[1]
    kernel = 4 * blur_kernel().to(image)
    spread = kernel.expand(channels, 1, 4, 4)
    return F.conv_transpose2d(image, spread, stride=2, padding=1, groups=channels)


class ToRgb(nn.Module):
    """Modulated 1 x 1 convolution to RGB, without demodulation."""

    def __init__(self, inputs: int, style: int):
        super().__init__()
        self.affine = Affine(style, inputs)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def kernel(self) -> Tensor:
        """Return the modulated weights, (3, inputs, 1, 1)."""
        scale = self.affine() / self.weight.shape[1] ** 0.5
        out: Tensor = self.weight * scale[:, None, None]
        return out

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel(), self.bias)


class SynthesisBlock(nn.Module):
    """Two styled convolutions and an RGB image beside them.

    up: the first convolution and the image double their size.
    resolution: side of the output.
    """

    resample_filter: Tensor

    def __init__(self, channels: tuple[int, int], style: int, resolution: int, *, up: bool = True):
        super().__init__()
        outputs = channels[1]
        self.register_buffer("resample_filter", blur_kernel())
        self.conv0: nn.Module = StyledConv(channels, style, resolution, up=up)
        self.conv1: nn.Module = StyledConv((outputs, outputs), style, resolution)
        self.torgb: nn.Module = ToRgb(outputs, style)
        self.up = up

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return features (B, outputs, S, S) and the image (B, 3, S, S)."""
        x = self.conv1(self.conv0(x))
        return x, (enlarge_image(image) if self.up else image) + self.torgb(x)


class FoldedConv(nn.Module):
    """A styled convolution with its constant style, and its gain, in the weights."""

    def __init__(self, layer: StyledConv):
        super().__init__()
        kernel = layer.kernel().detach() * GAIN
        self.conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        self.conv.weight = nn.Parameter(kernel, requires_grad=False)
        self.conv.bias = nn.Parameter(layer.bias.detach() * GAIN, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x), SLOPE, inplace=True)


class FoldedUpConv(nn.Module):
    """A styled convolution with upsampling, its constant style and gain in the weights."""

    kernel: Tensor
    bias: Tensor

    def __init__(self, layer: StyledConv):
        super().__init__()
        self.register_buffer("kernel", layer.kernel().detach() * GAIN)
        self.register_buffer("bias", layer.bias.detach() * GAIN)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(upsampled_convolution(x, self.kernel, self.bias), SLOPE, inplace=True)


def fold_styles(network: nn.Module) -> None:
    """Replace styled layers by plain ones with the same output, in place; for inference only."""
    for module in list(network.modules()):
        if not isinstance(module, SynthesisBlock):
            continue
        for name in ("conv0", "conv1"):
            layer = module.get_submodule(name)
            if isinstance(layer, StyledConv):
                setattr(module, name, (FoldedUpConv if layer.up else FoldedConv)(layer))
        if isinstance(module.torgb, ToRgb):
            plain = nn.Conv2d(module.torgb.weight.shape[1], 3, 1)
            plain.weight = nn.Parameter(module.torgb.kernel().detach(), requires_grad=False)
            plain.bias = nn.Parameter(module.torgb.bias.detach(), requires_grad=False)
            module.torgb = plain
