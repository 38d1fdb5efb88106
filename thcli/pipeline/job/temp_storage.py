"""Temporary on-disk storage for pass-1 results."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import Self


class TemporaryFiles:
    """One unnamed temporary file per name. A context manager; the files vanish when it is left."""

    def __init__(self, *names: str) -> None:
        self._files = [
            tempfile.TemporaryFile(prefix=f"thcli-{name}-")  # noqa: SIM115 - closed in __exit__
            for name in names
        ]
        self._file = self._files[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            with suppress(OSError):  # what a full disk did not take is discarded with the file
                file.close()
