"""Nearest enlargement followed by a convolution, as one transposed convolution: the same output from fewer multiplications.

Every output pixel of `enlarge s times, convolve with k x k` looks at cells of s x s equal pixels; adding up the kernel's taps that
fall on the same cell gives a transposed convolution of stride s with s + k - 1 taps: 16 products a cell in place of 36 for s = 2.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST_WEIGHTS = {
    4: 3 << 20,
    5: 8 << 20,
}  # of the convolution's kernel: larger ones meet small pictures, where reading them is all


def pays(conv: nn.Module) -> bool:
    """Whether `Enlarged` is quicker than enlarging and convolving."""
    return (
        isinstance(conv, nn.Conv2d | nn.Conv3d)
        and conv.weight.numel() <= MOST_WEIGHTS[conv.weight.dim()]
    )


class Enlarged(nn.Module):
    """nn.Upsample(nearest, factor in height and width) and then `conv` (3 x 3 or 3 x 3 x 3, stride 1, padding 1)."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, factor: int):
        super().__init__()
        kernel = conv.weight.detach()
        self.deep = kernel.dim() == 5
        # transposed convolutions spread: their kernel is the mirrored one, summed over the cell's pixels
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
        """(B, C, [D,] H, W) -> (B, O, [D,] factor H, factor W)."""
        if self.deep:
            return F.conv_transpose3d(x, self.weight, self.bias, self.stride, padding=1)
        x = x.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(x, self.weight, self.bias, self.stride, padding=1)
