"""Strict loading of published checkpoints.

Missing, unexpected and misshapen tensors are named; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.weights.tensors import require_keys

Network = TypeVar("Network", bound=nn.Module)
Detector = TypeVar("Detector", bound=nn.Module)
PARTS = ("kp_detector", "generator")  # of the checkpoints of FOMM and Monkey-Net
_FIRST_WIDTH = 64  # of both, as published


def load(network: Network, tensors: Mapping[str, Tensor], where: str) -> Network:
    """Copy tensors into a network.

    Of tensors on the meta device only the layout is checked. Kernels with a time axis of 1 fit
    2-D kernels. Counters of batches may be absent, as before
    torch 0.4.1.

    Args:
        network: the network to fill.
        tensors: state dict of the checkpoint.
        where: name of the weights, for messages.

    Returns:
        The network in eval mode, without gradients.

    Raises:
        WeightsError: tensors are missing, unexpected or misshapen.
    """
    wanted = network.state_dict()
    given = {key: _drop_time_axis(value, wanted.get(key)) for key, value in tensors.items()}
    require_keys(
        given, wanted, f"{where} ({type(network).__name__})", ignore=("num_batches_tracked",)
    )
    if not any(tensor.is_meta for tensor in given.values()):
        network.load_state_dict(given, strict=False)
    return network.eval().requires_grad_(False)


def width_divisor(tensors: Mapping[str, Tensor], key: str, published: int) -> int:
    """Return the divisor of the widths of a checkpoint; `thcli train --narrow` made others than 1.

    Args:
        tensors: state dict of the checkpoint.
        key: kernel whose outputs tell the width. Without it the divisor is 1, and `load` names what
            is missing.
        published: its outputs as published.
    """
    kernel = tensors.get(key)
    if kernel is None or not kernel.dim() or not 0 < len(kernel) < published:
        return 1
    return published // len(kernel)


def load_keypoint_networks(
    kinds: tuple[Callable[..., Detector], Callable[..., Network]],
    parts: Mapping[str, Mapping[str, Tensor]],
    width_key: str,
    where: str,
) -> tuple[Detector, Network]:
    """Build a keypoint detector and a generator in the width of a checkpoint and load them.

    Args:
        kinds: classes of both.
        parts: tensors of each of PARTS.
        width_key: see `width_divisor`, of the generator.
        where: name of the weights, for messages.

    Raises:
        WeightsError: the tensors are another model's.
    """
    divisor = width_divisor(parts["generator"], width_key, _FIRST_WIDTH)
    return (
        load(kinds[0](width_divisor=divisor), parts["kp_detector"], where),
        load(kinds[1](width_divisor=divisor), parts["generator"], where),
    )


def _drop_time_axis(tensor: Tensor, like: Tensor | None) -> Tensor:
    """Drop the time axis of a (out, in, 1, k, k) kernel where the network's is (out, in, k, k)."""
    timed = like is not None and tensor.dim() == 5 and like.dim() == 4 and tensor.shape[2] == 1
    return tensor[:, :, 0] if timed else tensor


def without_spectral_norm(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Merge spectral norms: X.weight = X.weight_orig / sigma with sigma = u . (W v), as in
    inference.

    Source: Miyato et al. 2018; torch.nn.utils.spectral_norm in eval mode.

    Args:
        tensors: state dict with X.weight_orig, X.weight_u, X.weight_v.
        where: name of the weights, for messages.

    Raises:
        WeightsError: u or v is missing.
    """
    out = dict(tensors)
    for key in [key for key in tensors if key.endswith(".weight_orig")]:
        stem = key.removesuffix("_orig")
        names = [stem + "_u", stem + "_v"]
        if absent := [name for name in names if name not in out]:
            raise WeightsError(
                f"{where} lacks {absent[0]}, which belongs to {key}.",
                "The file may be incomplete: download or convert it again.",
            )
        weight = out.pop(key)
        u, v = (out.pop(name) for name in names)
        out[stem] = weight / torch.dot(u, weight.flatten(1) @ v)
    return out
