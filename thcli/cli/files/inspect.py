"""`thcli inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import ReadOptions, ShowOptions

if TYPE_CHECKING:
    from thcli import Inspection

_ANSWERS = {True: "yes", False: "no", None: "unknown"}


@flags
def inspect(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A video, image, folder of images, or - for stdin."),
    ],
    *,
    read: ReadOptions,
    show: ShowOptions,
) -> None:
    """Show what a file tells of its origin: note, label, watermark, consent, signature."""
    import thcli

    with Console(show) as console:
        inspection = thcli.inspect(file, read, console)
        console.table(("fact", "value"), list(_rows(inspection)), inspection.as_json())


def _rows(inspection: Inspection) -> Iterator[tuple[str, str]]:
    note, watermark = inspection.note, inspection.watermark
    yield "synthetic", _ANSWERS[inspection.synthetic]
    if note:
        engine = f" (engine {note['engine']})" if note.get("engine") else ""
        yield "made by", f"thcli {note.get('thcli', '')} {note.get('command', '')}{engine}"
    yield "label", _ANSWERS[inspection.label]
    score = f"score {watermark.score:.1f}"
    if watermark.found:
        by = f", by {inspection.watermark_command}" if inspection.watermark_command else ""
        yield "watermark", f"yes ({score}{by})"
    else:
        yield "watermark", f"not found ({score})"
    consents = [str(text) for text in note.get("consent", ())]
    yield "consent", "; ".join(consents) if consents else "none stated"
    for name, licence in note.get("licences", {}).items():
        yield "licence", f"{name}: {licence}"
    yield "c2pa", _credentials(inspection)
    yield "comment", inspection.comment or "none"


def _credentials(inspection: Inspection) -> str:
    facts = inspection.credentials
    if facts["present"] is None:
        return f"unknown: {facts['reason']}"
    if not facts["present"]:
        return "none"
    return f"{facts['state']}, signed by {facts['signer']} ({facts['issuer']})"
