"""Faster inference of a trained network with the same output.

Batch norms are merged into convolutions, and on a CPU convolutions are replaced by cheaper ones. A
module whose attribute EXACT is true keeps its direct convolutions, where a small error would grow
(keypoints, dense motion). A module whose attribute VERBATIM is true is left unchanged, norms
included.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from thcli.engines.shared.fast_conv.few_outputs import FewOutputConv
from thcli.engines.shared.fast_conv.fft_conv import FftConv
from thcli.engines.shared.fast_conv.winograd import WinogradConv

Network = TypeVar("Network", bound=nn.Module)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
# Channels in and out from which Winograd is faster, by the kernel's dimensions.
MIN_WIDTH = {4: 128, 5: 64}
MAX_WEIGHTS = 4 << 20  # of a kernel; beyond it Winograd's fourfold memory is not worth its time
FEW_OUTPUTS = 4  # output channels that leave most of a library's sixteen lanes idle


def prepare_network(network: Network, device: torch.device, *, exact: bool = True) -> Network:
    """Fold a loaded network, move it to its device and choose the fastest convolutions there.

    exact: whether the network computes in float32.
    """
    fold_batch_norms(network)
    if device.type == "cpu" and exact:
        replace_convolutions(network)
    network.to(device)
    for module in _rewritable(network):
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
    return network


def fold_batch_norms(network: Network) -> Network:
    """Merge batch norms into the convolutions that feed them, in place.

    For inference only: the keys of the state dict change. Blocks name their pairs in FOLDS; in a
    Sequential, neighbours are pairs.
    """
    for block in list(_rewritable(network)):
        pairs = list(getattr(block, "FOLDS", ()))
        if isinstance(block, nn.Sequential):
            pairs += list(pairwise(dict(block.named_children())))
        for first, second in pairs:
            conv, batch_norm = getattr(block, first, None), getattr(block, second, None)
            if isinstance(conv, CONVOLUTIONS) and isinstance(batch_norm, BATCH_NORMS):
                _merge(conv, batch_norm)
                setattr(block, second, nn.Identity())
    return network


def _rewritable(module: nn.Module) -> Iterator[nn.Module]:
    """Iterate over the modules that may be rewritten."""
    if not getattr(module, "VERBATIM", False):
        yield module
        for child in module.children():
            yield from _rewritable(child)


def _merge(
    conv: nn.Conv2d | nn.Conv3d, batch_norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
) -> None:
    if batch_norm.running_mean is None or batch_norm.running_var is None:
        return  # the norm uses the statistics of the batch: nothing to merge
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


def replace_convolutions(network: nn.Module) -> None:
    """Replace convolutions by equal ones with fewer products, in place.

    Blocks with a faster form of their own define `fuse_for_inference`.
    """
    for block in list(_rewritable(network)):
        fuse = getattr(block, "fuse_for_inference", None)
        if fuse is not None:
            fuse()
    _replace(network)


def _replace(module: nn.Module, exact: bool = False) -> None:
    if getattr(module, "VERBATIM", False):
        return
    exact = exact or bool(getattr(module, "EXACT", False))
    for name, child in list(module.named_children()):
        if isinstance(child, CONVOLUTIONS):
            setattr(module, name, _faster_equivalent(child, exact))
        else:
            _replace(child, exact)


def _faster_equivalent(conv: nn.Conv2d | nn.Conv3d, exact: bool) -> nn.Module:
    """Return the fastest module with the same output.

    It is the convolution itself where nothing is faster, or where `exact` asks for its smaller
    rounding error.
    """
    kernel, dims = tuple(conv.weight.shape[2:]), conv.weight.dim()
    plain = set(conv.stride) | set(conv.dilation) == {1} and conv.groups == 1
    centred = tuple(conv.padding) == tuple(k // 2 for k in kernel)
    if not (plain and centred):
        return conv
    if isinstance(conv, nn.Conv3d) and set(kernel) == {7}:
        return FftConv(conv)
    if isinstance(conv, nn.Conv2d) and set(kernel) == {7} and conv.out_channels <= FEW_OUTPUTS:
        return FewOutputConv(conv)
    wide = (
        min(conv.in_channels, conv.out_channels) >= MIN_WIDTH[dims]
        and conv.weight.numel() <= MAX_WEIGHTS
    )
    return WinogradConv(conv) if set(kernel) == {3} and wide and not exact else conv
