"""Files of the user that become weights: those of a backend are found by their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from thcli.core.errors import UsageError, WeightsError
from thcli.weights.registry import WeightsEntry, registry, select_entries


def files_to_import(name: str, path: Path, groups: Mapping[str, Iterable[str]]) -> dict[str, Path]:
    """Return the file of each entry that a name and a path stand for.

    An entry takes the path as it is. A backend takes the file whose published name is that of one
    of its entries, all such files below a folder, or any file if it has one entry, unless its name
    is that of another one. A folder is a backend's where the name is of both.

    Args:
        name: entry of weights.toml, or a backend.
        path: the user's file or folder.
        groups: names of the entries that each backend loads; see `select_entries`.

    Raises:
        UsageError: the name is unknown, or the path says not which entry it is for.
        WeightsError: a folder has none of the files, or several of one name.
    """
    entries = registry()
    if name in entries and not (path.is_dir() and name in groups):
        return {name: path}
    chosen = select_entries(entries, [name], groups)
    if path.is_dir():
        return _files_below(name, path, chosen)
    named = [entry.name for entry in chosen if entry.file == path.name]
    others = [entry.name for entry in entries.values() if entry.file == path.name]
    if others and not named:
        raise UsageError(
            f"{path} has the name of {' and '.join(others)}, which {name} does not load.",
            f"Import it as such: thcli weights import {others[0]} FILE",
        )
    if len(chosen) == 1 or len(named) == 1:
        return {(named or [chosen[0].name])[0]: path}
    raise UsageError(
        f"{name} has several weights: {', '.join(entry.name for entry in chosen)}.",
        f"Give the folder of their files, or one of these names instead of {name}.",
    )


def _files_below(name: str, folder: Path, entries: list[WeightsEntry]) -> dict[str, Path]:
    files = {}
    for entry in entries:
        found = sorted(path for path in folder.rglob(entry.file) if path.is_file())
        if len(found) > 1:
            raise WeightsError(
                f"{folder} has several files {entry.file}: {found[0]}, {found[1]}.",
                f"Give the right one: thcli weights import {entry.name} FILE",
            )
        if found:
            files[entry.name] = found[0]
    if not files:
        raise WeightsError(
            f"{folder} has no file of {name}.",
            f"Their names are {', '.join(entry.file for entry in entries)}.",
        )
    return files
