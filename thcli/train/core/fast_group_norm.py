"""Group normalisation for CPU training with channels last in memory.

torch's backward pass is slow in that layout. Measured by

    python tools/bench_group_norm.py

in bf16, torch 2.13, medians of 5 to 9, on a shared machine (load 2.5 to 8.6 of 2 CPUs):

| forward and backward pass, or training step | threads | torch | fast | ratio |
|---|---|---|---|---|
| fadm-s (12, 16, 48, 48), 16 groups, channels last | 1 | 26.2 ms | 2.1 ms | 12.5 |
| fadm-s (12, 32, 48, 48), 32 groups, channels last | 1 | 54.3 ms | 2.9 ms | 19 |
| fadm-s (12, 128, 6, 6), 32 groups, channels last | 1 | 0.65 ms | 0.27 ms | 2.4 |
| dva-s (8, 32, 32, 32), 32 groups, channels first | 1 | 0.20 ms | 0.54 ms | 0.37 |
| step of fadm-s, batch 12, channels last | 1 | 819 ms | 512 ms | 1.60 |
| step of fadm-s, batch 12, channels first | 1 | 713 ms | 535 ms | 1.33 |
| step of dva-s, batch 16, channels first | 1 | 353 ms | 403 ms | 0.87 |
| step of dh-s, batch 8, channels first | 1 | 209 ms | 232 ms | 0.90 |

Five runs of the step of fadm-s with channels last gave ratios of 1.55 to 1.64. With 2 threads four
runs gave 0.56 to 1.30 and steps of 1.6 to 8.3 s, because both CPUs were in use: no result.
fadm-s uses this module; dva-s and dh-s, which train with channels first, do not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _GroupNorm(torch.autograd.Function):
    """y = scale x + shift, one pair per item and channel, from the groups' mean and variance."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        flat = x.flatten(2)
        n = flat.shape[2] * x.shape[1] // groups
        sums = flat.sum(2, dtype=torch.float32)
        squares = (flat * flat).sum(2, dtype=torch.float32)
        mean = _sum_groups(sums, groups) / n
        variance = (_sum_groups(squares, groups) / n - mean * mean).clamp(min=0)
        inverse_std = variance.add(eps).rsqrt()
        scale = inverse_std * weight.float()
        shift = bias.float() - mean * scale
        ctx.save_for_backward(x, weight, mean, inverse_std)
        ctx.groups = groups
        return x * _broadcast(scale, x) + _broadcast(shift, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse_std = ctx.saved_tensors
        grad = grads[0]
        n = x.shape[2:].numel() * x.shape[1] // ctx.groups
        grad_bias = grad.flatten(2).sum(2, dtype=torch.float32)
        grad_weight = (grad * x).flatten(2).sum(2, dtype=torch.float32)
        grad_weight = (grad_weight - mean * grad_bias) * inverse_std
        gain = weight.float()
        a = _sum_groups(grad_bias * gain, ctx.groups) / n
        b = _sum_groups(grad_weight * gain, ctx.groups) / n
        slope = -inverse_std * inverse_std * b
        grad_x = (
            grad * _broadcast(inverse_std * gain, x)
            + x * _broadcast(slope, x)
            + _broadcast(-inverse_std * a - slope * mean, x)
        )
        dtype = weight.dtype
        return grad_x, grad_weight.sum(0).to(dtype), grad_bias.sum(0).to(dtype), None, None


def _sum_groups(values: Tensor, groups: int) -> Tensor:
    """Replace values (B, C) by the sum over their group."""
    grouped = values.reshape(len(values), groups, -1)
    return grouped.sum(2, keepdim=True).expand_as(grouped).flatten(1)


def _broadcast(values: Tensor, like: Tensor) -> Tensor:
    """Convert values (B, C) to a factor of `like` (B, C, ...)."""
    return values.to(like.dtype).reshape(*values.shape, *[1] * (like.dim() - 2))


class FastGroupNorm(nn.GroupNorm):
    """Group normalisation with the same results and state-dict keys as nn.GroupNorm."""

    def forward(self, x: Tensor) -> Tensor:
        parameters = self.weight, self.bias, self.num_groups, self.eps
        out: Tensor = _GroupNorm.apply(x, *parameters)  # type: ignore[no-untyped-call]  # torch
        return out


def replace_group_norms(network: nn.Module) -> None:
    """Replace a network's group norms by `FastGroupNorm` with the same parameters."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                norm = FastGroupNorm(child.num_groups, child.num_channels, child.eps)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(module, name, norm)
