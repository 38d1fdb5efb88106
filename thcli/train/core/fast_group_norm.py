"""Group normalisation whose gradient is quick on a CPU: torch's own takes half of the training of a small U-Net there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Normed(torch.autograd.Function):
    """y = scale x + shift, a pair for each item and channel, found from the groups' means and variances."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        rows = x.flatten(2)
        n = rows.shape[2] * x.shape[1] // groups
        first, second = rows.sum(2, dtype=torch.float32), (rows * rows).sum(2, dtype=torch.float32)
        mean = _over(first, groups) / n
        rate = (_over(second, groups) / n - mean * mean).clamp(min=0).add(eps).rsqrt()
        scale = rate * weight.float()
        shift = bias.float() - mean * scale
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.groups = groups
        return x * _spread(scale, x) + _spread(shift, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, rate = ctx.saved_tensors
        grad = grads[0]
        n = x.shape[2] * x.shape[3] * x.shape[1] // ctx.groups
        plain = grad.flatten(2).sum(2, dtype=torch.float32)
        along = (grad * x).flatten(2).sum(2, dtype=torch.float32)
        along = (along - mean * plain) * rate  # with the normalised x instead of x
        own = weight.float()
        a, b = _over(plain * own, ctx.groups) / n, _over(along * own, ctx.groups) / n
        slope = -rate * rate * b
        dx = (
            grad * _spread(rate * own, x)
            + x * _spread(slope, x)
            + _spread(-rate * a - slope * mean, x)
        )
        return dx, along.sum(0).to(weight.dtype), plain.sum(0).to(weight.dtype), None, None


def _over(values: Tensor, groups: int) -> Tensor:
    """(B, C) sums over each group, for each of its channels."""
    b, c = values.shape
    return (
        values.view(b, groups, c // groups)
        .sum(2, keepdim=True)
        .expand(b, groups, c // groups)
        .reshape(b, c)
    )


def _spread(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype)[..., None, None]


class QuickGroupNorm(nn.GroupNorm):
    """The same numbers, and keys."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _Normed.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]  # torch's own
        return out


def quicken_norms(network: nn.Module) -> None:
    """Puts them in the place of a network's group norms, with their weights."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.GroupNorm:
                quick = QuickGroupNorm(child.num_groups, child.num_channels, child.eps)
                quick.weight, quick.bias = child.weight, child.bias
                setattr(module, name, quick)
