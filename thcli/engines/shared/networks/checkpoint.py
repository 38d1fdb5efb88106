"""Published checkpoints into our networks, strictly: what is missing or strange is named, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from thcli.core.errors import WeightsError
from thcli.weights.tensors import require_keys

Network = TypeVar("Network", bound=nn.Module)


def load(network: Network, tensors: Mapping[str, Tensor], where: str) -> Network:
    """Copies tensors into the network, which is returned in eval mode, without gradients.

    Kernels with a time axis of 1 fit ours without it; counters of batches may be absent, as before torch 0.4.1.
    where: the weights' name, for messages.  Raises WeightsError naming missing, unexpected or misshapen tensors.
    """
    wanted = network.state_dict()
    given = {key: _flat(value, wanted.get(key)) for key, value in tensors.items()}
    require_keys(
        given, wanted, f"{where} ({type(network).__name__})", ignore=("num_batches_tracked",)
    )
    network.load_state_dict(given, strict=False)
    return network.eval().requires_grad_(False)


def _flat(tensor: Tensor, like: Tensor | None) -> Tensor:
    """Without the time axis of a (out, in, 1, k, k) kernel where ours is (out, in, k, k)."""
    timed = like is not None and tensor.dim() == 5 and like.dim() == 4 and tensor.shape[2] == 1
    return tensor[:, :, 0] if timed else tensor


def without_spectral_norm(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """X.weight_orig, X.weight_u, X.weight_v -> X.weight = weight_orig / sigma, sigma = u . (W v): what inference uses.

    Raises WeightsError when u or v is missing.  Source: Miyato et al. 2018; torch.nn.utils.spectral_norm in eval mode.
    """
    out = dict(tensors)
    for key in [key for key in tensors if key.endswith(".weight_orig")]:
        stem = key.removesuffix("_orig")
        names = [stem + "_u", stem + "_v"]
        if absent := [name for name in names if name not in out]:
            raise WeightsError(
                f"{where} lacks {absent[0]}, which belongs to {key}.", "Is the file complete?"
            )
        weight = out.pop(key)
        u, v = (out.pop(name) for name in names)
        out[stem] = weight / torch.dot(u, weight.flatten(1) @ v)
    return out
