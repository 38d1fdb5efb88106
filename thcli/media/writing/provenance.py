"""Metadata of outputs: the label of synthetic content, the tool, and the metadata of the input.

The comment is a sentence for people, then a note for programs: a JSON object that begins with the
key "thcli". It has only ASCII characters, which every container and EXIF can hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import thcli
from thcli.core.options import ProvenanceOptions

SYNTHETIC = "AI-generated (synthetic)"
_PREFIXES = (SYNTHETIC, "Made with thcli")
_NOTE = '{"thcli":'
_NOTE_TYPES = {
    **dict.fromkeys(("thcli", "command", "engine"), str),
    **dict.fromkeys(("synthetic", "label", "watermark"), bool),
    "consent": list,
    "licences": dict,
}
_MOST_CONSENTS = 8  # of earlier commands that are kept
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
    options: label, watermark, consent, signature.
    licences: accepted licence of each of the weights that were used, by name.
    """

    command: str = ""
    engine: str = ""
    synthetic: bool = True
    options: ProvenanceOptions = field(default_factory=ProvenanceOptions)
    licences: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [
            f"{SYNTHETIC} video, made" if self.synthetic else "Made",
            f"with thcli {thcli.__version__}",
        ]
        if self.engine:
            words.append(f"(engine {self.engine})")
        return " ".join(words) + (f": {self.command}" if self.command else "")

    def note(self, earlier: Mapping[str, Any]) -> dict[str, Any]:
        """Return the note for programs.

        Args:
            earlier: note of the input; its marks, consents and licences still apply.
        """
        consents = [str(text) for text in earlier.get("consent", ())]
        if self.options.consent is not None and self.options.consent not in consents:
            consents.append(self.options.consent)
        kept = earlier.get("licences", {})
        return {
            "thcli": thcli.__version__,
            "command": self.command,
            "engine": self.engine,
            "synthetic": self.synthetic,
            "label": self.options.label or earlier.get("label", False),
            "watermark": self.options.watermark or earlier.get("watermark", False),
            "consent": consents[-_MOST_CONSENTS:],
            "licences": {str(k): str(v) for k, v in {**kept, **self.licences}.items()},
        }


def read_note(comment: str) -> dict[str, Any]:
    """Return the note in a comment that thcli wrote, {} where there is none."""
    start = comment.rfind(_NOTE)
    if start < 0 or not comment.startswith(_PREFIXES):
        return {}
    try:
        note, _ = json.JSONDecoder().raw_decode(comment, start)
    except (ValueError, RecursionError):
        return {}
    # anybody can write a comment: what has another type is left out
    return {
        key: value
        for key, value in note.items()
        if key in _NOTE_TYPES and isinstance(value, _NOTE_TYPES[key])
    }


def is_synthetic(comment: str) -> bool:
    """Return True for the comment of a file that thcli labelled as synthetic."""
    return comment.startswith(SYNTHETIC)


def output_metadata(metadata: Mapping[str, str], provenance: Provenance | None) -> dict[str, str]:
    """Build the metadata of an output from that of its input and its provenance.

    The provenance is stored as `comment`, and as `thcli` for containers that keep such keys.
    """
    kept = {
        key: value for key, value in metadata.items() if key.lower() not in _NOT_COPIED and value
    }
    if provenance is not None:
        name = next((key for key in kept if key.lower() == "comment"), "comment")
        before = kept.pop(name, "")
        note = json.dumps(provenance.note(read_note(before)), separators=(", ", ":"))
        if before.startswith(_PREFIXES):
            before = ""  # written by an earlier thcli command: one label is enough
        kept["comment"] = f"{provenance}" + (f" | {before}" if before else "") + f" | {note}"
        kept["thcli"] = str(provenance)
    return kept


def engine_of(metadata: Mapping[str, str]) -> str | None:
    """Return the engine that the metadata of a video of thcli name; None without a name."""
    return read_note(metadata.get("comment", "")).get("engine")


def fits_plain_mp4(metadata: Mapping[str, str]) -> bool:
    """Return True when an mp4 holds all keys without QuickTime tags.

    The key `thcli` repeats the comment and may be lost.
    """
    return all(key in _PLAIN_KEYS for key in metadata if key != "thcli")
