"""The registry of weights: the rows of weights.toml, strictly validated.

weights.toml is at the root of a checkout and inside the installed package. Users read it too.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from thcli.core.errors import UsageError, WeightsError

ARCHIVES = ("zip", "tar")
PICKLES = ("pytorch", "torchscript")
FORMATS = (*ARCHIVES, *PICKLES, "safetensors", "tflite", "onnx", "pickle", "raw")
MAX_AUTO_SIZE = 16 << 20  # bytes; larger files are not downloaded without a request

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
# No slash and no leading dot: the file is written into a folder of the cache.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*")
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*(/[A-Za-z0-9_][A-Za-z0-9_.=+-]*)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_PROVIDES = re.compile(r"[a-z0-9]+:[a-z0-9.-]+")
_SOURCES = (
    re.compile(r"bundled:[A-Za-z0-9_.-]+"),
    re.compile(r"wheel:[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+/[^\\]+"),
    re.compile(r"https://[^\s/]+/\S*"),
    re.compile(r"http://(127\.0\.0\.1|localhost)(:\d+)?/\S*"),  # a mirror on this machine
    re.compile(r"hf:[^\s/@]+/[^\s/@]+/[^\s@]+@[A-Za-z0-9._-]+"),
    re.compile(r"gdrive:[A-Za-z0-9_-]+"),
)
_Check = Callable[[object, str, str], None]


@dataclass(frozen=True, slots=True)
class WeightsEntry:
    """One row of weights.toml: a file of weights.

    name: name of the row.  file: file name on disk.  size: bytes, 0 where unknown.
    sha256: 64 hex digits, "" where unknown.
    commercial: whether the owner's licence allows commercial use; False where that is unclear.
    provides: "stage:backend" that loads the file.
    key_prefix: prefix of each tensor's name in the file.
    figures: published or measured quality.  sources: addresses, tried in order.
    about: one note to the user, such as how to get a file that needs a login.
    auto: small, free and hashed, so downloaded at first use.
    from_folder: a user imports a folder of files, which is converted to `file`.
    members: files of an archive that are kept, each with its sha256 ("" where unknown).
    """

    name: str
    file: str
    licence: str
    commercial: bool
    provides: str
    format: str
    size: int = 0
    sha256: str = ""
    key_prefix: str = ""
    trained_on: str = ""
    figures: str = ""
    sources: tuple[str, ...] = ()
    about: str = ""
    auto: bool = False
    from_folder: bool = False
    members: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def archive(self) -> bool:
        return self.format in ARCHIVES

    @property
    def files(self) -> Mapping[str, str]:
        """Return the files that the cache holds for the entry: file -> sha256 ("" unknown)."""
        return self.members if self.archive else {self.file: self.sha256}

    @property
    def remote_sources(self) -> tuple[str, ...]:
        """Return the sources that need a network."""
        return tuple(s for s in self.sources if not s.startswith("bundled:"))

    def get_command(self, *, trust: bool = False) -> str:
        """Return the command that gets the file: a download, or an import where there is none.

        trust: the command needs --trust, since no hash of the file is known.
        """
        flag = " --trust" if trust else ""
        if self.remote_sources:
            return f"thcli weights pull {self.name}{flag}"
        return f"thcli weights import {self.name} {self.import_argument}{flag}"

    @property
    def import_argument(self) -> str:
        """Placeholder of what a user imports, for messages."""
        return "FOLDER" if self.from_folder else "FILE"


def registry() -> Mapping[str, WeightsEntry]:
    """Return every entry of weights.toml by name, in the file's order.

    Raises:
        WeightsError: a row is not valid; the message names it.
    """
    package = Path(__file__).parents[1]
    inside, checkout = package / "weights.toml", package.parent / "weights.toml"
    return read_registry(inside if inside.is_file() else checkout)


@cache
def read_registry(path: Path) -> Mapping[str, WeightsEntry]:
    """Return the entries of one registry file by name. Raises WeightsError as `registry` does."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise WeightsError(
            f"The registry {path} cannot be read: {exc}.", "Install thcli again."
        ) from exc
    except tomllib.TOMLDecodeError as exc:
        raise WeightsError(f"The registry {path} is not valid TOML: {exc}.") from exc
    entries = {name: parse_entry(name, table, path.name) for name, table in tables.items()}
    return MappingProxyType(entries)


def parse_entry(name: str, table: Any, where: str = "weights.toml") -> WeightsEntry:
    """Return one table of the registry as an entry.

    Args:
        name: name of the table.
        table: its keys and values.
        where: name of the file, for messages.

    Raises:
        WeightsError: a value is not valid; the message names the row, the field and the rule.
    """

    def check(ok: object, key: str, rule: str) -> None:
        if not ok:
            raise WeightsError(f"{where}: [{name}] {key} must be {rule}, not {table.get(key)!r}.")

    if not isinstance(table, dict):
        raise WeightsError(f"{where}: {name!r} must be a table such as [{name}].")
    _check_keys(name, table, where, check)
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"{where}: [{name}] is not a name: small letters, digits, '-' and '.' only."
        )
    _check_values(table, check)
    _check_sources(table, check)
    _check_members(table, check)
    if table.get("auto"):
        small = 0 < table.get("size", 0) <= MAX_AUTO_SIZE
        automatic = small and table.get("sha256") and table["commercial"]
        check(automatic, "auto", "false unless small, hashed and free")
    values = {key: value for key, value in table.items() if key not in ("sources", "members")}
    sources, members = table.get("sources", []), table.get("members", {})
    return WeightsEntry(
        name=name, sources=tuple(sources), members=MappingProxyType(dict(members)), **values
    )


def _check_keys(name: str, table: dict[str, Any], where: str, check: _Check) -> None:
    known = {f.name: f.type for f in fields(WeightsEntry)}
    unknown = sorted(set(table) - set(known) | ({"name"} & set(table)))
    if unknown:
        raise WeightsError(
            f"{where}: [{name}] has the unknown key {unknown[0]!r}.", f"Known: {', '.join(known)}."
        )
    for key in ("file", "licence", "commercial", "provides", "format"):
        check(key in table, key, "given")
    for key, kind in known.items():
        if kind == "str" and key != "name":
            check(isinstance(table.get(key, ""), str), key, "text")
        if kind == "bool":
            check(isinstance(table.get(key, False), bool), key, "true or false")


def _check_values(table: dict[str, Any], check: _Check) -> None:
    size, digest = table.get("size", 0), table.get("sha256")
    check(_FILE.fullmatch(table["file"]), "file", "a plain file name")
    check(table["licence"], "licence", "given")
    check(_PROVIDES.fullmatch(table["provides"]), "provides", "of the form stage:backend")
    check(table["format"] in FORMATS, "format", f"one of {', '.join(FORMATS)}")
    check(type(size) is int and size >= 0, "size", "a number of bytes (0: unknown)")
    check(not digest or _HASH.fullmatch(digest), "sha256", "64 small hex digits, or empty")


def _check_sources(table: dict[str, Any], check: _Check) -> None:
    sources = table.get("sources", [])
    texts = isinstance(sources, list) and all(isinstance(s, str) for s in sources)
    check(texts, "sources", "a list of texts")
    for source in sources:
        known = any(pattern.fullmatch(source) for pattern in _SOURCES)
        check(known, "sources", "bundled:, wheel:, https://, hf: or gdrive: each")
    rule = "given where there is no source (how to get the file)"
    check(sources or table.get("about"), "about", rule)


def _check_members(table: dict[str, Any], check: _Check) -> None:
    members = table.get("members", {})
    check(isinstance(members, dict), "members", "a table of file = sha256")
    archive = table["format"] in ARCHIVES
    check(bool(members) == archive, "members", "given for archives, and only for them")
    for member, digest in members.items():
        relative = _MEMBER.fullmatch(member) and ".." not in member.split("/")
        check(relative, "members", "relative files without '..'")
        hashed = digest == "" or (isinstance(digest, str) and _HASH.fullmatch(digest))
        check(hashed, "members", "hashes or empty")


def find_entry(entries: Mapping[str, WeightsEntry], name: str) -> WeightsEntry:
    """Return the entry of that name. Raises UsageError that names similar entries."""
    if name in entries:
        return entries[name]
    raise _unknown_name(entries, name)


def select_entries(
    entries: Mapping[str, WeightsEntry],
    names: Iterable[str],
    groups: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> list[WeightsEntry]:
    """Return the entries that the names stand for, each once, in the order of the names.

    A name is an entry, a backend ("liveportrait") or a stage and its backend
    ("engine:liveportrait"). One that is an entry and a backend selects both.

    Args:
        entries: the registry.
        names: names to resolve.
        groups: names of the entries that each backend loads, by its name with and without its
            stage. Without it, backends are known by the entries' `provides` alone.

    Raises:
        UsageError: a name is unknown; the hint has similar ones.
    """
    chosen: dict[str, WeightsEntry] = {}
    for name in names:
        found = [name] if name in entries else []
        found += [
            entry.name
            for entry in entries.values()
            if name in (entry.provides, entry.provides.partition(":")[2])
        ]
        found += groups.get(name, ())
        if not found and name not in groups:
            raise _unknown_name(entries, name, groups)
        chosen.update({each: entries[each] for each in found})
    return list(chosen.values())


def _unknown_name(
    entries: Mapping[str, WeightsEntry], name: str, more: Iterable[str] = ()
) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(name, {**entries, **dict.fromkeys(more)}, 3, 0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else "See 'thcli weights list'."
    return UsageError(f"There are no weights named {name!r}.", hint)


def is_allowed(entry: WeightsEntry, licence: Literal["any", "free"]) -> bool:
    """Return True if an entry may be used under --licence."""
    return licence == "any" or entry.commercial


def check_licence(name: str, licence: Literal["any", "free"]) -> None:
    """Raise WeightsError when `licence` is "free" and the owner's terms restrict the use."""
    entry = registry().get(name)
    if entry is not None and not is_allowed(entry, licence):
        raise WeightsError(
            f"The weights {name} may not be used with --licence free: their licence is "
            f"{entry.licence}.",
            "Use --licence any if their terms fit your use, or another backend "
            "(thcli list backends).",
        )
