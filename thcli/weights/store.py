"""The cache of weights on this machine: paths, verified hashes, and hashes that the user trusts.

<root>/NAME/FILE            an entry's file (of an archive: its members, unpacked)
<root>/NAME/.verified.json  size, time and hash of verified files, so that gigabytes are not hashed
                            at each start
<root>/trusted.json         hashes recorded for entries that have no published one, enforced from
                            then on
<root>/.locks/              one lock for each name, so that two processes never download one file
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thcli.core.errors import OutputError, WeightsError
from thcli.core.file_lock import file_lock
from thcli.weights.file_checks import sha256_of
from thcli.weights.registry import WeightsEntry, registry

WeightsStatus = Literal["ready", "absent", "unverified", "altered"]
BUNDLED = Path(__file__).parent / "bundled"
_STAMP = ".verified.json"
# Files up to this size are hashed whenever they are loaded (0.03 s): size and time can be forged.
HASHED_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class WeightsStore:
    """A cache folder and its registry. bundled: folder of the weights that the package contains."""

    root: Path
    entries: Mapping[str, WeightsEntry]
    bundled: Path = BUNDLED

    @classmethod
    def default(cls) -> WeightsStore:
        """Return the user's store: $THCLI_WEIGHTS, else the platform's cache folder."""
        chosen = os.environ.get("THCLI_WEIGHTS")
        if chosen:
            return cls(Path(chosen).expanduser(), registry())
        from platformdirs import user_cache_dir

        return cls(Path(user_cache_dir("thcli")) / "weights", registry())

    def is_own(self, entry: WeightsEntry) -> bool:
        """Return True if the user imported another file than the published one."""
        return bool(self.trusted().get(entry.name, {}).get("own"))

    def is_bundled(self, entry: WeightsEntry) -> bool:
        """Return True if the package's own file is used."""
        return self.path(entry).parent == self.bundled

    def folder(self, entry: WeightsEntry) -> Path:
        return self.root / entry.name

    def lock(self, name: str) -> Path:
        return self.root / ".locks" / f"{name}.lock"

    def path(self, entry: WeightsEntry) -> Path:
        """Return the entry's file (of an archive: its folder), whether it exists or not.

        A file that the user imported precedes a bundled one.
        """
        for source in () if self.is_own(entry) else entry.sources:
            kind, _, name = source.partition(":")
            if kind == "bundled" and (self.bundled / name).is_file():
                return self.bundled / name
        return self.folder(entry) if entry.archive else self.folder(entry) / entry.file

    def _files(self, entry: WeightsEntry) -> dict[str, Path]:
        if entry.archive:
            return {name: self.folder(entry) / name for name in entry.members}
        return {entry.file: self.path(entry)}

    def expected(self, entry: WeightsEntry) -> dict[str, str]:
        """Return the hash that each file must have, "" where none is known.

        For a file that the user imported it is the hash of that file, else the registry's, else
        the one that the user trusted.
        """
        recorded = self.trusted().get(entry.name, {})
        single = {entry.file: recorded.get("sha256", "")}
        files = recorded.get("files", {}) if entry.archive else single
        if recorded.get("own"):
            return {name: files.get(name, "") for name in entry.files}
        return {name: digest or files.get(name, "") for name, digest in entry.files.items()}

    def expected_download(self, entry: WeightsEntry) -> str:
        """Return the hash of the downloaded file (of an archive: as a whole), "" if unknown."""
        return entry.sha256 or str(self.trusted().get(entry.name, {}).get("sha256", ""))

    def get_command(self, entry: WeightsEntry) -> str:
        """Return the command that gets an absent file."""
        return entry.get_command(trust=not self.expected_download(entry))

    def status(
        self, entry: WeightsEntry, *, deep: bool = True, again: bool = False
    ) -> WeightsStatus:
        """Return the state of an entry's files.

        Args:
            entry: entry to look up.
            deep: hash files of up to HASHED_BYTES, and larger ones that are not known to be
                verified; else what is not known to be verified counts as unverified.
            again: hash in any case.
        """
        with _cache_read_errors(self.root):
            return self._check(entry, deep, again)

    def _check(self, entry: WeightsEntry, deep: bool, again: bool) -> WeightsStatus:
        files, expected = self._files(entry), self.expected(entry)
        if not all(path.is_file() for path in files.values()):
            return "absent"
        if not all(expected.values()):
            return "unverified"
        stamp = {} if again else _read_json(self.folder(entry) / _STAMP)
        stamped = {n for n, path in files.items() if stamp.get(n) == _stat(path, expected[n])}
        if not deep:
            return "ready" if len(stamped) == len(files) else "unverified"
        trusted = {n for n in stamped if files[n].stat().st_size > HASHED_BYTES}
        hashed = files.keys() - trusted
        if any(sha256_of(files[name]) != expected[name] for name in hashed):
            return "altered"
        if len(stamped) < len(files):
            self.stamp(entry)
        return "ready"

    def differences(self, entry: WeightsEntry) -> list[tuple[str, str, str]]:
        """Return (file, expected hash, actual hash) of each file that has another hash."""
        expected = self.expected(entry)
        actual = {
            name: sha256_of(path) for name, path in self._files(entry).items() if path.is_file()
        }
        return [
            (name, expected[name], digest)
            for name, digest in actual.items()
            if digest != expected[name]
        ]

    def stamp(self, entry: WeightsEntry) -> None:
        """Record that the files have just been verified."""
        stats = {n: _stat(p, self.expected(entry)[n]) for n, p in self._files(entry).items()}
        # Only a shortcut: files of a cache that cannot be written are hashed at each start.
        with suppress(OSError):
            self.folder(entry).mkdir(parents=True, exist_ok=True)
            _write_json(self.folder(entry) / _STAMP, stats)

    def trusted(self) -> dict[str, Any]:
        """Return the records of entries that the user trusts, by name."""
        return _read_json(self.root / "trusted.json")

    def trust(self, entry: WeightsEntry, record: Mapping[str, Any] | None) -> None:
        """Set the record of an entry without published hashes; None removes it."""
        with cache_write_errors(self.root), file_lock(self.lock("trusted"), "trusted.json"):
            table = self.trusted()
            table.pop(entry.name, None)
            if record is not None:
                table[entry.name] = dict(record)
            _write_json(self.root / "trusted.json", table)


def altered_error(store: WeightsStore, entry: WeightsEntry) -> WeightsError:
    """Return the error for files that exist but have another hash."""
    wrong = store.differences(entry)
    name, expected, actual = wrong[0] if wrong else (entry.file, "another hash", "this one")
    path = store.path(entry) / name if entry.archive else store.path(entry)
    own = f"thcli weights import {entry.name} {entry.import_argument} --trust"
    command = own if store.is_own(entry) else store.get_command(entry)
    return WeightsError(
        f"{path} has been altered: sha256 is {actual}, expected {expected}.",
        f"Get it again: thcli weights remove {entry.name} && {command}",
    )


@contextmanager
def cache_write_errors(root: Path) -> Iterator[None]:
    """Map failures of writing into the cache to OutputError."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"The disk of the weights' folder {root} is full.", "Free some space."
            ) from exc
        reason = exc.strerror or str(exc)
        raise OutputError(
            f"The weights' folder {root} cannot be written: {reason}.",
            "Set THCLI_WEIGHTS to a folder that you may write.",
        ) from exc


@contextmanager
def _cache_read_errors(root: Path) -> Iterator[None]:
    """Map a refusal to read the cache to WeightsError."""
    try:
        yield
    except PermissionError as exc:
        raise _unreadable(Path(exc.filename or root)) from exc


def _unreadable(path: Path) -> WeightsError:
    return WeightsError(
        f"{path}, of the weights' folder, cannot be read (no permission).",
        "Change its owner or its mode, or set THCLI_WEIGHTS to another folder.",
    )


def _stat(path: Path, digest: str) -> list[Any]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, digest]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        if path.name == _STAMP:  # a broken stamp: the files are verified again
            return {}
        if isinstance(exc, PermissionError):
            raise _unreadable(path.parent) from exc
        raise WeightsError(
            f"{path} cannot be read: {exc}.",
            "Repair or delete it; imported files must then be trusted again.",
        ) from exc
    return table if isinstance(table, dict) else {}


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
