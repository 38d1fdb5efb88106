"""Installation of a received file: it is checked, and only then moved to its place in the cache."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from thcli.core.errors import WeightsError
from thcli.weights.archives import unpack
from thcli.weights.file_checks import describe_placeholder, sha256_of
from thcli.weights.registry import WeightsEntry
from thcli.weights.store import WeightsStore


@dataclass(frozen=True, slots=True)
class Origin:
    """Origin of a received file.

    source: recorded with the hash, such as an address or "import:NAME".
    trust: accept a file of unknown hash, and record its hash.
    own: a file of the user's that differs from the published one.
    """

    source: str
    trust: bool = False
    own: bool = False

    @property
    def imported(self) -> bool:
        return self.source.startswith("import:")


def check_file(store: WeightsStore, entry: WeightsEntry, path: Path, origin: Origin) -> str:
    """Return the SHA-256 of a file that is the one of the entry.

    Raises:
        WeightsError: it is a placeholder, has another hash or size, or an unknown hash without
            trust.
    """
    if placeholder := describe_placeholder(path):
        raise WeightsError(f"{entry.name}: the file is {placeholder}, not {entry.file}.")
    expected, digest, size = store.expected_download(entry), sha256_of(path), path.stat().st_size
    if origin.own:
        return digest
    if expected and digest != expected:
        raise WeightsError(
            f"{entry.name}: the hash is wrong: sha256 is {digest}, expected {expected} "
            f"({size} bytes).",
            f"If it is your own: thcli weights import {entry.name} {entry.import_argument} --trust"
            if origin.imported
            else f"Get the file elsewhere, then: thcli weights import {entry.name} FILE",
        )
    if entry.size and size != entry.size and not expected:
        raise WeightsError(f"{entry.name}: the file has {size} bytes, expected {entry.size}.")
    if not expected and not origin.trust:
        raise untrusted_error(entry, imported=origin.imported)
    return digest


def untrusted_error(entry: WeightsEntry, *, imported: bool = False) -> WeightsError:
    """Return the error for an entry without a published hash.

    imported: the user gave the file, so the hint is an import rather than a download.
    """
    command = "import" if imported else "pull"
    file = f" {entry.import_argument}" if imported else ""
    return WeightsError(
        f"{entry.name} ({entry.file}) has no published hash, so the file cannot be verified.",
        f"If you trust its source: thcli weights {command} {entry.name}{file} --trust "
        "(its hash is recorded and enforced from then on).",
    )


def install_file(
    store: WeightsStore,
    entry: WeightsEntry,
    received: Path,
    origin: Origin,
    accept: Callable[[Mapping[str, Path]], None] = lambda _: None,
) -> Path:
    """Check a received file and move it (of an archive: its members) to its place.

    Args:
        store: store to install into.
        entry: entry that the file is for.
        received: the file, on the disk of the cache. It is moved or, if an archive, deleted.
        origin: where it is from.
        accept: further check, called with the files by name before any is moved.

    Returns:
        Path of the file, of an archive its folder.

    Raises:
        WeightsError: the file is not the right one. Nothing has changed then.
    """
    digest = check_file(store, entry, received, origin)
    size = received.stat().st_size
    folder = store.folder(entry)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    if entry.archive:
        files = _install_members(store, entry, received, origin, accept)
        received.unlink()
    else:
        accept({entry.file: received})
        _sync(received)
        received.replace(folder / entry.file)
    if origin.own or not entry.sha256 or not all(entry.files.values()):
        record = {"sha256": digest, "size": size, "source": origin.source, "files": files}
        store.trust(entry, {**record, "own": origin.own})
    elif store.is_own(entry):  # the published file again, after an own one
        store.trust(entry, None)
    store.stamp(entry)
    return store.path(entry)


def _install_members(
    store: WeightsStore,
    entry: WeightsEntry,
    archive: Path,
    origin: Origin,
    accept: Callable[[Mapping[str, Path]], None],
) -> dict[str, str]:
    """Unpack, check and move the members; returns their hashes by name."""
    unpacked = store.folder(entry) / ".partial"
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        unpack(archive, entry.members, unpacked)
        digests = {name: sha256_of(unpacked / name) for name in entry.members}
        for name, expected in entry.members.items():
            if expected and expected != digests[name] and not origin.own:
                raise WeightsError(
                    f"{entry.name}: {name} in {archive.name} has sha256 {digests[name]}, "
                    f"expected {expected}."
                )
        accept({name: unpacked / name for name in entry.members})
        for name in entry.members:
            target = store.folder(entry) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(unpacked / name)
            (unpacked / name).replace(target)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    return digests


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
