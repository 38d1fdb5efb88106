"""A CUDA device without numbers: torch's FakeTensorMode, on machines without CUDA too.

Every operation checks devices and types as on a GPU, autocast included, and computes shapes alone.
PyTorch built without CUDA refuses a few of its bindings for such tensors; they are replaced here by
operators that it does not refuse. The host reads zeros.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thcli.core import device as devices
from thcli.engines.shared.networks import grid

CUDA = torch.device("cuda", 0)
# Functions that may wait for the device: what they read goes to the host right away.
MAY_WAIT = {
    "images_from_tensor": "the images follow",
    "_predict_rows": "the rows follow",
}
aten = torch.ops.aten


# Operators whose floating-point tensors must be of one type, which fake ones need not be.
ONE_TYPE = {
    aten.mm,
    aten.addmm,
    aten.bmm,
    aten.baddbmm,
    aten.linear,
    aten.convolution,
    aten.grid_sampler_2d,
    aten.grid_sampler_3d,
    aten.index_put,
    aten.index_put_,
}


class OneType(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own
    """Checks ONE_TYPE as CUDA's kernels do, after autocast."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func.overloadpacket in ONE_TYPE:
            tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
            found = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
            if len(found) > 1:
                raise RuntimeError(f"{func} needs tensors of the same dtype, not {found}.")
        return func(*args, **(kwargs or {}))


class WaitsForDeviceError(AssertionError):
    """A network reads a number of the device on the host, which stops both."""


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Enter a mode in which all new tensors are fake and `cuda` exists."""
    fake = FakeTensorMode(allow_non_fake_inputs=False)
    one_type = OneType()  # type: ignore[no-untyped-call]  # torch's own
    with monkeypatch.context() as patch, fake, one_type:
        patch.setattr(devices, "_find_device", lambda name: "cuda:0" if "cuda" in name else "cpu")
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *args, **given: True)
        patch.setattr(nn.Module, "_apply", _apply)
        patch.setattr(torch, "tensor", _tensor)
        for name, replacement in _REPLACEMENTS.items():
            patch.setattr(Tensor, name, _for_fakes(getattr(Tensor, name), replacement))
        caches = (grid.axis, grid.identity)
        for cached in caches:
            cached.cache_clear()
        try:
            yield
        finally:
            for cached in caches:
                cached.cache_clear()


def _for_fakes(original: Any, replacement: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        chosen = replacement if isinstance(self, FakeTensor) else original
        return chosen(self, *args, **kwargs)

    return call


def _apply(self: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """Convert parameters and buffers; like the original, no other attribute."""
    for module in self.modules() if recurse else [self]:
        for key, parameter in module._parameters.items():
            if parameter is not None:
                new = nn.Parameter(fn(parameter.detach()), parameter.requires_grad)
                module._parameters[key] = new
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = fn(buffer)
    return self


def _view(tensor: Tensor, key: Any) -> tuple[Tensor, list[Tensor | None]]:
    """Apply the numbers, slices, None and ... of an index; return the view and its tensors."""
    keys = list(key) if isinstance(key, tuple) else [key]
    used = sum(k is not None and k is not Ellipsis for k in keys)
    out, dim, tensors = tensor, 0, dict[int, Tensor]()
    for k in keys:
        if k is Ellipsis:
            dim += tensor.dim() - used
        elif k is None:
            out, dim = aten.unsqueeze(out, dim), dim + 1
        elif isinstance(k, slice):
            out = aten.slice(out, dim, k.start, k.stop, 1 if k.step is None else k.step)
            dim += 1
        elif isinstance(k, Tensor | list | np.ndarray):
            tensors[dim] = torch.as_tensor(k)
            dim += 1
        else:
            out = aten.select(out, dim, int(k))
    return out, [tensors.get(d) for d in range(max(tensors, default=-1) + 1)]


def _get(self: Tensor, key: Any) -> Any:
    view, tensors = _view(self, key)
    return aten.index(view, tensors) if tensors else view


def _set(self: Tensor, key: Any, value: Any) -> None:
    view, tensors = _view(self, key)
    if not isinstance(value, Tensor):
        value = torch.full((), value, dtype=self.dtype, device=self.device)
    elif value.device != self.device and value.dim():
        raise RuntimeError(f"Expected all tensors to be on {self.device}, not {value.device}.")
    if tensors:
        aten.index_put_(view, tensors, value)
    else:
        aten.copy_(view, value)


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    device, dtype = kwargs.get("device"), kwargs.get("dtype")
    for arg in args:
        if isinstance(arg, str | torch.device):
            device = arg
        elif isinstance(arg, torch.dtype):
            dtype = arg
        elif isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
    place = self.device if device is None else torch.device(device)
    place = CUDA if place.type == "cuda" else place
    dtype = self.dtype if dtype is None else dtype
    if (place, dtype) == (self.device, self.dtype) and not kwargs.get("copy"):
        return self
    return aten._to_copy(self, device=place, dtype=dtype)


def _contiguous(self: Tensor, memory_format: Any = torch.contiguous_format) -> Any:
    if aten.is_contiguous(self, memory_format=memory_format):
        return self
    return aten.clone(self, memory_format=memory_format)


def _tensor(data: Any, *, dtype: Any = None, device: Any = None, **kwargs: Any) -> Tensor:
    made = _new(data, dtype=dtype, **kwargs)
    return made if device is None else _to(made, device)


_new = torch.tensor


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    copied: Tensor = memo.setdefault(id(self), aten.clone(self.detach()))
    return copied


def _new_tensor(self: Tensor, data: Any) -> Tensor:
    return torch.tensor(data, dtype=self.dtype, device=self.device)


def _numpy(self: Tensor, *, force: bool = False) -> Any:
    if self.device.type != "cpu":
        raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
    if self.requires_grad:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
    kind = str(self.dtype).removeprefix("torch.")
    if kind == "bfloat16":
        raise TypeError("Got unsupported ScalarType BFloat16")
    return np.zeros(tuple(self.shape), kind)


def _wait(kind: Callable[[float], Any]) -> Callable[[Tensor], Any]:
    def read(self: Tensor) -> Any:
        if self.device.type != "cpu" and sys._getframe(2).f_code.co_name not in MAY_WAIT:
            raise WaitsForDeviceError(f"{kind} of a tensor on {self.device}")
        return kind(1)

    return read


_REPLACEMENTS: dict[str, Callable[..., Any]] = {
    "__getitem__": _get,
    "__setitem__": _set,
    "to": _to,
    "__invert__": aten.bitwise_not,
    "__deepcopy__": _deepcopy,
    "new_tensor": _new_tensor,
    "contiguous": _contiguous,
    "float": lambda self: _to(self, torch.float32),
    "half": lambda self: _to(self, torch.float16),
    "numpy": _numpy,
    "item": _wait(float),
    "__bool__": _wait(bool),
    "__float__": _wait(float),
    "__int__": _wait(int),
    "tolist": _wait(lambda number: [number]),
}
