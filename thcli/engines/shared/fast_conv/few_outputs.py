"""Convolutions with large kernels and few outputs, computed with rows of taps as outputs.

Libraries compute sixteen outputs at a time anyway. A k x k convolution to O channels is a 1 x k
convolution to k O channels, whose planes are added up after a shift by their own row. For very few
outputs both directions of the kernel are handled that way.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_PLANES = 64  # planes into which a whole kernel may be unrolled


class FewOutputConv(nn.Module):
    """The same output as `conv`: (k, k), stride 1, zero padding k // 2."""

    weight: Tensor

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        kernel = conv.weight.detach()
        outputs, inputs, self.taps, _ = kernel.shape
        self.whole = outputs * self.taps**2 <= MAX_PLANES
        if self.whole:
            planes = kernel.permute(2, 3, 0, 1).reshape(-1, inputs, 1, 1)
        else:
            planes = kernel.permute(2, 0, 1, 3).reshape(-1, inputs, 1, self.taps)
        self.register_buffer("weight", planes.contiguous(memory_format=torch.channels_last))
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, O, H, W)."""
        batch, _, height, width = x.shape
        taps, half = self.taps, self.taps // 2
        planes = F.conv2d(x, self.weight, padding=(0, 0 if self.whole else half))
        parts = planes.view(batch, taps, -1, height, width)
        if self.whole:
            parts = parts.view(batch, taps, taps, -1, height, width)
            across = x.new_zeros(batch, taps, parts.shape[3], height, width + 2 * half)
            for j in range(taps):
                across[..., 2 * half - j : 2 * half - j + width] += parts[:, :, j]
            parts = across[..., half : half + width]
        down = x.new_zeros(batch, parts.shape[2], height + 2 * half, width)
        for i in range(taps):
            down[:, :, 2 * half - i : 2 * half - i + height] += parts[:, i]
        out = down[:, :, half : half + height]
        return out if self.bias is None else out + self.bias[:, None, None]
