"""Reads the tensors out of a TorchScript archive without loading its program.

`torch.jit.load` compiles what the file brings (and is no longer supported on new Pythons). The archive is a zip with a pickle of
its modules' fields and one file a storage; here every class of the program is an inert bag of fields, and the only functions
that the pickle may call are the few below. Layout: pytorch, torch/csrc/jit/serialization (pickler.cpp, export_module.cpp).
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

_KINDS = {
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


class _Module:
    """Stands in for any class of the program: keeps its fields."""

    def __setstate__(self, state: Any) -> None:
        self.fields = state if isinstance(state, dict) else {}


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root
        self.storages: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] == "__torch__":
            return type("Module", (_Module,), {})
        if module == "torch" and name in _KINDS:
            return _KINDS[name]
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) in allowed:
            return allowed[module, name]
        if (
            module == "torch.jit._pickle"
        ):  # build_intlist, restore_type_tag …: their first argument is the value
            return lambda value, *_: value
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        _, kind, key, _, count = pid
        if key not in self.storages:
            data = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            self.storages[key] = (
                torch.frombuffer(data, dtype=kind, count=count)
                if count
                else torch.empty(0, dtype=kind)
            )
        return self.storages[key]


def _rebuild(
    storage: torch.Tensor, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any
) -> torch.Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)


def is_torchscript(path: Path) -> bool:
    """Whether the file is a zip with TorchScript's own mark. Raises zipfile.BadZipFile for a broken one."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Any]:
    """The fields of its modules, nested as the modules are.

    Raises pickle.UnpicklingError for a pickle that asks for anything else, and what zipfile, pickle and torch raise for broken files.
    """
    with zipfile.ZipFile(path) as archive:
        root = next(
            name for name in archive.namelist() if name.endswith("/constants.pkl")
        ).rpartition("/")[0]
        return _fields(_Reader(archive, root).load())


def _fields(value: Any, depth: int = 0) -> dict[str, Any]:
    if not isinstance(value, _Module) or depth > 64:
        raise pickle.UnpicklingError("it holds no modules")
    return {
        name: _fields(inner, depth + 1) if isinstance(inner, _Module) else inner
        for name, inner in getattr(value, "fields", {}).items()
    }
