"""Operations on weights: locate, pull, verify, import and remove."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import Finished, Listener, Started, Step, Warned, silent
from thcli.core.file_lock import file_lock
from thcli.weights.file_checks import is_safetensors, sha256_of
from thcli.weights.registry import PICKLES, WeightsEntry, find_entry, select_entries
from thcli.weights.store import WeightsStatus, WeightsStore, altered_error, cache_write_errors
from thcli.weights.used import record_use

if TYPE_CHECKING:
    from thcli.weights.layout import FolderConverter, LayoutCheck
    from thcli.weights.sources import Transport


@dataclass(frozen=True, slots=True)
class Verification:
    """Result of `verify` for one entry.

    differences: (file, expected sha256, actual sha256) of each altered file.
    """

    entry: WeightsEntry
    status: WeightsStatus
    path: Path
    differences: tuple[tuple[str, str, str], ...] = ()


def locate(
    name: str,
    *,
    offline: bool = False,
    on: Listener = silent,
    store: WeightsStore | None = None,
) -> Path:
    """Return the verified local file of an entry (of an archive: the folder of its members).

    An entry marked auto is downloaded at first use.

    Args:
        name: entry of weights.toml.
        offline: forbid the download, as THCLI_OFFLINE does.
        on: receives events of the download.
        store: cache to look in; the user's by default.

    Raises:
        WeightsError: the file is absent, altered or not verified; the hint is the command that
            gets it.
        UsageError: the name is unknown.
    """
    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    status = store.status(entry)
    if status == "ready":
        record_use(name)
        return store.path(entry)
    if status == "altered":
        raise altered_error(store, entry)
    if status == "unverified":
        raise unverified_error(store, entry)
    if entry.auto:
        record_use(name)
        return pull([name], offline=offline, on=on, store=store)[name]
    raise absent_error(store, entry)


def absent_error(store: WeightsStore, entry: WeightsEntry) -> WeightsError:
    """Return the error for an absent file; its hint is the command that gets it."""
    from thcli.weights.sources import no_source_error

    if not entry.remote_sources:
        return no_source_error(store, entry)
    terms = "" if entry.commercial else f" ({entry.licence}: read its terms)"
    return WeightsError(
        f"The weights {entry.name} are absent{terms}.", f"Get them: {store.get_command(entry)}"
    )


def unverified_error(store: WeightsStore, entry: WeightsEntry) -> WeightsError:
    """Return the error for a file whose hash is not known."""
    return WeightsError(
        f"{store.path(entry)} has no known hash.",
        f"If you trust it: thcli weights verify {entry.name} --trust",
    )


def pull(
    names: Sequence[str],
    *,
    offline: bool = False,
    trust: bool = False,
    on: Listener = silent,
    store: WeightsStore | None = None,
    transport: Transport | None = None,
) -> dict[str, Path]:
    """Download entries that are absent and return the path of each by name.

    Args:
        names: entries, or what they provide; see `registry.select_entries`.
        offline: forbid downloads.
        trust: accept entries without a published hash, and record the hash of the download.
        on: receives progress events.
        store: cache to use; the user's by default.
        transport: access to remote files.

    Raises:
        UsageError: a name is unknown.
        WeightsError: a file cannot be fetched, or is not the right one.
        OutputError: the cache cannot be written.
    """
    from thcli.weights.sources import fetch_entry

    store = store or WeightsStore.default()
    return {
        entry.name: fetch_entry(
            store, entry, offline=offline, trust=trust, on=on, transport=transport
        )
        for entry in select_entries(store.entries, names)
    }


def verify(
    names: Sequence[str] = (),
    *,
    trust: bool = False,
    on: Listener = silent,
    store: WeightsStore | None = None,
) -> list[Verification]:
    """Hash the files of entries again. An absent entry is reported, not raised.

    Args:
        names: entries, or what they provide; none for all that are present.
        trust: record the hash of files that have no known one.
        on: receives progress events.
        store: cache to use; the user's by default.

    Raises:
        UsageError: a name is unknown.
    """
    store = store or WeightsStore.default()
    chosen = select_entries(store.entries, names) if names else _present_entries(store)
    began = time.monotonic()
    on(Started("verify", len(chosen), "files"))
    results = []
    for done, entry in enumerate(chosen):
        status = store.status(entry, again=True)
        if status == "unverified" and trust:
            _trust_present(store, entry)
            status = "ready"
        wrong = tuple(store.differences(entry)) if status == "altered" else ()
        results.append(Verification(entry, status, store.path(entry), wrong))
        on(Step("verify", done + 1))
    on(Finished("verify", len(chosen), time.monotonic() - began))
    return results


def import_file(
    name: str,
    path: Path,
    *,
    trust: bool = False,
    checks: Mapping[str, LayoutCheck] = MappingProxyType({}),
    converters: Mapping[str, FolderConverter] = MappingProxyType({}),
    on: Listener = silent,
    store: WeightsStore | None = None,
) -> Path:
    """Import a file or a folder of the user's as an entry and return its path in the cache.

    The file is copied; an archive is unpacked, a pickle converted to safetensors once, a folder
    converted to one file. Its format is checked, and its layout where `checks` knows the entry's.

    Args:
        name: entry of weights.toml.
        path: the user's file; or a folder, where `converters` knows the entry.
        trust: also accept a file of unknown hash, or another one than the published (such as own
            training). Its hash is enforced from then on.
        checks: check of the layout of each entry, by name.
        converters: conversion of a folder, by name of the entry.
        on: receives a warning for a file that is not the published one.
        store: cache to use; the user's by default.

    Raises:
        WeightsError: the hash is wrong or unknown without trust, the file is unsafe or damaged,
            or it is another network's. Nothing is kept then.
        UsageError: the name is unknown, or a bundled entry's without trust.
    """
    from thcli.weights.install import Origin, check_file, install_file
    from thcli.weights.layout import read_checkpoint, require_layout

    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    if store.is_bundled(entry) and not trust:
        raise UsageError(
            f"{name} is part of thcli: no import is needed.",
            f"To use a file of your own instead: thcli weights import {name} FILE --trust",
        )
    if path.is_dir() and name in converters:
        with _converted(store, entry, path, converters[name]) as file:
            return import_file(name, file, trust=trust, checks=checks, on=on, store=store)
    try:
        path.open("rb").close()
    except OSError as exc:
        existing = "folder" if entry.from_folder else "file"
        raise WeightsError(
            f"{path} cannot be read: {exc.strerror}.",
            f"Give an existing {existing}: thcli weights import {name} {entry.import_argument}",
        ) from exc

    with cache_write_errors(store.root), file_lock(store.lock(name), name, on):
        published = store.expected_download(entry)  # or the hash that was trusted before
        own = trust and bool(published) and sha256_of(path) != published
        origin = Origin(f"import:{path.name}", trust, own)
        digest = check_file(store, entry, path, origin)
        if not entry.archive:  # before the copy, so that messages name the user's file
            require_layout(read_checkpoint(entry, {entry.file: path}), checks, store.entries)

        def accept(files: Mapping[str, Path]) -> None:
            if entry.archive:
                require_layout(read_checkpoint(entry, files), checks, store.entries)
            elif entry.format in PICKLES and not is_safetensors(received):
                from thcli.weights.pickles import convert

                convert(received, converted_path(store.folder(entry) / entry.file), digest)

        received = store.folder(entry) / ".import.partial" / path.name  # the name is in messages
        received.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, received)
            installed = install_file(store, entry, received, origin, accept)
        finally:
            shutil.rmtree(received.parent, ignore_errors=True)
            if not any(store.folder(entry).iterdir()):  # nothing was installed
                store.folder(entry).rmdir()
    if own:
        other = "the published file" if entry.sha256 else "the file imported before"
        on(Warned(f"{name}: {path.name} is not {other}; it is used as your own."))
    return installed


@contextmanager
def _converted(
    store: WeightsStore, entry: WeightsEntry, folder: Path, convert: FolderConverter
) -> Iterator[Path]:
    """Convert a user's folder to a temporary file beside the entry's."""
    with cache_write_errors(store.root):
        store.folder(entry).mkdir(parents=True, exist_ok=True)
        converted = store.folder(entry) / f"{entry.file}.converted.partial"
        try:
            convert(folder, converted)
            yield converted
        finally:
            converted.unlink(missing_ok=True)


def cached_path(name: str, *, store: WeightsStore | None = None) -> Path | None:
    """Return the path of an entry's file (of an archive: its folder), None if it is absent.

    The file may be unverified.
    """
    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    return None if store.status(entry, deep=False) == "absent" else store.path(entry)


def is_ready(name: str, *, store: WeightsStore | None = None) -> bool:
    """Return True if an entry's files are present and verified.

    Downloads nothing, and hashes only files that were not verified before.
    """
    store = store or WeightsStore.default()
    return store.status(find_entry(store.entries, name)) == "ready"


def get_commands(names: Sequence[str], *, store: WeightsStore | None = None) -> str:
    """Return the commands that get entries: at most one download for each kind of trust.

    Entries that cannot be downloaded have an import each.
    """
    store = store or WeightsStore.default()
    entries = [find_entry(store.entries, name) for name in names]
    commands = []
    for trust in (False, True):
        group = [e for e in entries if bool(store.expected_download(e)) != trust]
        pulled = [e.name for e in group if e.remote_sources]
        if pulled:
            commands.append(f"thcli weights pull {' '.join(pulled)}{' --trust' if trust else ''}")
        commands += [store.get_command(e) for e in group if not e.remote_sources]
    return "; ".join(commands)


def cache_folder() -> Path:
    """Return the folder of all downloaded and imported weights."""
    return WeightsStore.default().root


def remove(name: str, *, store: WeightsStore | None = None) -> bool:
    """Delete an entry's files and its trusted hash. Returns True if there were any.

    Raises:
        UsageError: the name is unknown, or the entry is bundled.
    """
    store = store or WeightsStore.default()
    entry = find_entry(store.entries, name)
    if store.is_bundled(entry):
        raise UsageError(f"{name} is part of thcli and cannot be removed.")
    folder = store.folder(entry)
    if not folder.is_dir():
        return False
    with cache_write_errors(store.root), file_lock(store.lock(name), name):
        shutil.rmtree(folder)
        if name in store.trusted():
            store.trust(entry, None)
    return True


def converted_path(pickle: Path) -> Path:
    """Return the path of the safetensors that a pickle in the cache is converted to."""
    return pickle.with_name(pickle.name + ".safetensors")


def _present_entries(store: WeightsStore) -> list[WeightsEntry]:
    return [e for e in store.entries.values() if store.status(e, deep=False) != "absent"]


def _trust_present(store: WeightsStore, entry: WeightsEntry) -> None:
    """Record the hashes of files in the cache that have no known one."""
    actual = {file: digest for file, _, digest in store.differences(entry)}
    known = {file: digest for file, digest in store.expected(entry).items() if digest}
    if set(actual) & set(known):
        raise altered_error(store, entry)
    if entry.archive:
        record = store.trusted().get(entry.name, {})
        files = {**known, **actual}
        store.trust(entry, {**record, "files": files, "source": "present"})
    else:
        store.trust(entry, {"sha256": actual[entry.file], "source": "present"})
    store.stamp(entry)
