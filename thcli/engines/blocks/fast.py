"""What makes a trained network quick without changing its output: norms merged into the convolutions before them."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Network = TypeVar("Network", bound=nn.Module)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def fold(network: Network) -> Network:
    """Merges batch norms into the convolutions that feed them, in place: for inference only, the state's keys change.

    Blocks name their pairs in FOLDS; in a Sequential, neighbours are pairs.
    """
    for block in list(network.modules()):
        pairs = list(getattr(block, "FOLDS", ()))
        if isinstance(block, nn.Sequential):
            names = list(dict(block.named_children()))
            pairs += list(pairwise(names))
        for first, second in pairs:
            conv, batch_norm = getattr(block, first, None), getattr(block, second, None)
            if isinstance(conv, CONVOLUTIONS) and isinstance(batch_norm, NORMS):
                _merge(conv, batch_norm)
                setattr(block, second, nn.Identity())
    return network


def _merge(conv: nn.Conv2d | nn.Conv3d, batch_norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> None:
    if batch_norm.running_mean is None or batch_norm.running_var is None:
        return  # it normalises by the batch itself: nothing to merge
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, batch_norm.running_mean, batch_norm.running_var, batch_norm.eps,
        batch_norm.weight, batch_norm.bias,
    )  # fmt: skip
    conv.requires_grad_(False)


def prepare(network: Network, device: torch.device, *, exact: bool = True) -> Network:
    """A loaded network, folded and on its device, in the layout that its convolutions like.

    exact: it will compute in float32.
    """
    fold(network).to(device)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network
