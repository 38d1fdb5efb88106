"""Access to verified weights: the file of a registry entry, and its tensors in a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from thcli.core.device import convert_out_of_memory
from thcli.weights.manage import locate
from thcli.weights.registry import check_licence, registry
from thcli.weights.tensors import require_keys

if TYPE_CHECKING:
    import torch

# Absent from files older than PyTorch 0.4.1, and never read in evaluation.
_OPTIONAL_KEYS = ("num_batches_tracked",)


def weights_path(name: str, licence: Literal["any", "free"], member: str = "") -> Path:
    """Return the verified file of an entry of weights.toml.

    Args:
        name: entry of weights.toml.
        licence: licence that the job allows.
        member: file inside the entry, where the entry is an archive.

    Raises:
        WeightsError: the file is absent (the hint is the command that gets it), or
            `check_licence` refuses it.
    """
    check_licence(name, licence)
    path = locate(name)
    return path / member if registry()[name].archive else path


def load_state(
    network: torch.nn.Module, tensors: dict[str, torch.Tensor], name: str, device: torch.device
) -> None:
    """Load tensors into a network strictly, move it to the device and freeze it for evaluation.

    The prefix `module.` of keys (a network saved from DataParallel) is removed. Of tensors on the
    meta device only the layout is checked.

    Args:
        network: network to fill, in place.
        tensors: state dict of the weights file.
        name: name of the weights, for messages.
        device: device on which the network runs.

    Raises:
        WeightsError: keys or shapes differ; the message names them.
        DeviceError: the device's memory is full.
    """
    state = {key.removeprefix("module."): value for key, value in tensors.items()}
    own = network.state_dict()
    require_keys(state, own, name, ignore=_OPTIONAL_KEYS)
    if any(tensor.is_meta for tensor in state.values()):
        return
    network.load_state_dict({**own, **{k: v for k, v in state.items() if k in own}})
    with convert_out_of_memory(device, f"for {name}", "Use --device cpu."):
        network.to(device).eval().requires_grad_(False)
