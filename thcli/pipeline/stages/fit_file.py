"""Output files of `thcli fit`, chosen by suffix.

NAME.csv: one row per frame with index, pts, seconds, seen, pitch, yaw, roll (degrees), scale
(pixels per unit of the model), x, y (pixels), then the named numbers of expression and identity_1,
identity_2, …; empty where the face was not detected.

NAME.jsonl and -: one line per frame with the same, expression as an object, identity as a list, and
the model's native parameters as "own".

NAME.safetensors: the container of docs/motion-file.md, kind "coefficients", with rotation vectors
and all native parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from thcli import __version__
from thcli.core.errors import UsageError
from thcli.core.types import Motion
from thcli.media.atomic_file import AtomicFile, JsonLinesWriter
from thcli.media.failures import to_output_error
from thcli.motion.file.writer import MotionWriter

KIND = "coefficients"
NATIVE = "own_"  # prefix of the arrays of native parameters
ANGLES = ("pitch", "yaw", "roll")
HEAD = ("index", "pts", "seconds", "seen", *ANGLES, "scale", "x", "y")


class FitFile(Protocol):
    """An output of fitted parameters, complete or not at all. A context manager."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...
    def append(self, motion: Motion) -> None:
        """Append the next window, as `fit.fit_window` returns it."""
        ...


def open_fit_file(
    output: str | Path | None,
    overwrite: bool,
    metadata: Mapping[str, str],
    expression_names: Sequence[str],
) -> FitFile:
    """Open an output of fitted parameters.

    Args:
        output: path, '-' for standard output, None for no output.
        overwrite: the file may exist.
        metadata: origin, for safetensors.
        expression_names: names of the columns of expression.

    Raises:
        UsageError: an unknown suffix.
        OutputError: the file exists or cannot be written.
    """
    suffix = ".jsonl" if output is None or str(output) == "-" else Path(output).suffix.lower()
    if suffix == ".safetensors":
        names = {"made_by": f"thcli {__version__}", "expression": " ".join(expression_names)}
        file = AtomicFile(Path(str(output)), overwrite)
        return _SafetensorsFile(file, {**metadata, **names})
    if suffix == ".csv":
        return _CsvFile(AtomicFile(Path(str(output)), overwrite), expression_names)
    if suffix != ".jsonl":
        raise UsageError(
            f"{output} has no suffix of a parameter file.",
            "Name it NAME.csv, NAME.jsonl or NAME.safetensors.",
        )
    return _JsonLinesFile(JsonLinesWriter(output, overwrite), expression_names)


class _OpenFile:
    """Common part of the formats: entered contexts and the number of the next frame."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._index = 0  # of the next frame

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)


class _SafetensorsFile(_OpenFile):
    def __init__(self, file: AtomicFile, metadata: Mapping[str, str]) -> None:
        super().__init__()
        self._file, self._metadata = file, metadata

    def __enter__(self) -> Self:
        self._stack.enter_context(self._file)
        self._writer = self._stack.enter_context(MotionWriter(self._file.partial, self._metadata))
        return self

    def append(self, motion: Motion) -> None:
        self._writer.append(motion)


class _JsonLinesFile(_OpenFile):
    def __init__(self, lines: JsonLinesWriter, expression_names: Sequence[str]) -> None:
        super().__init__()
        self._lines, self._expression_names = lines, expression_names

    def __enter__(self) -> Self:
        self._stack.enter_context(self._lines)
        return self

    def append(self, motion: Motion) -> None:
        for i, head in enumerate(_head_columns(motion, self._index)):
            row: dict[str, Any] = dict(zip(HEAD, head, strict=False))
            if motion.valid[i]:
                values = {key: _rounded(array[i]) for key, array in motion.arrays.items()}
                native = {
                    key.removeprefix(NATIVE): value
                    for key, value in values.items()
                    if key.startswith(NATIVE)
                }
                expression = zip(self._expression_names, values["expression"], strict=True)
                row["expression"] = dict(expression)
                row |= {"identity": values["identity"], "own": native}
            self._lines.write(row)
        self._index += len(motion)


class _CsvFile(_OpenFile):
    def __init__(self, file: AtomicFile, expression_names: Sequence[str]) -> None:
        super().__init__()
        self._atomic_file, self._expression_names = file, expression_names

    def __enter__(self) -> Self:
        self._stack.enter_context(self._atomic_file)
        try:
            self._file = self._stack.enter_context(
                self._atomic_file.partial.open("w", encoding="utf-8", newline="")
            )
        except OSError as exc:
            raise to_output_error(self._atomic_file.path, exc) from exc
        return self

    def append(self, motion: Motion) -> None:
        identity_size = motion.arrays["identity"].shape[1]
        rows: list[list[Any]] = []
        if not self._index:
            identity_names = [f"identity_{i + 1}" for i in range(identity_size)]
            rows.append([*HEAD, *self._expression_names, *identity_names])
        for i, head in enumerate(_head_columns(motion, self._index)):
            row = list(head)
            if motion.valid[i]:
                for key in ("expression", "identity"):
                    row += _rounded(motion.arrays[key][i])
            rows.append(row)
        width = len(HEAD) + len(self._expression_names) + identity_size
        try:
            for row in rows:
                self._file.write(",".join([*map(str, row), *[""] * (width - len(row))]) + "\n")
        except OSError as exc:
            raise to_output_error(self._atomic_file.path, exc) from exc
        self._index += len(motion)


def _head_columns(motion: Motion, start: int) -> Iterator[list[Any]]:
    """Yield the columns HEAD of each frame; the first four where the face was not detected."""
    arrays = motion.arrays
    for i, pts in enumerate(motion.pts):
        seconds = round(float(int(pts) * motion.time_base), 6)
        row: list[Any] = [start + i, int(pts), seconds, int(motion.valid[i])]
        if motion.valid[i]:
            angles, scale, position = (
                np.asarray(arrays[k][i], np.float64) for k in ("angles", "scale", "translation")
            )
            row += [*np.round(angles, 3).tolist(), _rounded(scale), *np.round(position, 2).tolist()]
        yield row


def _rounded(values: npt.ArrayLike) -> Any:
    """Return numbers as lists with five significant digits; their noise is larger."""
    array = np.asarray(values, np.float64)
    return float(f"{array:.5g}") if array.ndim == 0 else [_rounded(value) for value in array]
