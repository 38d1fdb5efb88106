"""Record of the weights that a job uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from thcli.weights.registry import find_entry
from thcli.weights.store import WeightsStore

_used: ContextVar[set[str] | None] = ContextVar("used weights", default=None)


@contextmanager
def recorded_weights() -> Iterator[set[str]]:
    """Collect the names of the entries that are located, or needed by backends that are loaded.

    A backend counts with all of its weights, also those that it loads later.
    """
    names: set[str] = set()
    token = _used.set(names)
    try:
        yield names
    finally:
        _used.reset(token)


def record_use(*names: str) -> None:
    """Add entries to the record of the surrounding job, if there is one."""
    used = _used.get()
    if used is not None:
        used.update(names)


def accepted_licences(names: Iterable[str]) -> dict[str, str]:
    """Return the licence of each entry, as weights.toml states it, by name."""
    entries = WeightsStore.default().entries
    return {name: find_entry(entries, name).licence for name in sorted(names)}


def expected_hashes(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the SHA-256 that each file of each entry must have on this machine, by file name."""
    store = WeightsStore.default()
    return {name: store.expected(find_entry(store.entries, name)) for name in sorted(names)}
