"""Pickles, read with torch's weights_only so that no code of the file ever runs.

No other module opens a pickle. Training frameworks save their own objects beside the tensors
(Lightning's callbacks, an argparse.Namespace). Those of known harmless origin are replaced by
placeholders that keep nothing; a file with any other object is refused, and the object is named.
"""

from __future__ import annotations

import codecs
import io
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
from thcli.weights.archives import plausible_bytes, refuse_zip_bomb
from thcli.weights.file_checks import describe_placeholder
from thcli.weights.pickle_scan import scan_pickle
from thcli.weights.store import cache_write_errors
from thcli.weights.torchscript import is_torchscript, read_torchscript

# Modules whose objects are replaced by placeholders.
_FRAMEWORKS = (
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
_TRAINER_KEYS = ("optimizer", "lr_scheduler", "callbacks", "loops", "amp")  # of the outermost dict
_MAX_DEPTH = 16  # of nested dictionaries
_OLD_PICKLES = 5  # in a file of before PyTorch 1.6: magic, protocol, system, objects, keys


class _Discarded:
    """Placeholder for an object of a framework: accepts any arguments and state, keeps none."""

    def __new__(cls, *_: object, **__: object) -> _Discarded:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


def read_pickle(
    path: Path, *, mapped: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors of a checkpoint by dotted name; optimizer state is left out.

    Args:
        path: pickle of PyTorch, or a TorchScript archive.
        mapped: leave the tensors in the file instead of reading it whole. They become invalid
            when the file changes.

    Returns:
        The tensors, and the file's plain numbers and texts as JSON.

    Raises:
        WeightsError: the file is unsafe (the message names the object) or cannot be read.
    """
    if placeholder := describe_placeholder(path):
        raise WeightsError(f"{path} is {placeholder}, not a checkpoint.")
    content = _read(path, mapped)
    room = plausible_bytes(path)
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, str] = {}
    for name, value in _flatten(content, ""):
        if isinstance(value, torch.Tensor):
            tensors[name] = value.detach()
            room -= value.numel() * value.element_size()  # of an expanded one more than is stored
            if room < 0:
                raise WeightsError(f"{path} is refused: its tensor {name} is implausibly large.")
        elif isinstance(value, str | int | float | bool):
            plain[name] = json.dumps(value)
    if not tensors:
        raise WeightsError(f"{path} holds no tensors.")
    return tensors, plain


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler of numpy arrays, numbers and texts in plain containers; refuses any other class."""

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
    """Read the numpy arrays of a plain pickle (not PyTorch's) by dotted name.

    Raises:
        WeightsError: the file is unsafe (the message names the object) or cannot be read.
    """
    if placeholder := describe_placeholder(path):
        raise WeightsError(f"{path} is {placeholder}, not a pickle.")
    try:
        with path.open("rb") as file:
            scan_pickle(file, path.stat().st_size)
            file.seek(0)
            content = _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError as exc:
        raise _unsafe_error(path, str(exc)) from exc
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
            f"{path} is not a whole pickle: {exc}.", "Download or import it again."
        ) from exc
    arrays = {
        name: value
        for name, value in _flatten(content, "")
        if isinstance(value, np.ndarray) and value.dtype != object
    }
    if not arrays:
        raise WeightsError(f"{path} holds no arrays.")
    return arrays


def convert(path: Path, target: Path, digest: str) -> None:
    """Write the tensors of a pickle as safetensors.

    Args:
        path: pickle.
        target: file to write.
        digest: sha256 of the pickle, recorded in the metadata of the target.

    Raises:
        WeightsError: the pickle is unsafe or cannot be read.
        OutputError: the target cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors, plain = read_pickle(path, mapped=True)
    partial = target.with_name(target.name + ".partial")
    dense = _with_own_storage(tensors)
    try:
        with cache_write_errors(target.parent):
            save_file(dense, partial, {**plain, "thcli.sha256": digest})
            partial.replace(target)
    except SafetensorError as exc:  # the library's report of a full disk
        raise OutputError(f"{target} cannot be written: {exc}.", "Free some space.") from exc
    finally:
        partial.unlink(missing_ok=True)


def _with_own_storage(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return dense tensors with one storage each, as safetensors require.

    Only views and tensors that share a storage are copied.
    """
    result: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        dense = (tensor.to_dense() if tensor.is_sparse else tensor).contiguous()
        storage = dense.untyped_storage()
        is_view = storage.nbytes() != dense.numel() * dense.element_size()
        shared = storage.data_ptr() in seen or is_view
        seen.add(storage.data_ptr())
        result[name] = dense.clone() if shared else dense
    return result


def converted_from(path: Path) -> str:
    """Return the sha256 of the pickle that a file was converted from, "" where unknown."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("thcli.sha256", ""))
    except SafetensorError:  # cut off: it is converted again
        return ""


def _read(path: Path, mapped: bool) -> Any:
    try:
        if zipfile.is_zipfile(path):
            refuse_zip_bomb(path)
        _scan(path)
        return read_torchscript(path) if is_torchscript(path) else _load(path, mapped)
    except pickle.UnpicklingError as exc:
        raise _unsafe_error(path, _unpickling_reason(exc)) from exc
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
        # torch, pickle and zipfile raise these for files that are cut off or of another kind
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
        raise WeightsError(
            f"{path} is not a whole PyTorch checkpoint: {reason[:300].rstrip('.')}.",
            "Download or import it again.",
        ) from exc


def _scan(path: Path) -> None:
    """Raise ValueError or LookupError for pickles that no reader bears, such as deep nesting."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl"):
                    scan_pickle(io.BytesIO(archive.read(name)), size)
        return
    with path.open("rb") as file:
        for _ in range(_OLD_PICKLES):
            scan_pickle(file, size)
            if file.tell() == size:  # another kind of pickle
                return


def _load(path: Path, mapped: bool) -> Any:
    placeholders = []
    zipped = zipfile.is_zipfile(path)
    if zipped:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        placeholders = [
            (_placeholder(name), name) for name in names if name.startswith(_FRAMEWORKS)
        ]
        unsafe = [n for n in names if not n.startswith((*_FRAMEWORKS, *_NUMPY))]
        if unsafe:
            raise _unsafe_error(path, f"it asks for {unsafe[0]}")
    with (
        torch.serialization.safe_globals([*placeholders, *_numpy_globals()]),
        warnings.catch_warnings(),
    ):
        # torch warns of other pickle protocols; such a file loads or it does not
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipped)


def _unsafe_error(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is refused, since loading it would run more than tensors: {reason}.",
        "Ask its author for safetensors, or save only its state_dict on an isolated machine.",
    )


def _unpickling_reason(exc: pickle.UnpicklingError) -> str:
    """Return the cause of a refusal, without the advice that torch adds to it."""
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


def _placeholder(name: str) -> type:
    """Return a class that replaces a framework's class.

    It is OrderedDict for classes that are filled like a dictionary: torch sets items only of that
    very type. Their content is not kept either.
    """
    last = name.rpartition(".")[2]
    if last in ("AttributeDict", "CfgNode", "EasyDict"):
        return OrderedDict
    return type(last, (_Discarded,), {})


def _numpy_globals() -> list[Any]:
    """Return the functions that rebuild numpy scalars and arrays; they are harmless."""
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


def _flatten(value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested dictionaries with their dotted names."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            dropped = depth == 0 and str(key).startswith(_TRAINER_KEYS)
            if isinstance(key, str | int) and not dropped:
                yield from _flatten(inner, f"{name}.{key}" if name else str(key), depth + 1)
    else:
        yield name, value
