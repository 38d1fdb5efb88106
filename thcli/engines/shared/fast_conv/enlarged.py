"""Nearest-neighbour upsampling and a convolution, merged into one transposed convolution.

The output is the same from fewer multiplications. Every output pixel of `upsample s times, convolve
with k x k` reads cells of s x s equal pixels. Adding up the kernel's taps that fall on the same
cell gives a transposed convolution of stride s with s + k - 1 taps: 16 products per cell in place
of 36 for s = 2.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Largest number of kernel weights for which the merged form is faster, by the kernel's dimensions.
# Larger kernels meet small images, where reading the weights takes most of the time.
MAX_WEIGHTS = {4: 3 << 20, 5: 8 << 20}


def is_faster(conv: nn.Module) -> bool:
    """Return whether `UpsampleConv` is faster than upsampling and convolving."""
    return (
        isinstance(conv, nn.Conv2d | nn.Conv3d)
        and conv.weight.numel() <= MAX_WEIGHTS[conv.weight.dim()]
    )


class UpsampleConv(nn.Module):
    """nn.Upsample(nearest, `factor` in height and width) followed by `conv`, in one step.

    conv: 3 x 3 or 3 x 3 x 3, stride 1, padding 1.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, factor: int):
        super().__init__()
        kernel = conv.weight.detach()
        self.deep = kernel.dim() == 5
        # a transposed convolution scatters: its kernel is mirrored and summed over a cell's pixels
        mirrored = kernel.double().flip(tuple(range(2, kernel.dim()))).transpose(0, 1)
        size = factor + 2
        weight = mirrored.new_zeros(*mirrored.shape[:-2], size, size)
        for i, j in product(range(factor), repeat=2):
            weight[..., i : i + 3, j : j + 3] += mirrored
        layout = torch.contiguous_format if self.deep else torch.channels_last
        self.register_buffer("weight", weight.float().contiguous(memory_format=layout))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().clone())
        self.stride = (1, factor, factor) if self.deep else (factor, factor)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, [D,] H, W) to (B, O, [D,] factor * H, factor * W)."""
        if self.deep:
            return F.conv_transpose3d(x, self.weight, self.bias, self.stride, padding=1)
        x = x.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(x, self.weight, self.bias, self.stride, padding=1)
