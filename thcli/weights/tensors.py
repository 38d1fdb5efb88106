"""Safe loading: safetensors as they are, pickles through `pickles.py` (converted once), never anything that runs code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Listener, silent
from thcli.weights.file_checks import impostor, is_safetensors, sha256_of
from thcli.weights.manage import converted, locate
from thcli.weights.registry import PICKLES, find
from thcli.weights.store import Store

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

_PICKLE_NAMES = (".pth", ".pt", ".tar", ".ckpt", ".bin", ".model", ".pkl")


class Shaped(Protocol):
    """A tensor, an array, or anything else with a shape."""

    @property
    def shape(self) -> Any: ...


@overload
def load_tensors(
    source: str | Path,
    framework: Literal["torch"] = ...,
    *,
    prefix: str | None = ...,
    member: str = ...,
    offline: bool = ...,
    on: Listener = ...,
    store: Store | None = ...,
) -> dict[str, torch.Tensor]: ...
@overload
def load_tensors(
    source: str | Path,
    framework: Literal["numpy"],
    *,
    prefix: str | None = ...,
    member: str = ...,
    offline: bool = ...,
    on: Listener = ...,
    store: Store | None = ...,
) -> dict[str, npt.NDArray[np.generic]]: ...


def load_tensors(
    source: str | Path,
    framework: Literal["torch", "numpy"] = "torch",
    *,
    prefix: str | None = None,
    member: str = "",
    offline: bool = False,
    on: Listener = silent,
    store: Store | None = None,
) -> dict[str, Any]:
    """name -> tensor, on the CPU, of an entry (a str: its name in weights.toml) or of a file (a Path).

    Nested dictionaries of a pickle are flattened with dots.  prefix: only the tensors below it, without it; None: the entry's
    key_prefix.  member: the file meant, of an archive.  framework "numpy" needs no torch for safetensors.
    Raises WeightsError when the weights are absent, altered, not tensors, or cannot be loaded without running foreign code.
    """
    if isinstance(source, Path):
        table = _read_file(source, framework, prefix or "")
        return _or_complain(table, str(source), prefix or "")
    store = store or Store.default()
    entry = find(store.entries, source)
    path = locate(source, offline=offline, on=on, store=store)
    if entry.archive:
        if member not in entry.members:
            raise UsageError(
                f"{source} has no member {member!r}.", f"It has: {', '.join(entry.members)}."
            )
        path, digest = path / member, store.expected(entry)[member]
    else:
        digest = store.expected(entry)[entry.file]
    wanted = entry.key_prefix if prefix is None else prefix
    if (
        path.suffix in _PICKLE_NAMES if entry.archive else entry.format in PICKLES
    ) and not is_safetensors(path):
        path = _converted_once(path, digest)
    return _or_complain(_read_file(path, framework, wanted), source, wanted)


def load_arrays(
    name: str, *, offline: bool = False, on: Listener = silent, store: Store | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """name -> array of an entry whose format is "pickle": plain arrays, read without running anything of the file.

    Raises WeightsError as `load_tensors` does.
    """
    from thcli.weights.pickles import read_arrays

    return read_arrays(locate(name, offline=offline, on=on, store=store))


def require_keys(
    found: Mapping[str, Shaped], wanted: Mapping[str, Shaped], what: str, ignore: Iterable[str] = ()
) -> None:
    """Checks that `found` has exactly the keys and shapes of `wanted` (a network's own state).

    what: named in the error.  ignore: endings of keys that may be missing or too many, such as "num_batches_tracked".
    Raises WeightsError with the counts and the first few names.
    """
    endings = tuple(ignore)
    missing = [k for k in wanted if k not in found and not k.endswith(endings or ("\0",))]
    strange = [k for k in found if k not in wanted and not k.endswith(endings or ("\0",))]
    shapes = [
        f"{k} is {tuple(found[k].shape)} in place of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in found and tuple(found[k].shape) != tuple(wanted[k].shape)
    ]
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for names, word in (
            (missing, "missing"),
            (strange, "unexpected"),
            (shapes, "of another shape"),
        )
        if names
    ]
    if parts:
        raise WeightsError(
            f"{what} does not fit its network: {', '.join(parts)}.",
            "Is it the file for this engine and configuration?",
        )


def convert(source: Path, target: Path | None = None) -> Path:
    """Writes the tensors of a checkpoint as safetensors (beside it, unless told where) without running anything of it."""
    from thcli.weights import pickles

    target = target or source.with_suffix(".safetensors")
    pickles.convert(source, target, sha256_of(source))
    return target


def _converted_once(path: Path, digest: str) -> Path:
    from thcli.weights.pickles import convert, converted_from

    target = converted(path)
    if not target.is_file() or converted_from(target) != digest:
        convert(path, target, digest)
    return target


def _read_file(path: Path, framework: Literal["torch", "numpy"], prefix: str) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"There is no file {path}.")
    if path.suffix == ".safetensors" or is_safetensors(path):
        return _read_safetensors(path, framework, prefix)
    if path.suffix not in _PICKLE_NAMES:
        raise WeightsError(
            f"{path} is not a file of tensors: safetensors or {', '.join(_PICKLE_NAMES)} are."
        )
    from thcli.weights.pickles import read_pickle

    flat = {
        k.removeprefix(prefix): v for k, v in read_pickle(path)[0].items() if k.startswith(prefix)
    }
    return flat if framework == "torch" else {k: v.numpy() for k, v in flat.items()}


def _read_safetensors(
    path: Path, framework: Literal["torch", "numpy"], prefix: str
) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    if what := impostor(path):
        raise WeightsError(f"{path} is {what}, not safetensors.")
    try:
        with safe_open(path, framework="pt" if framework == "torch" else "np") as file:
            return {
                k.removeprefix(prefix): file.get_tensor(k)
                for k in file.keys()  # noqa: SIM118  # not a dict
                if k.startswith(prefix)
            }
    except SafetensorError as exc:
        raise WeightsError(
            f"{path} is not a whole safetensors file: {exc}.", "Fetch or import it again."
        ) from exc


def _or_complain(table: dict[str, Any], what: str, prefix: str) -> dict[str, Any]:
    if not table:
        raise WeightsError(f"{what} holds no tensors{f' below {prefix!r}' if prefix else ''}.")
    return table
