"""Weight-normalised convolution (Salimans and Kingma 2016), in the published key layout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WeightNormConv1d(nn.Module):
    """Conv1d with weight = weight_g * weight_v / |weight_v|.

    Keys are those of torch.nn.utils.weight_norm: weight_g, weight_v, bias.

    Args:
        in_channels, out_channels: channels.
        kernel: kernel size.
        padding: zeros on each side.
        groups: groups of the convolution.
        dim: axis of the kernel (out, in, k) with lengths of its own; the norm is over the others.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        padding: int = 0,
        groups: int = 1,
        dim: int = 0,
    ) -> None:
        super().__init__()
        shape = (out_channels, in_channels // groups, kernel)
        self.padding, self.groups = padding, groups
        self.norm_dims = tuple(axis for axis in range(3) if axis != dim)
        self.weight_v = nn.Parameter(torch.randn(shape) / (shape[1] * kernel) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=self.norm_dims, keepdim=True))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, T) to (B, out_channels, T + 2 padding - kernel + 1)."""
        weight = self.weight_v * (
            self.weight_g / self.weight_v.norm(dim=self.norm_dims, keepdim=True)
        )
        return F.conv1d(x, weight, self.bias, padding=self.padding, groups=self.groups)
