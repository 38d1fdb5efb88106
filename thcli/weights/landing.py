"""The last step of each way in: what has arrived is checked, and only then moved to its place."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from thcli.core.errors import WeightsError
from thcli.weights.archives import unpack
from thcli.weights.file_checks import impostor, sha256_of
from thcli.weights.registry import Entry
from thcli.weights.store import Store


def vet(store: Store, entry: Entry, path: Path, *, trust: bool, own: bool = False) -> str:
    """The SHA-256 of a file that is what the entry says. Raises WeightsError naming what it is instead.

    own: the user's own file may be another than the published one.
    """
    if what := impostor(path):
        raise WeightsError(f"{entry.name}: what came is {what}, not {entry.file}.")
    expected, seen, size = store.expected_download(entry), sha256_of(path), path.stat().st_size
    if own:
        return seen
    if expected and seen != expected:
        raise WeightsError(
            f"{entry.name}: the hash is wrong: sha256 is {seen}, expected {expected} ({size} bytes).",
            f"Get the file elsewhere: thcli weights import {entry.name} FILE (with --trust: a file of your own in its place).",
        )
    if entry.size and size != entry.size and not expected:
        raise WeightsError(f"{entry.name}: the file has {size} bytes, expected {entry.size}.")
    if not expected and not trust:
        raise untrusted(entry)
    return seen


def untrusted(entry: Entry) -> WeightsError:
    """The refusal of an entry whose hash nobody has published."""
    return WeightsError(
        f"{entry.name} ({entry.file}) has no published hash, so nobody can tell whether it is the right file.",
        f"If you trust its source: thcli weights pull {entry.name} --trust (the hash seen is recorded and enforced from then on).",
    )


def land(
    store: Store, entry: Entry, arrived: Path, source: str, *, trust: bool, own: bool = False
) -> Path:
    """Checks a file that lies on the cache's own disk and moves it (an archive: its members) to its place.

    Raises WeightsError when it is not the right one; then nothing has changed but that `arrived` is still there.
    """
    seen = vet(store, entry, arrived, trust=trust, own=own)
    size = arrived.stat().st_size
    folder = store.folder(entry)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    if entry.archive:
        files = _land_members(store, entry, arrived, own)
        arrived.unlink()
    else:
        _sync(arrived)
        arrived.replace(folder / entry.file)
    if own or not entry.sha256 or not all(entry.files.values()):
        store.trust(
            entry, {"sha256": seen, "size": size, "source": source, "files": files, "own": own}
        )
    elif store.is_own(entry):  # the published file again, in place of an own one
        store.trust(entry, None)
    store.stamp(entry)
    return store.path(entry)


def _land_members(store: Store, entry: Entry, archive: Path, own: bool) -> dict[str, str]:
    fresh = store.folder(entry) / ".partial"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        unpack(archive, entry.members, fresh)
        seen = {name: sha256_of(fresh / name) for name in entry.members}
        for name, digest in entry.members.items():
            if digest and digest != seen[name] and not own:
                raise WeightsError(
                    f"{entry.name}: {name} in {archive.name} has sha256 {seen[name]}, expected {digest}."
                )
        for name in entry.members:
            target = store.folder(entry) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(fresh / name)
            (fresh / name).replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return seen


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
