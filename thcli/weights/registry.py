"""The registry: what weights.toml says about each file of weights, checked strictly.

weights.toml stands at the root of a checkout and inside the installed package; it is a document that users read.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from thcli.core.errors import UsageError, WeightsError

ARCHIVES = ("zip", "tar")
PICKLES = ("pytorch", "torchscript")
FORMATS = (
    *ARCHIVES,
    *PICKLES,
    "safetensors",
    "tflite",
    "onnx",
    "task",
    "mat",
    "npy",
    "pickle",
    "raw",
)
LARGEST_AUTO = 16 << 20

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_FILE = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*"
)  # no slash, no leading dot: it lands in a folder of ours
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*(/[A-Za-z0-9_][A-Za-z0-9_.=+-]*)*")
_HASH = re.compile(r"[0-9a-f]{64}")
_PROVIDES = re.compile(r"[a-z0-9]+:[a-z0-9.-]+")
_SOURCES = (
    re.compile(r"bundled:[A-Za-z0-9_.-]+"),
    re.compile(r"wheel:[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+/[^\\]+"),
    re.compile(r"https://[^\s/]+/\S*"),
    re.compile(r"http://(127\.0\.0\.1|localhost)(:\d+)?/\S*"),  # a mirror on this very machine
    re.compile(r"hf:[^\s/@]+/[^\s/@]+/[^\s@]+@[A-Za-z0-9._-]+"),
    re.compile(r"gdrive:[A-Za-z0-9_-]+"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of weights.

    name: the table's name.  file: what it is called on disk.  size: bytes, 0 unknown.  sha256: 64 hex digits, "" unknown.
    commercial: whether the owner's licence allows commercial use; False where that is unclear.  provides: "stage:backend".
    key_prefix: what comes before a tensor's name in the file.  figures: published or measured quality.  sources: tried in order.
    about: a word to the user, for instance how to get what needs a login.  auto: small, free and hashed, so fetched on first use.
    members: of an archive, file -> sha256 ("" unknown); the archive is unpacked and these files are kept.
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
    members: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def archive(self) -> bool:
        return self.format in ARCHIVES

    @property
    def files(self) -> Mapping[str, str]:
        """What lies in the cache when it is there: file -> sha256 ("" unknown)."""
        return self.members if self.archive else {self.file: self.sha256}


def registry() -> Mapping[str, Entry]:
    """Every entry of weights.toml by name, in the file's order. Raises WeightsError naming a bad row."""
    package = Path(__file__).parents[1]
    inside, checkout = package / "weights.toml", package.parent / "weights.toml"
    return read(inside if inside.is_file() else checkout)


@cache
def read(path: Path) -> Mapping[str, Entry]:
    """The entries of one registry file."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise WeightsError(
            f"The registry {path} cannot be read: {exc}.", "Install thcli again."
        ) from exc
    except tomllib.TOMLDecodeError as exc:
        raise WeightsError(f"The registry {path} is not valid TOML: {exc}.") from exc
    return MappingProxyType({name: parse(name, table, path.name) for name, table in tables.items()})


def parse(name: str, table: Any, where: str = "weights.toml") -> Entry:
    """One table as an Entry. Raises WeightsError that names the row, the field and what it should be."""

    def check(ok: object, key: str, should: str) -> None:
        if not ok:
            raise WeightsError(f"{where}: [{name}] {key} must be {should}, not {table.get(key)!r}.")

    if not isinstance(table, dict):
        raise WeightsError(f"{where}: {name!r} must be a table such as [{name}].")
    known = {f.name: f.type for f in fields(Entry)}
    strange = sorted(set(table) - set(known) | ({"name"} & set(table)))
    if strange:
        raise WeightsError(
            f"{where}: [{name}] has the unknown key {strange[0]!r}.", f"Known: {', '.join(known)}."
        )
    for key in ("file", "licence", "commercial", "provides", "format"):
        check(key in table, key, "given")
    for key, kind in known.items():
        if kind == "str" and key != "name":
            check(isinstance(table.get(key, ""), str), key, "text")
        if kind == "bool":
            check(isinstance(table.get(key, False), bool), key, "true or false")
    size, sources, members = (
        table.get("size", 0),
        table.get("sources", []),
        table.get("members", {}),
    )
    if not _NAME.fullmatch(name):
        raise WeightsError(
            f"{where}: [{name}] is not a name: small letters, digits, '-' and '.' only."
        )
    check(_FILE.fullmatch(table["file"]), "file", "a plain file name")
    check(table["licence"], "licence", "given")
    check(_PROVIDES.fullmatch(table["provides"]), "provides", "of the form stage:backend")
    check(table["format"] in FORMATS, "format", f"one of {', '.join(FORMATS)}")
    check(type(size) is int and size >= 0, "size", "a number of bytes (0: unknown)")
    check(
        not table.get("sha256") or _HASH.fullmatch(table["sha256"]),
        "sha256",
        "64 small hex digits, or empty",
    )
    check(
        isinstance(sources, list) and all(isinstance(s, str) for s in sources),
        "sources",
        "a list of texts",
    )
    for source in sources:
        check(
            any(p.fullmatch(source) for p in _SOURCES),
            "sources",
            "bundled:, wheel:, https://, hf: or gdrive: each",
        )
    check(isinstance(members, dict), "members", "a table of file = sha256")
    check(
        bool(members) == (table["format"] in ARCHIVES),
        "members",
        "given for archives, and only for them",
    )
    for member, digest in members.items():
        check(
            _MEMBER.fullmatch(member) and ".." not in member.split("/"),
            "members",
            "relative files without '..'",
        )
        check(
            digest == "" or (isinstance(digest, str) and _HASH.fullmatch(digest)),
            "members",
            "hashes or empty",
        )
    check(
        sources or table.get("about"),
        "about",
        "given where there is no source (how to get the file)",
    )
    if table.get("auto"):
        small = 0 < size <= LARGEST_AUTO
        check(
            small and table.get("sha256") and table["commercial"],
            "auto",
            "false unless small, hashed and free",
        )
    values = {key: value for key, value in table.items() if key not in ("sources", "members")}
    return Entry(
        name=name, sources=tuple(sources), members=MappingProxyType(dict(members)), **values
    )


def find(entries: Mapping[str, Entry], name: str) -> Entry:
    """The entry of that name. Raises UsageError that lists the nearest ones."""
    if name in entries:
        return entries[name]
    from difflib import get_close_matches

    near = get_close_matches(name, entries, 3, 0.5)
    raise UsageError(
        f"There are no weights named {name!r}.",
        f"Did you mean {' or '.join(near)}?" if near else "See 'thcli weights list'.",
    )


def select(entries: Mapping[str, Entry], names: list[str]) -> list[Entry]:
    """The entries meant by names, or by what they provide ("engine:liveportrait" is all of its files), each once."""
    chosen: dict[str, Entry] = {}
    for name in names:
        group = [e for e in entries.values() if e.provides == name] or [find(entries, name)]
        chosen.update({e.name: e for e in group})
    return list(chosen.values())


def allowed(entry: Entry, licence: Literal["any", "free"]) -> bool:
    """Whether an entry may be used under --licence."""
    return licence == "any" or entry.commercial


def check_licence(name: str, licence: Literal["any", "free"]) -> None:
    """Raises WeightsError when `licence` is "free" and the owner's terms do not clearly allow every use."""
    entry = registry().get(name)
    if entry is not None and not allowed(entry, licence):
        raise WeightsError(
            f"The weights {name} may not be used with --licence free: their licence is {entry.licence}.",
            "Use --licence any if their terms fit your use, or another backend (thcli list backends).",
        )
