"""Results that are not pictures: a file that appears whole or not at all, and lines of JSON in it or on standard output."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from thcli.core.errors import OutputError
from thcli.media.failures import unwritable


class SideFile:
    """A file that is written as `partial`, beside its place, and moved there when the block ends well; removed when it does not.

    Raises OutputError when the place is taken, or cannot be written to.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path, self._overwrite = path, overwrite
        self.partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self._check()
        try:
            self.partial.touch(exist_ok=False)
            self.partial.unlink()
        except OSError as exc:
            raise unwritable(path, exc) from exc

    def _check(self) -> None:
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder.", "Give the name of a file.")
        if self.path.exists() and not self._overwrite:
            raise OutputError(
                f"{self.path} exists already.", "Give --overwrite, or another name with -o."
            )
        if not self.path.parent.is_dir():
            raise OutputError(
                f"{self.path.parent} is not a folder that exists.",
                f"Make it with 'mkdir -p {self.path.parent}'.",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._check()  # someone else may have been quicker
                with self.partial.open("rb") as file:
                    os.fsync(file.fileno())
                self.partial.replace(self.path)
        except OSError as exc:
            raise unwritable(self.path, exc) from exc
        finally:
            self.partial.unlink(missing_ok=True)


class Lines:
    """JSON Lines: a context manager. target: a file, '-' for standard output, or None for nowhere."""

    def __init__(self, target: str | Path | None, overwrite: bool) -> None:
        self.name = "standard output" if target == "-" else str(target)
        self._file = None if target is None or target == "-" else SideFile(Path(target), overwrite)
        self._out = sys.stdout if target == "-" else None

    def __enter__(self) -> Self:
        if self._file is not None:
            try:
                self._out = self._file.partial.open("w", encoding="utf-8")
            except OSError as exc:
                raise unwritable(self.name, exc) from exc
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """One line."""
        if self._out is not None:
            try:
                self._out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
            except OSError as exc:
                raise unwritable(self.name, exc) from exc

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._file is not None and self._out is not None:
                self._out.close()
            elif self._out is not None:
                self._out.flush()
        except OSError as exc:
            kind, error = type(exc), exc
            raise unwritable(self.name, exc) from exc
        finally:
            if self._file is not None:
                self._file.__exit__(kind, error, trace)
