"""Text files that a user gives: bounded, with or without a byte order mark."""

from __future__ import annotations

import csv
import io
from pathlib import Path

MAX_BYTES = 256 << 20  # two million rows of poses have less


def read_text(path: Path) -> str:
    """Read a file in UTF-8. A pipe may be given; one without an end is not read on.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not UTF-8, or has more than MAX_BYTES.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
    return content.decode("utf-8-sig")


def read_csv(path: Path) -> csv.DictReader[str]:
    """Return the rows of a CSV file, see `read_text`. Reading a row may raise csv.Error."""
    return csv.DictReader(io.StringIO(read_text(path), newline=""))


def reading_reason(error: OSError | ValueError | csv.Error) -> str:
    """Return why a text file could not be read, without Python's numbers of errors and bytes."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error)


def parser_reason(error: ValueError) -> str:
    """Return what a parser of TOML or JSON says, without Python's advice on long numbers."""
    return "a number is too long" if "int_max_str_digits" in str(error) else str(error)
