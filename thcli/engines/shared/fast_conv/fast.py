"""What makes a trained network quick without changing its output: norms merged into convolutions, and on a CPU cheaper convolutions.

A module whose attribute EXACT is true keeps its direct convolutions: where a small error would grow (keypoints, dense motion).
One whose attribute VERBATIM is true is left as it is, norms too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from thcli.engines.shared.fast_conv.few_outputs import Thin
from thcli.engines.shared.fast_conv.fft_conv import Spectral
from thcli.engines.shared.fast_conv.winograd import Winograd

Network = TypeVar("Network", bound=nn.Module)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
LEAST_WIDTH = {
    4: 128,
    5: 64,
}  # channels in and out from which Winograd wins, by the kernel's dimensions
MOST_WEIGHTS = 4 << 20  # of a kernel: beyond that Winograd's fourfold memory is not worth its time
FEW = 4  # outputs that leave a library's sixteen lanes idle


def prepare(network: Network, device: torch.device, *, exact: bool = True) -> Network:
    """A loaded network, folded, on its device, with the quickest convolutions there. exact: it will compute in float32."""
    fold(network)
    if device.type == "cpu" and exact:
        quicken(network)
    network.to(device)
    for module in _open(network):
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def fold(network: Network) -> Network:
    """Merges batch norms into the convolutions that feed them, in place: for inference only, the state's keys change.

    Blocks name their pairs in FOLDS; in a Sequential, neighbours are pairs.
    """
    for block in list(_open(network)):
        pairs = list(getattr(block, "FOLDS", ()))
        if isinstance(block, nn.Sequential):
            pairs += list(pairwise(dict(block.named_children())))
        for first, second in pairs:
            conv, batch_norm = getattr(block, first, None), getattr(block, second, None)
            if isinstance(conv, CONVOLUTIONS) and isinstance(batch_norm, NORMS):
                _merge(conv, batch_norm)
                setattr(block, second, nn.Identity())
    return network


def _open(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that may be rewritten."""
    if not getattr(module, "VERBATIM", False):
        yield module
        for child in module.children():
            yield from _open(child)


def _merge(
    conv: nn.Conv2d | nn.Conv3d, batch_norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
) -> None:
    if batch_norm.running_mean is None or batch_norm.running_var is None:
        return  # it normalises by the batch itself: nothing to merge
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        batch_norm.running_mean,
        batch_norm.running_var,
        batch_norm.eps,
        batch_norm.weight,
        batch_norm.bias,
    )
    conv.requires_grad_(False)


def quicken(network: nn.Module) -> None:
    """Replaces convolutions by equal ones with fewer products, in place. Blocks that know a way of their own have `quicken`."""
    for block in list(_open(network)):
        own = getattr(block, "quicken", None)
        if own is not None:
            own()
    _replace(network)


def _replace(module: nn.Module, exact: bool = False) -> None:
    if getattr(module, "VERBATIM", False):
        return
    exact = exact or bool(getattr(module, "EXACT", False))
    for name, child in list(module.named_children()):
        if isinstance(child, CONVOLUTIONS):
            setattr(module, name, _quick(child, exact))
        else:
            _replace(child, exact)


def _quick(conv: nn.Conv2d | nn.Conv3d, exact: bool) -> nn.Module:
    """The quickest module with the same output; the convolution itself where it is that, or rounds better and `exact` is asked for."""
    kernel, dims = tuple(conv.weight.shape[2:]), conv.weight.dim()
    plain = set(conv.stride) | set(conv.dilation) == {1} and conv.groups == 1
    centred = tuple(conv.padding) == tuple(k // 2 for k in kernel)
    if not (plain and centred):
        return conv
    if isinstance(conv, nn.Conv3d) and set(kernel) == {7}:
        return Spectral(conv)
    if isinstance(conv, nn.Conv2d) and set(kernel) == {7} and conv.out_channels <= FEW:
        return Thin(conv)
    wide = (
        min(conv.in_channels, conv.out_channels) >= LEAST_WIDTH[dims]
        and conv.weight.numel() <= MOST_WEIGHTS
    )
    return Winograd(conv) if set(kernel) == {3} and wide and not exact else conv
