"""Outputs of an edit with several strengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.pipeline.editing.request import EditRequest


def variant_targets(
    target: str | Path, requests: Sequence[EditRequest], options: EditOptions
) -> list[str | Path]:
    """Return the output of each request: of several, NAME_ATTRIBUTE_STRENGTH.

    Raises UsageError for outputs that hold one result only.
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
    varied = [
        name
        for name, strength in requests[0].attributes.items()
        if any(request.attributes.get(name) != strength for request in requests)
    ]
    labels = [
        "_".join(f"{name.replace(':', '_')}_{request.attributes[name]:g}" for name in varied)
        for request in requests
    ]
    if len(set(labels)) < len(labels):
        raise UsageError("--attr: two of the strengths are equal.", "Give each once.")
    return [path.with_name(f"{path.stem}_{label}{path.suffix}") for label in labels]
