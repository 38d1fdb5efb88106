"""Writer of motion files (docs/motion-file.md)."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.temp_folders import guarded
from thcli.core.types import AnyArray, Motion
from thcli.media.destination import (
    hidden_sibling,
    publish,
    resolve_destination,
    taken_error,
)
from thcli.media.failures import to_output_error
from thcli.motion.file.format import (
    DTYPE_NAMES,
    FORMAT,
    NAME,
    VERSION,
    FormatError,
    encode_header,
    is_bounded,
)
from thcli.motion.file.kinds import check_arrays

_COPY_BYTES = 1 << 20


class MotionWriter:
    """Writer of a motion file by windows, in memory that does not depend on the length.

    A context manager. Leaving it without an error renames the finished file into place; leaving it
    with an error leaves no file. Rows are kept in temporary files until then.

    Args:
        path: output file.
        metadata: texts about the origin (source, duration, licence, ...).
        overwrite: replaces an existing file.

    Raises:
        OutputError: the file exists or cannot be written.
        MediaError: a window does not continue the previous ones.
    """

    def __init__(
        self,
        path: Path | str,
        metadata: Mapping[str, str] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = resolve_destination(Path(path))
        self._overwrite = overwrite
        if self.path.exists() and not overwrite:
            raise taken_error(self.path)
        self._metadata = dict(metadata or {})
        self._row_files: dict[str, BinaryIO] = {}
        self._row_types: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._first: Motion | None = None
        self._frames = 0
        self._last_pts: int | None = None
        self._folder = hidden_sibling(self.path, f".{secrets.token_hex(4)}.partial")
        self._guard = ExitStack()
        self._guard.enter_context(guarded(self._folder))
        try:
            self._folder.mkdir()
        except OSError as exc:
            self._guard.close()
            raise to_output_error(self.path, exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as error:
            raise to_output_error(self.path, error) from error
        finally:
            for stream in self._row_files.values():
                with suppress(OSError):  # what a full disk did not take is discarded with the file
                    stream.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._guard.close()

    def append(self, motion: Motion) -> None:
        """Append the next window.

        Its kind, time base, constants and the names, dtypes and shapes of its arrays must equal
        those of the first window.
        """
        if self._first is None:
            _check_kind(motion)
            self._first = motion
        elif not _continues(motion, self._first):
            raise MediaError(
                "A motion's windows differ in kind, time base or constants.",
                "The frame size must not change within a clip.",
            )
        rows = {"pts": motion.pts, "valid": motion.valid, **motion.arrays}
        times = (
            motion.pts if self._last_pts is None else np.concatenate([[self._last_pts], motion.pts])
        )
        if np.any(times[1:] <= times[:-1]):
            raise MediaError(
                f"Time stamps do not rise after frame {self._frames}.",
                "Copy the video into a new container first.",
            )
        if self._frames and set(rows) != set(self._row_types):
            raise MediaError("A motion's windows have different arrays.")
        try:
            for name, values in rows.items():
                self._write_rows(name, np.asarray(values), len(motion))
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc
        self._frames += len(motion)
        self._last_pts = int(times[-1]) if len(times) else None

    def _write_rows(self, name: str, values: AnyArray, count: int) -> None:
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        if (
            values.dtype not in DTYPE_NAMES
            or not NAME.fullmatch(name)
            or values.shape[:1] != (count,)
        ):
            raise MediaError(
                f"The array {name!r} ({values.dtype}, {values.shape}) does not fit a motion file."
            )
        row_type = (values.dtype, values.shape[1:])
        if self._row_types.setdefault(name, row_type) != row_type:
            raise MediaError(f"The array {name!r} changes its dtype or shape between windows.")
        if not is_bounded(values):
            raise MediaError(f"The array {name!r} has values that are not finite or too large.")
        if name not in self._row_files:
            self._row_files[name] = (self._folder / name).open("w+b")
        self._row_files[name].write(values.tobytes())

    def _finish(self) -> None:
        """Write the header, the constants and the rows into one file, and rename it."""
        first = self._first
        if first is None:
            raise MediaError("There is no motion to write: no window was appended.")
        metadata = {
            **self._metadata,
            "format": FORMAT,
            "version": VERSION,
            "kind": first.kind,
            "time_base": f"{first.time_base.numerator}/{first.time_base.denominator}",
        }
        constants = {k: np.ascontiguousarray(v) for k, v in first.constants.items()}
        for name, value in constants.items():
            if value.dtype not in DTYPE_NAMES or not NAME.fullmatch(name):
                raise MediaError(
                    f"The constant {name!r} ({value.dtype}) does not fit a motion file."
                )
        # the widest dtypes first: every array stays aligned
        order = sorted(self._row_types, key=lambda n: -self._row_types[n][0].itemsize)
        arrays = {f"constant/{name}": (v.dtype, v.shape) for name, v in constants.items()}
        for name in order:
            dtype, row_shape = self._row_types[name]
            arrays[f"frame/{name}"] = (dtype, (self._frames, *row_shape))
        part = self._folder / "whole"
        with part.open("wb") as out:
            out.write(encode_header(metadata, arrays))
            for value in constants.values():
                out.write(value.tobytes())
            for name in order:
                stream = self._row_files[name]
                stream.seek(0)
                shutil.copyfileobj(stream, out, _COPY_BYTES)
        publish(part, self.path, overwrite=self._overwrite)


def _check_kind(motion: Motion) -> None:
    """Raise MediaError unless a motion has the arrays of its kind."""
    rows = {name: (rows.dtype, rows.shape[1:]) for name, rows in motion.arrays.items()}
    constants = {name: (value.dtype, value.shape) for name, value in motion.constants.items()}
    try:
        check_arrays(motion.kind, rows, constants)
    except FormatError as exc:
        raise MediaError(f"A motion cannot be written: {exc}.") from exc


def _continues(motion: Motion, first: Motion) -> bool:
    """Return whether kind, time base and constants of two windows are equal."""
    return (
        motion.kind == first.kind
        and motion.time_base == first.time_base
        and motion.constants.keys() == first.constants.keys()
        and all(np.array_equal(motion.constants[k], first.constants[k]) for k in first.constants)
    )
