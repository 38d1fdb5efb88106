"""What an output says about itself: that it is synthetic, and what made it. What the input said goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import thcli

# written anew by every muxer, or true of the old file only
_TECHNICAL = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "thcli")
)
# what an mp4 keeps without the QuickTime way of naming, which fewer players read
_PLAIN = frozenset(
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
    """Says what made an output. command: its verb (never the command line: paths tell of people and places).  engine: name of the backend.  synthetic: faces or voices in it are made."""

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


def tags(metadata: Mapping[str, str], provenance: Provenance | None) -> dict[str, str]:
    """The metadata of an output: the input's own, and the provenance in `comment` (and in `thcli`, where a container keeps such keys)."""
    kept = {
        key: value for key, value in metadata.items() if key.lower() not in _TECHNICAL and value
    }
    if provenance is not None:
        before = kept.get("comment", "")
        if before.startswith(("AI-generated (synthetic)", "Made with thcli")):
            before = ""  # of an earlier step of ours: one sentence is enough
        kept["comment"] = f"{provenance}" + (f" | {before}" if before else "")
        kept["thcli"] = str(provenance)
    return kept


def plain(metadata: Mapping[str, str]) -> bool:
    """Whether an mp4 can keep all of it the ordinary way (the tag `thcli` repeats the comment and may go)."""
    return all(key in _PLAIN for key in metadata if key != "thcli")
