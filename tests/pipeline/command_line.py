"""Command lines for `thcli.cli.app.run`."""

from __future__ import annotations


def to_argv(*words: object) -> list[str]:
    """Build a command line: strings are split at spaces, paths and numbers are one word each."""
    return [
        part for word in words for part in (word.split() if isinstance(word, str) else [str(word)])
    ]
