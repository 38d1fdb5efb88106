"""GFPGAN 1.2 to 1.4: a U-Net steers a StyleGAN 2 of faces.

Source: Wang et al. 2021 (GFP-GAN), sec. 3; Karras et al. 2020 (StyleGAN 2); keys and sizes as
published in TencentARC/GFPGAN, the "clean" architecture without filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE = 512
LEAK, GAIN = 0.2, 2**0.5
EPSILON = 1e-8
MAPPING = 8  # layers of the mapping network, which the restoration does not use


def level_channels(side: int, narrow: float) -> dict[int, int]:
    """Return the generator's channels at each size from 4 to `side`."""
    full = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}
    return {size: int(count * narrow) for size, count in full.items() if size <= side}


def double(x: Tensor) -> Tensor:
    """Double the size of maps bilinearly."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class ModulatedConv(nn.Module):
    """Convolution whose input channels a style scales; the result is normalised where asked."""

    def __init__(self, inputs: int, outputs: int, size: int, *, normalised: bool) -> None:
        super().__init__()
        self.modulation = nn.Linear(STYLE, inputs)
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, size, size))
        self.normalised, self.padding = normalised, size // 2

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Scale the maps instead of the kernels: the same numbers, one kernel for the batch.

        The normalisation cancels the scale's size, which half precision could not represent.
        """
        scale: Tensor = self.modulation(style).float()
        kernel = self.weight[0]
        if not self.normalised:
            return F.conv2d(x * scale[:, :, None, None], kernel, padding=self.padding)
        with torch.autocast(x.device.type, enabled=False):
            size = scale.abs().amax(1, keepdim=True).clamp(min=EPSILON)
            energy = scale.square() @ kernel.square().sum((2, 3)).T
            gain = size * torch.rsqrt(energy + EPSILON)
        out: Tensor = F.conv2d(x * (scale / size)[:, :, None, None], kernel, padding=self.padding)
        return out * gain[:, :, None, None]


class StyleConv(nn.Module):
    """Modulated convolution with noise, bias and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, *, up: bool = False) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, outputs, 3, normalised=True)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        self.up = up

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        out = self.modulated_conv(double(x) if self.up else x, style) * GAIN
        return F.leaky_relu(out + self.weight * noise + self.bias, LEAK)


class ToImage(nn.Module):
    """Features to colours, added to the enlarged image of the level below."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, 3, 1, normalised=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None) -> Tensor:
        out: Tensor = self.modulated_conv(x, style) + self.bias
        return out if below is None else out + double(below)


class Constant(nn.Module):
    """Learned input of the generator."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, 4, 4))


class Noises(nn.Module):
    """The checkpoint's noise of each layer, the same for all frames."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        for number in range(layers):
            side = 2 ** ((number + 5) // 2)
            self.register_buffer(f"noise{number}", torch.randn(1, 1, side, side))

    def maps(self) -> list[Tensor]:
        """Return the noise of each layer."""
        return list(self.buffers())


class StyleGenerator(nn.Module):
    """StyleGAN 2 whose features are scaled and shifted at each size above 4 x 4."""

    def __init__(self, side: int, narrow: float) -> None:
        super().__init__()
        sizes = level_channels(side, narrow)
        small, *larger = sizes.values()
        self.style_mlp = nn.Sequential(
            nn.Identity(),
            *(
                module
                for _ in range(MAPPING)
                for module in (nn.Linear(STYLE, STYLE), nn.LeakyReLU(LEAK))
            ),
        )
        self.constant_input = Constant(small)
        self.style_conv1, self.to_rgb1 = StyleConv(small, small), ToImage(small)
        self.noises = Noises(2 * len(larger) + 1)
        convolutions: list[nn.Module] = []
        inputs = small
        for outputs in larger:
            convolutions += [StyleConv(inputs, outputs, up=True), StyleConv(outputs, outputs)]
            inputs = outputs
        self.style_convs = nn.ModuleList(convolutions)
        self.to_rgbs = nn.ModuleList(ToImage(outputs) for outputs in larger)

    def forward(self, styles: Tensor, conditions: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Generate images in -1..1.

        Args:
            styles: (B, L, 512) of each layer.
            conditions: scale and shift of half of the channels at each size.
        """
        noise = self.noises.maps()
        x = self.constant_input.weight.expand(len(styles), -1, -1, -1)
        x = self.style_conv1(x, styles[:, 0], noise[0])
        image: Tensor = self.to_rgb1(x, styles[:, 1], None)
        for level, (scale, shift) in enumerate(conditions):
            at = 2 * level + 1
            x = self.style_convs[2 * level](x, styles[:, at], noise[at])
            same, steered = x.chunk(2, 1)
            x = torch.cat([same, steered * scale + shift], 1)
            x = self.style_convs[2 * level + 1](x, styles[:, at + 1], noise[at + 1])
            image = self.to_rgbs[level](x, styles[:, at + 2], image)
        return image


class ResizingBlock(nn.Module):
    """Residual block of the U-Net that halves or doubles the size."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        inner = self._resize(F.leaky_relu(self.conv1(x), LEAK))
        out: Tensor = F.leaky_relu(self.conv2(inner), LEAK) + self.skip(self._resize(x))
        return out

    def _resize(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)


class Gfpgan(nn.Module):
    """The published network for faces of 512 x 512 pixels.

    side: of the images. narrow: factor of all channels.
    """

    def __init__(self, side: int = 512, narrow: float = 1.0) -> None:
        super().__init__()
        own = level_channels(side, narrow * 0.5)
        rising, falling = list(own.values()), list(own.values())[::-1]
        self.conv_body_first = nn.Conv2d(3, falling[0], 1)
        self.conv_body_down = nn.ModuleList(ResizingBlock(a, b, 0.5) for a, b in pairwise(falling))
        self.final_conv = nn.Conv2d(rising[0], rising[0], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResizingBlock(a, b, 2.0) for a, b in pairwise(rising))
        self.toRGB = nn.ModuleList(nn.Conv2d(channels, 3, 1) for channels in rising[1:])
        self.layers = 2 * len(rising)
        self.final_linear = nn.Linear(rising[0] * 16, self.layers * STYLE)
        self.stylegan_decoder = StyleGenerator(side, narrow)
        self.condition_scale, self.condition_shift = (
            nn.ModuleList(
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, padding=1),
                    nn.LeakyReLU(LEAK),
                    nn.Conv2d(channels, channels, 3, padding=1),
                )
                for channels in rising[1:]
            )
            for _ in range(2)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Restore images (B, 3, S, S) in -1..1."""
        x = F.leaky_relu(self.conv_body_first(image), LEAK)
        skips = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)
        x = F.leaky_relu(self.final_conv(x), LEAK)
        styles = self.final_linear(x.flatten(1)).unflatten(1, (self.layers, STYLE))
        conditions = []
        for number, (block, skip) in enumerate(
            zip(self.conv_body_up, reversed(skips), strict=True)
        ):
            x = block(x + skip)
            conditions.append((self.condition_scale[number](x), self.condition_shift[number](x)))
        out: Tensor = self.stylegan_decoder(styles, conditions)
        return out
