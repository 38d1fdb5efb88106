"""Engines of a comparison: which are ready, and what each needs and allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options import RunOptions
from thcli.core.options.base import comma_words
from thcli.engines.backends import ENGINES
from thcli.weights import (
    WeightsStore,
    absent_error,
    describe_training,
    get_commands,
    is_allowed,
    is_ready,
    registry,
)

ALL = "all"


@dataclass(frozen=True)
class EngineChoice:
    """Engines to compare.

    ready: names.
    absent: names of the others, with what is needed.
    """

    ready: tuple[str, ...]
    absent: Mapping[str, str]


@dataclass(frozen=True)
class EngineFacts:
    """Size of an engine's weights in bytes, 0 where unknown, and their licences.

    trained: how a user trained them, empty for published ones.
    """

    bytes: int
    licence: str
    free: bool
    trained: str = ""


def choose_engines(text: str, run: RunOptions) -> EngineChoice:
    """Choose engines by names that commas separate, or all that are ready.

    Raises:
        UsageError: there is no engine of a name, or none at all.
        WeightsError: the weights of a named engine are absent.
    """
    names = comma_words(text)
    if names == (ALL,):
        states = {name: _missing(name, run) for name in ENGINES.all()}
        ready = tuple(name for name, missing in states.items() if not missing)
        return EngineChoice(ready, {name: what for name, what in states.items() if what})
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--engine {text!r} must name engines once each.", "Or give: all.")
    store = WeightsStore.default()
    for name in names:
        for row in _absent_rows(name):
            raise absent_error(store, registry()[row])
    return EngineChoice(names, {})


def _absent_rows(name: str) -> list[str]:
    rows = ENGINES.backend(name).weights
    return [row for row in rows if not is_ready(row) and not registry()[row].auto]


def _missing(name: str, run: RunOptions) -> str:
    """Return what an engine needs before it can run, empty for nothing."""
    rows = ENGINES.backend(name).weights
    if not all(is_allowed(registry()[row], run.licence) for row in rows):
        return "refused by --licence free"
    absent = _absent_rows(name)
    return get_commands(absent) if absent else ""


def engine_facts(name: str) -> EngineFacts:
    """Return size and licence of an engine."""
    backend = ENGINES.backend(name)
    entries = [registry()[row] for row in backend.weights]
    store = WeightsStore.default()
    paths = [store.path(entry) for entry in entries]
    trainings = [describe_training(entry.name) for entry in entries]
    size = sum(
        entry.size if entry.size and not training else _bytes_of(path)
        for entry, path, training in zip(entries, paths, trainings, strict=True)
    )
    licences = ", ".join(sorted({entry.licence for entry in entries}))
    code = "Apache-2.0 (thcli)" if backend.factory.startswith("thcli.") else backend.package
    free = all(entry.commercial for entry in entries)
    return EngineFacts(size, licences or code, free, "; ".join(filter(None, trainings)))


def _bytes_of(path: Path) -> int:
    """Return the size of a file, or of a folder's files; 0 for what is not there."""
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
