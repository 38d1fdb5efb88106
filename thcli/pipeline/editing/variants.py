"""Outputs of an edit with several strengths or colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.editors.shared.keys import colour_word, split_colour
from thcli.pipeline.editing.request import EditRequest


def variant_targets(
    target: str | Path, requests: Sequence[EditRequest], options: EditOptions
) -> list[str | Path]:
    """Return the output of each request: of several, NAME_ATTRIBUTE_STRENGTH or ..._COLOUR.

    Raises UsageError for outputs that hold one result only, and for equal requests.
    """
    if len(requests) == 1:
        return [target]
    alone = {
        "-o -": str(target) == "-",
        "--compare": options.compare,
        "--save-edit": options.save_edit,
    }
    for flag, given in alone.items():
        if given:
            raise UsageError(
                f"{flag} holds one result, and several strengths are given.", "Give one strength."
            )
    path = Path(target)
    labels = [
        "_".join(
            _label(key, strength)
            for key, strength in request.attributes.items()
            if any(other.attributes.get(key) != strength for other in requests)
        )
        for request in requests
    ]
    if len(set(labels)) < len(labels):
        raise UsageError("--attr: two of the strengths or colours are equal.", "Give each once.")
    return [path.with_name(f"{path.stem}_{label}{path.suffix}") for label in labels]


def _label(key: str, strength: float) -> str:
    """Return the part of a file's name that tells an attribute and its strength or colour."""
    name, digits = split_colour(key)
    return f"{name.replace(':', '_')}_{colour_word(digits) if digits else f'{strength:g}'}"
