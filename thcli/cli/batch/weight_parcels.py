"""Weights as bytes, for machines that lack them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Any

from thcli.core.errors import WeightsError
from thcli.core.file_lock import file_lock
from thcli.weights.store import WeightsStore, cache_write_errors


def installed_weights(store: WeightsStore) -> list[str]:
    """Return the names of the weights that are installed and not part of the package."""
    return [
        entry.name
        for entry in store.entries.values()
        if not store.is_bundled(entry) and store.status(entry, deep=False) != "absent"
    ]


def missing_weights(store: WeightsStore, names: Sequence[str]) -> list[str]:
    """Return the names whose files are not all there."""
    known = [store.entries[name] for name in names if name in store.entries]
    return [e.name for e in known if store.status(e, deep=False) == "absent"]


def pack(store: WeightsStore, name: str) -> dict[str, Any]:
    """Return the files of installed weights, with the record of hashes that the user trusts."""
    folder = store.folder(store.entries[name])
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if not path.name.startswith(".")
    }
    return {"files": files, "trusted": store.trusted().get(name)}


def unpack(store: WeightsStore, name: str, parcel: dict[str, Any]) -> None:
    """Install the files of a parcel and check their hashes; without success nothing is left.

    Weights that another worker of this machine has installed meanwhile stay as they are.

    Raises:
        WeightsError: a file has another hash, or a name that leads out of the folder.
        OutputError: the cache cannot be written.
    """
    entry = store.entries[name]
    if not all(_stays_inside(file) for file in parcel["files"]):
        raise WeightsError(f"The weights {name} name a file outside of their folder.")
    with (
        cache_write_errors(store.root),
        file_lock(store.lock(name), name),
        ExitStack() as undo,
    ):
        if not missing_weights(store, [name]):
            return
        if parcel["trusted"] is not None:
            undo.callback(store.trust, entry, store.trusted().get(name))
            store.trust(entry, parcel["trusted"])
        for file, content in parcel["files"].items():
            path = store.folder(entry) / file
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.partial")
            undo.callback(path.unlink, missing_ok=True)
            undo.callback(fresh.unlink, missing_ok=True)
            fresh.write_bytes(content)
            fresh.replace(path)
        if store.status(entry) != "ready":
            raise WeightsError(f"The weights {name} arrived altered.", "Run the batch again.")
        undo.pop_all()


def _stays_inside(file: str) -> bool:
    """Return True for a relative name without "..", drives or backslashes."""
    path = PurePosixPath(file)
    return not (path.is_absolute() or ".." in path.parts or "\\" in file or ":" in file)
