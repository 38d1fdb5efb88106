"""Metadata of outputs: the label of synthetic content, the tool, and the metadata of the input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import thcli

_ENGINE = re.compile(r"with thcli \S+ \(engine ([^)]*)\)")
# written by every muxer itself, or specific to the input file
_NOT_COPIED = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "thcli")
)
# keys that an mp4 holds without QuickTime metadata tags, which fewer players read
_PLAIN_KEYS = frozenset(
    [
        "title",
        "artist",
        "album_artist",
        "album",
        "date",
        "comment",
        "description",
        "synopsis",
        "copyright",
        "genre",
        "composer",
        "show",
        "creation_time",
    ]
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of an output.

    command: the command's verb. Never the whole command line: its paths may name people and places.
    engine: name of the backend.
    synthetic: True when faces or voices are generated.
    """

    command: str = ""
    engine: str = ""
    synthetic: bool = True

    def __str__(self) -> str:
        words = [
            "AI-generated (synthetic) video, made" if self.synthetic else "Made",
            f"with thcli {thcli.__version__}",
        ]
        if self.engine:
            words.append(f"(engine {self.engine})")
        return " ".join(words) + (f": {self.command}" if self.command else "")


def output_metadata(metadata: Mapping[str, str], provenance: Provenance | None) -> dict[str, str]:
    """Build the metadata of an output from that of its input and its provenance.

    The provenance is stored as `comment`, and as `thcli` for containers that keep such keys.
    """
    kept = {
        key: value for key, value in metadata.items() if key.lower() not in _NOT_COPIED and value
    }
    if provenance is not None:
        before = kept.get("comment", "")
        if before.startswith(("AI-generated (synthetic)", "Made with thcli")):
            before = ""  # written by an earlier thcli command: one label is enough
        kept["comment"] = f"{provenance}" + (f" | {before}" if before else "")
        kept["thcli"] = str(provenance)
    return kept


def engine_of(metadata: Mapping[str, str]) -> str | None:
    """Return the engine that the metadata of a video of thcli name; None without a name."""
    for key in ("thcli", "comment"):
        found = _ENGINE.search(metadata.get(key, ""))
        if found is not None:
            return found.group(1)
    return None


def fits_plain_mp4(metadata: Mapping[str, str]) -> bool:
    """Return True when an mp4 holds all keys without QuickTime tags.

    The key `thcli` repeats the comment and may be lost.
    """
    return all(key in _PLAIN_KEYS for key in metadata if key != "thcli")
