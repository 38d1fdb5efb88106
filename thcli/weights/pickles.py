"""The only place that opens a pickle: with torch's weights_only, so that no code of the file ever runs.

Training frameworks leave objects of their own beside the tensors (Lightning's callbacks, an argparse.Namespace). Those of
known harmless origin are replaced by inert stand-ins that keep nothing; anything else is refused by name.
"""

from __future__ import annotations

import codecs
import json
import pickle
import warnings
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from thcli.core.errors import OutputError, WeightsError
from thcli.weights.file_checks import impostor
from thcli.weights.store import writing
from thcli.weights.torchscript import is_torchscript, read_torchscript

_BAGGAGE = (
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "omegaconf.",
    "argparse.",
    "pathlib.",
    "yacs.",
    "easydict.",
)
_NUMPY = (
    "numpy.core.multiarray.",
    "numpy._core.multiarray.",
    "numpy.dtype",
    "numpy.ndarray",
    "_codecs.encode",
)
_DROPPED = ("optimizer", "lr_scheduler", "callbacks", "loops", "amp")
_DEPTH = 16


class _Inert:
    """Stands in for an object that is not wanted: takes any arguments, items and state, and keeps none."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_pickle(
    path: Path, *, mapped: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a checkpoint by dotted name, and its plain numbers and texts as JSON; optimizer state is left out.

    mapped: leave the tensors in the file (they are gone when it changes) instead of reading it whole.
    Raises WeightsError naming what makes the file unsafe, or what else is wrong with it.
    """
    if what := impostor(path):
        raise WeightsError(f"{path} is {what}, not a checkpoint.")
    content = _read(path, mapped)
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, str] = {}
    for name, value in _leaves(content, ""):
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach()
        elif isinstance(value, str | int | float | bool):
            plain[name] = json.dumps(value)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors.")
    return tensors, plain


class _Arrays(pickle.Unpickler):
    """Reads numpy arrays, numbers and texts in plain containers; whatever else a pickle asks for is refused by name."""

    def find_class(self, module: str, name: str) -> Any:
        known = {entry[1]: entry[0] for entry in _numpy_globals() if isinstance(entry, tuple)}
        known |= {
            "numpy.ndarray": np.ndarray,
            "numpy.dtype": np.dtype,
            "_codecs.encode": codecs.encode,
        }
        if f"{module}.{name}" not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[f"{module}.{name}"]


def read_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The numpy arrays of a plain pickle (one that is not PyTorch's) by dotted name.

    Raises WeightsError naming what makes the file unsafe, or what else is wrong with it.
    """
    if what := impostor(path):
        raise WeightsError(f"{path} is {what}, not a pickle.")
    try:
        with path.open("rb") as file:
            content = _Arrays(file, encoding="latin1").load()
    except pickle.UnpicklingError as exc:
        raise _refused(path, str(exc)) from exc
    except (
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        MemoryError,
        OverflowError,
    ) as exc:
        raise WeightsError(
            f"{path} is not a whole pickle: {exc}.", "Fetch or import it again."
        ) from exc
    arrays = {
        name: value
        for name, value in _leaves(content, "")
        if isinstance(value, np.ndarray) and value.dtype != object
    }
    if not arrays:
        raise WeightsError(f"{path} holds no arrays.")
    return arrays


def convert(path: Path, target: Path, digest: str) -> None:
    """Writes the tensors of a pickle as safetensors, which remembers the pickle's sha256 (`digest`)."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors, plain = read_pickle(path, mapped=True)
    partial = target.with_name(target.name + ".partial")
    owned = _owned(tensors)
    try:
        with writing(target.parent):
            save_file(owned, partial, {**plain, "thcli.sha256": digest})
            partial.replace(target)
    except SafetensorError as exc:  # how the library reports a disk that is full
        raise OutputError(f"{target} cannot be written: {exc}.", "Free some space.") from exc
    finally:
        partial.unlink(missing_ok=True)


def _owned(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Dense tensors with a storage each, as safetensors want them; copies only views and shared ones."""
    owned: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        dense = (tensor.to_dense() if tensor.is_sparse else tensor).contiguous()
        storage = dense.untyped_storage()
        shared = (
            storage.data_ptr() in seen or storage.nbytes() != dense.numel() * dense.element_size()
        )
        seen.add(storage.data_ptr())
        owned[name] = dense.clone() if shared else dense
    return owned


def converted_from(path: Path) -> str:
    """The sha256 of the pickle that a converted file was made from; "" when it does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("thcli.sha256", ""))
    except SafetensorError:  # cut off: to be converted again
        return ""


def _read(path: Path, mapped: bool) -> Any:
    try:
        return read_torchscript(path) if is_torchscript(path) else _read_plain(path, mapped)
    except pickle.UnpicklingError as exc:
        raise _refused(path, _reason(exc)) from exc
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        zipfile.BadZipFile,
        NotImplementedError,
        zlib.error,
        MemoryError,
        OverflowError,
    ) as exc:
        # what torch, pickle and zipfile raise for files that are cut off, damaged or of another kind
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise WeightsError(
            f"{path} is not a whole PyTorch checkpoint: {reason[:300]}", "Fetch or import it again."
        ) from exc


def _read_plain(path: Path, mapped: bool) -> Any:
    stand_ins = []
    zipped = zipfile.is_zipfile(path)
    if zipped:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        stand_ins = [(_stand_in(name), name) for name in names if name.startswith(_BAGGAGE)]
        unsafe = [n for n in names if not n.startswith((*_BAGGAGE, *_NUMPY))]
        if unsafe:
            raise _refused(path, f"it asks for {unsafe[0]}")
    with (
        torch.serialization.safe_globals([*stand_ins, *_numpy_globals()]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter(
            "ignore", UserWarning
        )  # on other pickle protocols: either it loads, or it does not
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)


def _refused(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is refused, since loading it would run more than tensors: {reason}.",
        "Ask its author for safetensors, or save only its state_dict on a machine that you can lose.",
    )


def _reason(exc: pickle.UnpicklingError) -> str:
    """What was wrong, out of the advice that torch wraps it in."""
    advice = (
        "Weights only load failed",
        "Please file an issue",
        "Check the documentation",
        "(1)",
        "(2)",
        "WeightsUnpickler",
    )
    lines = [
        line.strip()
        for line in str(exc).splitlines()
        if line.strip() and not line.strip().startswith(advice)
    ]
    return lines[0][:300].rstrip(".") if lines else type(exc).__name__


def _stand_in(name: str) -> type:
    """OrderedDict for what is filled like a dictionary: torch sets items of exactly that type; its content is not kept either."""
    last = name.rpartition(".")[2]
    return (
        OrderedDict
        if last in ("AttributeDict", "CfgNode", "EasyDict")
        else type(last, (_Inert,), {})
    )


def _numpy_globals() -> list[Any]:
    """What numpy's scalars and arrays are rebuilt with: harmless, and common beside tensors."""
    import _codecs

    from numpy._core import multiarray

    kinds = [
        type(np.dtype(k))
        for k in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
    ]
    rebuild = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
        if (function := getattr(multiarray, name, None)) is not None
    ]
    return [*rebuild, np.dtype, np.ndarray, _codecs.encode, *kinds]


def _leaves(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Flattens dictionaries (and module lists of tensors) into dotted names."""
    if depth > _DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str | int) and not (depth == 0 and str(key).startswith(_DROPPED)):
                yield from _leaves(inner, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, value
