"""Atomic output files other than videos and images, and JSON Lines on top of them.

A file is written under a temporary name beside its target and renamed when it is complete, so that
a reader sees either nothing, the old file or the whole new one.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from thcli.core.errors import OutputError
from thcli.core.interrupts import unbroken
from thcli.core.json_text import to_json
from thcli.core.temp_folders import guarded
from thcli.media.destination import (
    check_folder,
    hidden_sibling,
    publish,
    resolve_destination,
    taken_error,
)
from thcli.media.failures import is_write_failure, to_output_error


@contextmanager
def replace_atomically(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary path, and rename it to `path` when the block ends without an exception.

    The temporary file is removed after an exception. Its name ends as `path` does, because some
    encoders choose the format by the ending.

    Args:
        path: the final name.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists already, or cannot be written; an OSError of the block is
            converted.
    """
    with AtomicFile(path, overwrite) as file:
        try:
            yield file.partial
        except OSError as exc:
            raise to_output_error(path, exc) from exc


class AtomicFile:
    """Context manager for a file that is written as `partial` and renamed to `path` on success.

    Construction already checks the target, so that a long job fails early.

    path: the final name, of a symbolic link its target.
    partial: the temporary name in the same folder, with the same ending.

    Raises OutputError when the target exists and `overwrite` is False, or cannot be written.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        self.path, self._overwrite = resolve_destination(path), overwrite
        ending = f".{secrets.token_hex(4)}.partial{self.path.suffix[-16:]}"
        self.partial = hidden_sibling(self.path, ending)
        self._guard = ExitStack()
        self._check()
        try:
            self._try_folder()
        except OSError as exc:
            raise to_output_error(path, exc) from exc

    @unbroken
    def _try_folder(self) -> None:
        self.partial.touch(exist_ok=False)
        self.partial.unlink()

    def _check(self) -> None:
        if self.path.is_dir():
            raise OutputError(f"{self.path} is a folder.", "Give the name of a file.")
        if self.path.exists() and not self._overwrite:
            raise taken_error(self.path)
        check_folder(self.path.parent)

    def __enter__(self) -> Self:
        self._guard.enter_context(guarded(self.partial))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._check()  # another process may have created the target meanwhile
                with self.partial.open("rb") as file:
                    os.fsync(file.fileno())
                publish(self.partial, self.path, overwrite=self._overwrite)
            elif isinstance(error, OutputError) and str(self.partial) in error.message:
                message = error.message.replace(str(self.partial), str(self.path))
                raise OutputError(message, error.hint) from error  # a writer knew one name alone
            elif isinstance(error, OSError) and self._is_own(error):
                raise to_output_error(self.path, error) from error
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc
        finally:
            self._remove_partial()

    @unbroken
    def _remove_partial(self) -> None:
        self.partial.unlink(missing_ok=True)
        self._guard.close()

    def _is_own(self, error: OSError) -> bool:
        """Return True for a failed write that names this file, or none, as those to open files."""
        return is_write_failure(error) and error.filename in (None, str(self.partial))


class JsonLinesWriter:
    """Context manager that writes JSON Lines to a file, atomically, or to standard output.

    target: a file, "-" for standard output, or None to discard the rows.
    overwrite: replace an existing file.
    """

    def __init__(self, target: str | Path | None, overwrite: bool) -> None:
        self.name = "standard output" if target == "-" else str(target)
        to_file = target is not None and target != "-"
        self._file = AtomicFile(Path(str(target)), overwrite) if to_file else None
        self._out = sys.stdout if target == "-" else None

    def __enter__(self) -> Self:
        if self._file is not None:
            self._file.__enter__()
            try:
                self._out = self._file.partial.open("w", encoding="utf-8")
            except OSError as exc:
                self._file.__exit__(type(exc), exc, exc.__traceback__)
                raise to_output_error(self.name, exc) from exc
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Write one row as a line."""
        if self._out is not None:
            try:
                self._out.write(to_json(row) + "\n")
            except OSError as exc:
                raise to_output_error(self.name, exc) from exc

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
            raise to_output_error(self.name, exc) from exc
        finally:
            if self._file is not None:
                self._file.__exit__(kind, error, trace)
