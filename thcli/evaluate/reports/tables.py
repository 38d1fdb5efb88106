"""Tables as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from thcli.media.atomic_file import replace_atomically

Table = tuple[list[str], list[list[str]]]  # heading and lines
ENDINGS = {".csv", ".md"}


def csv_text(table: Table) -> str:
    """Return a table as CSV. A cell that a spreadsheet would compute begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in [table[0], *table[1]]:
        writer.writerow([_inert(cell) for cell in line])
    return text.getvalue()


def markdown_text(table: Table) -> str:
    """Return a table as Markdown."""
    head, lines = table
    rows = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(_plain(cell) for cell in row)} |\n" for row in rows)


def save_tables(path: Path, tables: Sequence[Table]) -> None:
    """Write tables to a file as its ending says, an empty line between. Raises OutputError."""
    to_text = csv_text if path.suffix.lower() == ".csv" else markdown_text
    with replace_atomically(path, overwrite=True) as partial:
        partial.write_text("\n".join(to_text(table) for table in tables), "utf-8", newline="")


def read_number(text: object) -> float | None:
    """Return the finite number that a cell says, None for any other."""
    try:
        value = float(text) if isinstance(text, str) else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _inert(cell: str) -> str:
    dangerous = cell[:1] in ("=", "+", "-", "@", "\t") and cell != "-"
    return f"'{cell}" if dangerous and read_number(cell) is None else cell


def _plain(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
