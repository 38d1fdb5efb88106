"""The only place that opens a pickle: with torch's weights_only, so that no code of the file ever runs.

Training frameworks leave objects of their own beside the tensors (Lightning's callbacks, an argparse.Namespace). Those of
known harmless origin are replaced by inert stand-ins that keep nothing; anything else is refused by name.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from thcli.core.errors import WeightsError
from thcli.weights.contents import impostor

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
_NUMPY = ("numpy.core.multiarray.", "numpy._core.multiarray.", "numpy.dtype", "numpy.ndarray", "_codecs.encode")
_DROPPED = ("optimizer", "lr_scheduler", "callbacks", "loops", "amp")
_DEPTH = 16


class _Inert:
    """Stands in for an object that is not wanted: takes any arguments, items and state, and keeps none."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, _: object) -> None: ...


class _InertDict(dict[Any, Any]):
    """The same for what is filled like a dictionary (AttributeDict, DictConfig)."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None: ...


def read_pickle(path: Path, *, script: bool = False) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors of a checkpoint by dotted name, and its plain numbers and texts as JSON; optimizer state is left out.

    script: TorchScript is taken too; ask for it only where the file is the one that its publisher (or the user) vouches for.
    Raises WeightsError naming what makes the file unsafe, or what else is wrong with it.
    """
    if what := impostor(path):
        raise WeightsError(f"{path} is {what}, not a checkpoint.")
    if _is_script(path) and not script:
        raise WeightsError(
            f"{path} is TorchScript, a program and not only tensors.", "Import it under its name: thcli weights import."
        )
    content = _read_script(path) if _is_script(path) else _read_plain(path)
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


def convert(path: Path, target: Path, digest: str, *, script: bool = False) -> None:
    """Writes the tensors of a pickle as safetensors, which remembers the pickle's sha256 (`digest`)."""
    from safetensors.torch import save_file

    tensors, plain = read_pickle(path, script=script)
    partial = target.with_name(target.name + ".partial")
    owned = {name: tensor.to_dense().contiguous().clone() if tensor.is_sparse else tensor.contiguous().clone() for name, tensor in tensors.items()}  # fmt: skip
    try:
        save_file(owned, partial, {**plain, "thcli.sha256": digest})
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def converted_from(path: Path) -> str:
    """The sha256 of the pickle that a converted file was made from; "" when it does not say."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("thcli.sha256", ""))
    except SafetensorError:  # cut off: to be converted again
        return ""


def _read_plain(path: Path) -> Any:
    stand_ins = []
    if zipfile.is_zipfile(path):
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        except (ValueError, RuntimeError, pickle.UnpicklingError, EOFError) as exc:
            raise _broken(path, exc) from exc
        stand_ins = [(_stand_in(name), name) for name in names if name.startswith(_BAGGAGE)]
        unsafe = [n for n in names if not n.startswith((*_BAGGAGE, *_NUMPY))]
        if unsafe:
            raise WeightsError(
                f"{path} is refused: loading it would run {unsafe[0]}, which is not a tensor.",
                "Ask its author for safetensors, or save only its state_dict on a machine that you can lose.",
            )
    try:
        with torch.serialization.safe_globals([*stand_ins, *_numpy_globals()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        first = str(exc).strip().splitlines()[0]
        raise WeightsError(
            f"{path} is refused: it cannot be loaded without running what is in it ({first[:300]})",
            "Ask its author for safetensors, or save only its state_dict on a machine that you can lose.",
        ) from exc
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, AssertionError, IndexError) as exc:
        raise _broken(path, exc) from exc  # what torch raises for files that are cut off or of another kind


def _broken(path: Path, exc: BaseException) -> WeightsError:
    reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
    return WeightsError(f"{path} is not a whole PyTorch checkpoint: {reason[:300]}", "Fetch or import it again.")


def _stand_in(name: str) -> type:
    base: type = (
        _InertDict if name.rpartition(".")[2] in ("AttributeDict", "DictConfig", "CfgNode", "EasyDict") else _Inert
    )
    return type(name.rpartition(".")[2], (base,), {})


def _numpy_globals() -> list[Any]:
    """What numpy's scalars and arrays are rebuilt with: harmless, and common beside tensors."""
    import _codecs

    import numpy as np
    from numpy._core import multiarray

    kinds = [type(np.dtype(k)) for k in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    rebuild = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
        if (function := getattr(multiarray, name, None)) is not None
    ]
    return [*rebuild, np.dtype, np.ndarray, _codecs.encode, *kinds]


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile as exc:
        raise _broken(path, exc) from exc


def _read_script(path: Path) -> Any:
    try:
        return torch.jit.load(str(path), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]  # torch's
    except RuntimeError as exc:
        raise _broken(path, exc) from exc


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
