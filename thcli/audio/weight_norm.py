"""Convolutions whose kernels are kept as a length and a direction (Salimans and Kingma 2016), in the published key layout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NormedConv1d(nn.Module):
    """Conv1d with weight = weight_g * weight_v / |weight_v|, keys as of torch.nn.utils.weight_norm: weight_g, weight_v, bias.

    along: the axis of the kernel (out, in, k) which has lengths of its own; |.| is over the others.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        padding: int = 0,
        groups: int = 1,
        along: int = 0,
    ) -> None:
        super().__init__()
        shape = (outputs, inputs // groups, kernel)
        self.padding, self.groups = padding, groups
        self.over = tuple(axis for axis in range(3) if axis != along)
        self.weight_v = nn.Parameter(torch.randn(shape) / (shape[1] * kernel) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=self.over, keepdim=True))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T) -> (B, outputs, T + 2 padding - kernel + 1)."""
        weight = self.weight_v * (self.weight_g / self.weight_v.norm(dim=self.over, keepdim=True))
        return F.conv1d(x, weight, self.bias, padding=self.padding, groups=self.groups)
