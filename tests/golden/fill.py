"""Deterministic parameters, buffers and inputs of the golden comparisons.

They depend on a name and an offset alone, so the reference program fills the same numbers.
"""

from __future__ import annotations

import copy
import ctypes
import gc
import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thcli.core.types import Array32
from thcli.engines.shared.fast_conv.fast import prepare_network
from thcli.engines.shared.networks.checkpoint import load
from thcli.engines.shared.networks.decoder import SpadeDecoder
from thcli.engines.shared.networks.spade import SpadeBlock

Network = TypeVar("Network", bound=nn.Module)
Fill = Callable[[str, Tensor], None]  # fills the tensor of a key in place
AT_A_TIME = 1 << 15  # numbers that are drawn in float64 before they are rounded


def normal(name: str, shape: tuple[int, ...], offset: int) -> Array32:
    """Draw standard normal float32 numbers, seeded by the checksum of the name."""
    chance = np.random.default_rng(crc32(name.encode()) + offset)
    out = np.empty(shape, np.float32)
    flat = out.reshape(-1)
    for first in range(0, flat.size, AT_A_TIME):
        part = flat[first : first + AT_A_TIME]
        part[:] = chance.standard_normal(part.size)
    return out


def value(key: str, shape: tuple[int, ...], offset: int = 0, gain: float = 1.0) -> Tensor:
    """Fill a parameter or buffer by the kind of its key.

    Variances are 0.5 + |v| / 2, means v / 10, norm scales 1 + v / 10, biases v / 20, other tensors
    gain * v / sqrt(fan in), with v standard normal.
    """
    v = normal(key, shape, offset)
    leaf = key.rpartition(".")[2]
    if leaf == "running_var":
        v = (0.5 + 0.5 * np.abs(v)).astype(np.float32)
    elif leaf == "running_mean":
        v = 0.1 * v
    elif len(shape) <= 1:
        v = 1 + 0.1 * v if leaf.startswith("weight") else 0.05 * v
    else:
        if gain != 1:
            v *= np.float32(gain)
        np.divide(v, np.sqrt(np.prod(shape[1:])), out=v, casting="same_kind")  # in float64
    return torch.from_numpy(v)


def state(
    like: Mapping[str, Tensor],
    offset: int,
    gain: float = 1.0,
    keep: Callable[[str], bool] = lambda key: False,
) -> dict[str, Tensor]:
    """Fill tensors of these keys and shapes.

    Integers, and keys that `keep` accepts, stay unchanged.
    """
    return {
        key: value(key, tuple(t.shape), offset, gain)
        if t.is_floating_point() and not keep(key)
        else (torch.zeros_like(t, device="cpu") if t.is_meta else t)
        for key, t in like.items()
    }


def shapes(make: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Return the keys and shapes of a network for `state`, without memory for its tensors."""
    with torch.device("meta"):
        return make().state_dict()


class Unfilled(TorchFunctionMode):
    """Context in which networks are built without drawing their parameters.

    Memory that is never written takes no room.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def by_value(
    offset: int, prefix: str = "", keep: Callable[[str], bool] = lambda key: False
) -> Fill:
    """Return a function that fills a tensor in place as `state` does.

    prefix: of every key. Integers, and keys that `keep` accepts, stay unchanged.
    """

    def fill(key: str, tensor: Tensor) -> None:
        if tensor.is_floating_point() and not keep(f"{prefix}{key}"):
            tensor.copy_(value(f"{prefix}{key}", tuple(tensor.shape), offset))

    return fill


def prepare(network: Network, fill: Fill | None = None, large: Sequence[nn.Module] = ()) -> Network:
    """Fill a network for inference, and prepare it as the engines do.

    Of `large` parts each block is filled and prepared only while it runs: the weights of the
    largest networks take a gigabyte, and Winograd's kernels four times the memory of theirs. Blocks
    are the items of a list of modules, else the part itself; they must be called as modules.

    fill: fills the tensor of a key in place; None for a network that is filled already.
    """
    blocks = [
        block
        for part in large
        for block in (part.children() if isinstance(part, nn.ModuleList) else [part])
    ]
    names = {module: f"{name}." for name, module in network.named_modules()}
    later = tuple(names[block] for block in blocks)
    network.eval().requires_grad_(False)
    for key, tensor in network.state_dict().items():
        if fill is not None and not key.startswith(later):
            fill(key, tensor)
    for block in blocks:
        block.VERBATIM = True  # type: ignore[assignment]  # it is left to the hooks
    prepare_network(network, torch.device("cpu"))
    for block in blocks:
        del block.VERBATIM
        _prepare_when_called(block, names[block], fill)
    return network


def spade_blocks(decoder: SpadeDecoder) -> list[nn.Module]:
    """Return the large blocks of a SPADE decoder."""
    return [module for module in decoder.children() if isinstance(module, SpadeBlock)]


def _prepare_when_called(block: nn.Module, prefix: str, fill: Fill | None) -> None:
    own = block.__dict__

    def change(module: nn.Module, inputs: object) -> None:
        filled = copy.deepcopy(module)
        for key, tensor in filled.state_dict().items():
            if fill is not None:
                fill(prefix + key, tensor)
        prepared = prepare_network(filled, torch.device("cpu"))
        module.__dict__ = prepared.__dict__  # with copies of the hooks

    def restore(module: nn.Module, inputs: object, output: object) -> None:
        module.__dict__ = own
        release_memory()

    block.register_forward_pre_hook(change)
    block.register_forward_hook(restore)


def remember(*networks: nn.Module) -> None:
    """Have networks compute equal inputs once; several stages of a file share many of them.

    networks: their weights do not change afterwards.
    """
    for network in networks:
        network.forward = _Remembered(network.forward)


class _Remembered:
    """A function of tensors and its earlier results, by the digest of their bytes."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function, self._results = function, dict[bytes, Tensor]()

    def __call__(self, *given: Tensor) -> Tensor:
        digest = hashlib.blake2b()
        for tensor in given:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().data)
        key = digest.digest()
        if key not in self._results:
            self._results[key] = self._function(*given)
        return self._results[key].clone()


def release_memory() -> None:
    """Return the memory of networks that are no longer used to the system."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def drop(*networks: nn.Module) -> None:
    """Release the tensors of networks that are no longer used."""
    for network in networks:
        network.to("meta")
    release_memory()


def image(name: str, index: int, offset: int, *, smooth: bool = True) -> Tensor:
    """Create a (1, 3, 256, 256) image in 0..1: 16 x 16 random colours.

    They are upsampled bilinearly, or as hard squares when not `smooth`.
    """
    small = torch.from_numpy(
        1 / (1 + np.exp(-normal(f"{name}/input-{index}", (1, 3, 16, 16), offset)))
    )
    if smooth:
        return nn.functional.interpolate(small, (256, 256), mode="bilinear", align_corners=False)
    return small.repeat_interleave(16, 2).repeat_interleave(16, 3)


def network(empty: Network, tensors: Mapping[str, Tensor]) -> Network:
    """Load tensors strictly and prepare the network exactly as the engines do."""
    return prepare_network(load(empty, tensors, "golden"), torch.device("cpu"))
