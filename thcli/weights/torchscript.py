"""Tensors of a TorchScript archive, read without loading its program.

`torch.jit.load` compiles the program of the file (and is no longer supported on new Pythons). The
archive is a zip with a pickle of its modules' fields and one file for each storage. Here every
class of the program becomes a plain object with fields, and the pickle may call only the few
functions below. Layout: pytorch, torch/csrc/jit/serialization (pickler.cpp, export_module.cpp).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MAX_DEPTH = 64  # of nested modules


class _Module:
    """Placeholder for a class of the program: keeps its fields."""

    def __setstate__(self, state: Any) -> None:
        self.fields = state if isinstance(state, dict) else {}


class _ModuleUnpickler(pickle.Unpickler):
    """Unpickler of an archive's modules; refuses functions that are not needed for tensors."""

    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root
        self.storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return type("Module", (_Module,), {})
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) in allowed:
            return allowed[module, name]
        if module == "torch.jit._pickle":  # build_intlist etc.: the first argument is the value
            return lambda value, *_: value
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        _, dtype, key, _, count = pid
        if key not in self.storages:
            data = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            self.storages[key] = (
                torch.frombuffer(data, dtype=dtype, count=count)
                if count
                else torch.empty(0, dtype=dtype)
            )
        return self.storages[key]


def _rebuild_tensor(
    storage: torch.Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
) -> torch.Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)


def is_torchscript(path: Path) -> bool:
    """Return True if the file is a zip with TorchScript's constants.

    Raises zipfile.BadZipFile for a broken one.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Any]:
    """Read the fields of an archive's modules, nested as the modules are.

    Raises:
        pickle.UnpicklingError: the pickle asks for a function that is not allowed.
        zipfile.BadZipFile and errors of pickle and torch: the file is broken.
    """
    with zipfile.ZipFile(path) as archive:
        marker = next(name for name in archive.namelist() if name.endswith("/constants.pkl"))
        return _fields(_ModuleUnpickler(archive, marker.rpartition("/")[0]).load())


def _fields(value: Any, depth: int = 0) -> dict[str, Any]:
    if not isinstance(value, _Module) or depth > _MAX_DEPTH:
        raise pickle.UnpicklingError("it holds no modules")
    return {
        name: _fields(inner, depth + 1) if isinstance(inner, _Module) else inner
        for name, inner in getattr(value, "fields", {}).items()
    }
