"""Published checkpoints into our networks, strictly: what is missing or strange is named, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from thcli.core.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)


def part(tensors: Mapping[str, Tensor], prefix: str, where: str) -> dict[str, Tensor]:
    """A checkpoint's sub-network: the tensors below `prefix.`, without it. Raises WeightsError when there is none."""
    found = {key[len(prefix) + 1 :]: value for key, value in tensors.items() if key.startswith(prefix + ".")}
    if not found:
        groups = sorted({key.split(".")[0] for key in tensors})
        raise WeightsError(
            f"{where} has no {prefix!r}; it holds {', '.join(groups[:6]) or 'nothing'}.",
            "It may be another model's file: see 'thcli weights list'.",
        )
    return found


def load(network: Network, tensors: Mapping[str, Tensor], where: str) -> Network:
    """Copies tensors into the network, which is returned in eval mode, without gradients.

    Kernels with a time axis of 1 fit ours without it; counters of batches (num_batches_tracked) may be absent, as before torch 0.4.1.
    where: the file, for messages.  Raises WeightsError naming missing, unexpected or misshapen tensors.
    """
    wanted = network.state_dict()
    given = {key: _flat(value, wanted[key]) if key in wanted else value for key, value in tensors.items()}
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    strange = [key for key in given if key not in wanted]
    shapes = [
        f"{key} {tuple(value.shape)} instead of {tuple(wanted[key].shape)}"
        for key, value in given.items()
        if key in wanted and value.shape != wanted[key].shape
    ]
    wrong = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unexpected", strange), ("of another shape", shapes))
        if names
    ]
    if wrong:
        raise WeightsError(
            f"{where} does not fit {type(network).__name__}: {'; '.join(wrong)}.",
            "Is it the checkpoint of another model or configuration?",
        )
    network.load_state_dict(given, strict=False, assign=False)
    return network.eval().requires_grad_(False)


def _flat(tensor: Tensor, like: Tensor) -> Tensor:
    """Without the time axis of a (out, in, 1, k, k) kernel where ours is (out, in, k, k)."""
    return tensor[:, :, 0] if tensor.dim() == 5 and like.dim() == 4 and tensor.shape[2] == 1 else tensor


def without_spectral_norm(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """X.weight_orig, X.weight_u, X.weight_v -> X.weight = weight_orig / sigma, sigma = u . (W v): what inference uses.

    Raises WeightsError when u or v is missing.  Source: Miyato et al. 2018; torch.nn.utils.spectral_norm in eval mode.
    """
    out = dict(tensors)
    for key in [key for key in tensors if key.endswith(".weight_orig")]:
        stem = key.removesuffix("_orig")
        names = [stem + "_u", stem + "_v"]
        if absent := [name for name in names if name not in out]:
            raise WeightsError(f"{where} lacks {absent[0]}, which belongs to {key}.", "Is the file complete?")
        weight = out.pop(key)
        u, v = (out.pop(name) for name in names)
        out[stem] = weight / torch.dot(u, weight.flatten(1) @ v)
    return out
