"""The cache of weights on this machine: where each file lies, whether it is what it should be, what its user chose to trust.

<root>/NAME/FILE            an entry's file (an archive's members, unpacked)
<root>/NAME/.verified.json  size, time and hash of what was checked, so that gigabytes are not hashed at each start
<root>/trusted.json         the hashes seen of entries that have no published one, enforced from then on
<root>/.locks/              one lock a name, so that two processes never fetch the same thing
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
from thcli.weights.file_checks import sha256_of
from thcli.weights.lock import locked
from thcli.weights.registry import Entry, registry

Status = Literal["ready", "absent", "unverified", "altered"]
BUNDLED = Path(__file__).parent / "bundled"
_STAMP = ".verified.json"


@dataclass(frozen=True, slots=True)
class Store:
    """A cache folder and the registry that it follows. bundled: the folder of the weights that the package carries."""

    root: Path
    entries: Mapping[str, Entry]
    bundled: Path = BUNDLED

    def is_own(self, entry: Entry) -> bool:
        """Whether the user imported a file of their own in place of the published one."""
        return bool(self.trusted().get(entry.name, {}).get("own"))

    @classmethod
    def default(cls) -> Store:
        """The user's own: $THCLI_WEIGHTS, else the platform's cache folder."""
        chosen = os.environ.get("THCLI_WEIGHTS")
        if chosen:
            return cls(Path(chosen).expanduser(), registry())
        from platformdirs import user_cache_dir

        return cls(Path(user_cache_dir("thcli")) / "weights", registry())

    def folder(self, entry: Entry) -> Path:
        return self.root / entry.name

    def lock(self, name: str) -> Path:
        return self.root / ".locks" / f"{name}.lock"

    def path(self, entry: Entry) -> Path:
        """Where it is, or would be: the file, or an archive's folder. A file of the user's own goes before one that thcli carries."""
        for source in () if self.is_own(entry) else entry.sources:
            kind, _, name = source.partition(":")
            if kind == "bundled" and (self.bundled / name).is_file():
                return self.bundled / name
        return self.folder(entry) if entry.archive else self.folder(entry) / entry.file

    def is_bundled(self, entry: Entry) -> bool:
        return self.path(entry).parent == self.bundled

    def _files(self, entry: Entry) -> dict[str, Path]:
        if entry.archive:
            return {name: self.folder(entry) / name for name in entry.members}
        return {entry.file: self.path(entry)}

    def expected(self, entry: Entry) -> dict[str, str]:
        """file -> the hash it must have: of the user's own import, else the registry's, else the one trusted before, else ""."""
        seen = self.trusted().get(entry.name, {})
        files = seen.get("files", {}) if entry.archive else {entry.file: seen.get("sha256", "")}
        if seen.get("own"):
            return {name: files.get(name, "") for name in entry.files}
        return {name: digest or files.get(name, "") for name, digest in entry.files.items()}

    def expected_download(self, entry: Entry) -> str:
        """The hash of what is downloaded (an archive as a whole), "" when nothing is known."""
        return entry.sha256 or str(self.trusted().get(entry.name, {}).get("sha256", ""))

    def status(self, entry: Entry, *, deep: bool = True, again: bool = False) -> Status:
        """deep: hash what is not known to be checked (else it counts as unverified).  again: hash in any case."""
        files, expected = self._files(entry), self.expected(entry)
        if not all(path.is_file() for path in files.values()):
            return "absent"
        if not all(expected.values()):
            return "unverified"
        stamp = {} if again else _read_json(self.folder(entry) / _STAMP)
        if all(stamp.get(name) == _facts(path, expected[name]) for name, path in files.items()):
            return "ready"
        if not deep:
            return "unverified"
        if any(sha256_of(path) != expected[name] for name, path in files.items()):
            return "altered"
        self.stamp(entry)
        return "ready"

    def differences(self, entry: Entry) -> list[tuple[str, str, str]]:
        """(file, expected, seen) of each file whose hash is not the expected one."""
        expected = self.expected(entry)
        seen = {
            name: sha256_of(path) for name, path in self._files(entry).items() if path.is_file()
        }
        return [
            (name, expected[name], digest)
            for name, digest in seen.items()
            if digest != expected[name]
        ]

    def stamp(self, entry: Entry) -> None:
        """Notes that the files have just been checked."""
        facts = {n: _facts(p, self.expected(entry)[n]) for n, p in self._files(entry).items()}
        with suppress(
            OSError
        ):  # only a shortcut: a cache that cannot be written is hashed each time
            self.folder(entry).mkdir(parents=True, exist_ok=True)
            _write_json(self.folder(entry) / _STAMP, facts)

    def trusted(self) -> dict[str, Any]:
        return _read_json(self.root / "trusted.json")

    def trust(self, entry: Entry, record: Mapping[str, Any] | None) -> None:
        """Sets (None: drops) what is recorded of an entry without published hashes."""
        with writing(self.root), locked(self.lock("trusted"), "trusted.json"):
            table = self.trusted()
            table.pop(entry.name, None)
            if record is not None:
                table[entry.name] = dict(record)
            _write_json(self.root / "trusted.json", table)


def altered(store: Store, entry: Entry) -> WeightsError:
    """The error for weights that are there but have another hash."""
    wrong = store.differences(entry)
    name, expected, seen = wrong[0] if wrong else (entry.file, "another hash", "this one")
    return WeightsError(
        f"{store.path(entry) / name if entry.archive else store.path(entry)} is not what it should be: sha256 is {seen}, expected {expected}.",
        f"Get it again: thcli weights remove {entry.name} && thcli weights pull {entry.name}",
    )


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Maps the failures of writing into the cache to OutputError."""
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
            "Set THCLI_WEIGHTS to a folder of yours.",
        ) from exc


def _facts(path: Path, digest: str) -> list[Any]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, digest]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as exc:
        if path.name == _STAMP:  # a broken stamp means: check again
            return {}
        raise WeightsError(
            f"{path} cannot be read: {exc}.",
            "Mend or delete it; files are then to be trusted anew.",
        ) from exc
    return table if isinstance(table, dict) else {}


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", "utf-8")
    partial.replace(path)
