"""Safe loading of tensors, without running code of the file.

Safetensors are read directly; pickles are converted once by `pickles.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Listener, silent
from thcli.weights.file_checks import describe_placeholder, is_safetensors
from thcli.weights.layout import PICKLE_SUFFIXES
from thcli.weights.manage import converted_path, locate
from thcli.weights.registry import PICKLES, find_entry
from thcli.weights.store import WeightsStore

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


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
    store: WeightsStore | None = ...,
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
    store: WeightsStore | None = ...,
) -> dict[str, npt.NDArray[np.generic]]: ...


def load_tensors(
    source: str | Path,
    framework: Literal["torch", "numpy"] = "torch",
    *,
    prefix: str | None = None,
    member: str = "",
    offline: bool = False,
    on: Listener = silent,
    store: WeightsStore | None = None,
) -> dict[str, Any]:
    """Load tensors on the CPU, by name.

    Nested dictionaries of a pickle are flattened; their keys are joined with dots.

    Args:
        source: entry of weights.toml (str) or a file (Path).
        framework: "numpy" needs no torch for safetensors.
        prefix: load only tensors whose names have this prefix, and remove it. None stands for the
            entry's key_prefix.
        member: file in an archive.
        offline: forbid downloads.
        on: receives events of a download.
        store: cache to use; the user's by default.

    Raises:
        WeightsError: the weights are absent or altered, hold no tensors, or cannot be loaded
            without running their code.
        UsageError: the entry or the member is unknown.
    """
    if isinstance(source, Path):
        table = _read_file(source, framework, prefix or "")
        return _require_tensors(table, str(source), prefix or "")
    store = store or WeightsStore.default()
    entry = find_entry(store.entries, source)
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
    is_pickle = path.suffix in PICKLE_SUFFIXES if entry.archive else entry.format in PICKLES
    if is_pickle and not is_safetensors(path):
        path = _convert_once(path, digest)
    return _require_tensors(_read_file(path, framework, wanted), source, wanted)


def describe_training(name: str, *, store: WeightsStore | None = None) -> str:
    """Return how `thcli train` made the installed weights of an entry.

    It is "" for bundled weights and for those of other programs.
    """
    from safetensors import safe_open

    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    if store.is_bundled(entry):
        return ""
    path = store.path(entry)
    for file in [path / member for member in entry.members] if entry.archive else [path]:
        if file.is_file() and is_safetensors(file):
            with safe_open(file, framework="np") as tensors:
                facts = tensors.metadata() or {}
            if "made_by" in facts and "steps" in facts:
                narrow = facts.get("narrow", "1")
                widths = "" if narrow == "1" else f", widths / {narrow}"
                return f"trained by {facts['made_by']}: {facts['steps']} updates{widths}"
    return ""


def load_arrays(
    name: str, *, offline: bool = False, on: Listener = silent, store: WeightsStore | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """Load the arrays of an entry in the format "pickle", by name.

    Raises:
        WeightsError: as `load_tensors` does.
    """
    from thcli.weights.pickles import read_arrays

    return read_arrays(locate(name, offline=offline, on=on, store=store))


def require_keys(
    found: Mapping[str, Shaped], wanted: Mapping[str, Shaped], what: str, ignore: Iterable[str] = ()
) -> None:
    """Raise WeightsError unless `found` has exactly the keys and shapes of `wanted`.

    The message has the counts of differences and the first few names.

    Args:
        found: state of a checkpoint.
        wanted: state of the network.
        what: name of the checkpoint, for the message.
        ignore: endings of keys that may be missing or too many, such as "num_batches_tracked".
    """
    endings = tuple(ignore)
    missing = [k for k in wanted if k not in found and not k.endswith(endings)]
    unexpected = [k for k in found if k not in wanted and not k.endswith(endings)]
    shapes = [
        f"{k} is {tuple(found[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in found and tuple(found[k].shape) != tuple(wanted[k].shape)
    ]
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for names, word in (
            (missing, "missing"),
            (unexpected, "unexpected"),
            (shapes, "of another shape"),
        )
        if names
    ]
    if parts:
        raise WeightsError(
            f"{what} does not fit its network: {', '.join(parts)}.",
            "Is it the file for this engine and configuration?",
        )


def _convert_once(path: Path, digest: str) -> Path:
    from thcli.weights.pickles import convert, converted_from

    target = converted_path(path)
    if not target.is_file() or converted_from(target) != digest:
        convert(path, target, digest)
    return target


def _read_file(path: Path, framework: Literal["torch", "numpy"], prefix: str) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"There is no file {path}.")
    if path.suffix == ".safetensors" or is_safetensors(path):
        return _read_safetensors(path, framework, prefix)
    if path.suffix not in PICKLE_SUFFIXES:
        raise WeightsError(
            f"{path} is not a file of tensors: its name must end with .safetensors, "
            f"{', '.join(PICKLE_SUFFIXES)}."
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

    if placeholder := describe_placeholder(path):
        raise WeightsError(f"{path} is {placeholder}, not safetensors.")
    try:
        with safe_open(path, framework="pt" if framework == "torch" else "np") as file:
            return {
                k.removeprefix(prefix): file.get_tensor(k)
                for k in file.keys()  # noqa: SIM118  # not a dict
                if k.startswith(prefix)
            }
    except SafetensorError as exc:
        raise WeightsError(
            f"{path} is not a whole safetensors file: {exc}.", "Download or import it again."
        ) from exc


def _require_tensors(table: dict[str, Any], what: str, prefix: str) -> dict[str, Any]:
    if not table:
        raise WeightsError(f"{what} holds no tensors{f' below {prefix!r}' if prefix else ''}.")
    return table
