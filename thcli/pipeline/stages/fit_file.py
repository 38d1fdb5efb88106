"""What `thcli fit` writes, told by the ending: a table, lines of JSON, or a safetensors file.

NAME.csv           a row a frame: index, pts, seconds, seen, pitch, yaw, roll (degrees), scale (pixels a unit of the model), x, y (pixels),
                   then each number of expression by its name and identity_1, identity_2, …; empty where the face was not seen
NAME.jsonl, -      a line a frame: the same, expression and identity as objects and lists, and the model's own numbers as "own"
NAME.safetensors   in the container of docs/motion-file.md, kind "coefficients", with rotation vectors and all of the model's own numbers
"""

from __future__ import annotations

import itertools
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
from thcli.media.atomic_file import Lines, SideFile
from thcli.media.failures import unwritable
from thcli.motion.file import MotionWriter

KIND = "coefficients"
OWN = "own_"
ANGLES = ("pitch", "yaw", "roll")
HEAD = ("index", "pts", "seconds", "seen", *ANGLES, "scale", "x", "y")


class Sink(Protocol):
    """Takes windows of numbers, as `fitting.numbers` gives them, in order. A context manager; what it leaves is whole or nothing."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...
    def append(self, motion: Motion) -> None: ...


def sink(
    output: str | Path | None, overwrite: bool, words: Mapping[str, str], names: Sequence[str]
) -> Sink:
    """Where numbers go. words: about their origin.  names: of the expression's columns.

    Raises UsageError for another ending, OutputError when the place is taken or cannot be written to.
    """
    ending = ".jsonl" if output is None or str(output) == "-" else Path(output).suffix.lower()
    if ending == ".safetensors":
        place = SideFile(Path(str(output)), overwrite)
        return _Stored(
            place, {**words, "made_by": f"thcli {__version__}", "expression": " ".join(names)}
        )
    if ending == ".csv":
        return _Table(SideFile(Path(str(output)), overwrite), names)
    if ending != ".jsonl":
        raise UsageError(
            f"{output} has no ending that numbers are written in.",
            "Name it NAME.csv, NAME.jsonl or NAME.safetensors.",
        )
    return _JsonLines(Lines(output, overwrite), names)


class _Written:
    """What the three have in common: a room that is entered before the first window and left after the last."""

    def __init__(self) -> None:
        self._room = ExitStack()
        self._index = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._room.__exit__(kind, error, trace)


class _Stored(_Written):
    def __init__(self, place: SideFile, words: Mapping[str, str]) -> None:
        super().__init__()
        self._place, self._words = place, words

    def __enter__(self) -> Self:
        self._room.enter_context(self._place)
        self._writer = self._room.enter_context(MotionWriter(self._place.partial, self._words))
        return self

    def append(self, motion: Motion) -> None:
        self._writer.append(motion)


class _JsonLines(_Written):
    def __init__(self, lines: Lines, names: Sequence[str]) -> None:
        super().__init__()
        self._lines, self._names = lines, names

    def __enter__(self) -> Self:
        self._room.enter_context(self._lines)
        return self

    def append(self, motion: Motion) -> None:
        for i, head in enumerate(_heads(motion, self._index)):
            row: dict[str, Any] = dict(zip(HEAD, head, strict=False))
            if motion.valid[i]:
                rows = {key: _short(values[i]) for key, values in motion.arrays.items()}
                own = {
                    key.removeprefix(OWN): value
                    for key, value in rows.items()
                    if key.startswith(OWN)
                }
                row["expression"] = dict(zip(self._names, rows["expression"], strict=True))
                row |= {"identity": rows["identity"], "own": own}
            self._lines.write(row)
        self._index += len(motion)


class _Table(_Written):
    def __init__(self, place: SideFile, names: Sequence[str]) -> None:
        super().__init__()
        self._place, self._names = place, names

    def __enter__(self) -> Self:
        self._room.enter_context(self._place)
        try:
            self._file = self._room.enter_context(
                self._place.partial.open("w", encoding="utf-8", newline="")
            )
        except OSError as exc:
            raise unwritable(self._place.path, exc) from exc
        return self

    def append(self, motion: Motion) -> None:
        people = motion.arrays["identity"].shape[1]
        rows: list[Sequence[Any]] = (
            []
            if self._index
            else [[*HEAD, *self._names, *(f"identity_{i + 1}" for i in range(people))]]
        )
        for i, head in enumerate(_heads(motion, self._index)):
            told = (
                [_short(motion.arrays[key][i]) for key in ("expression", "identity")]
                if motion.valid[i]
                else []
            )
            rows.append([*head, *itertools.chain(*told)])
        width = len(HEAD) + len(self._names) + people
        try:
            for row in rows:
                self._file.write(",".join([*map(str, row), *[""] * (width - len(row))]) + "\n")
        except OSError as exc:
            raise unwritable(self._place.path, exc) from exc
        self._index += len(motion)


def _heads(motion: Motion, start: int) -> Iterator[list[Any]]:
    """The first columns of each frame; of one whose face was not seen only the first four."""
    arrays = motion.arrays
    for i, pts in enumerate(motion.pts):
        seconds = round(float(int(pts) * motion.time_base), 6)
        row: list[Any] = [start + i, int(pts), seconds, int(motion.valid[i])]
        if motion.valid[i]:
            angles, scale, place = (
                np.asarray(arrays[k][i], np.float64) for k in ("angles", "scale", "translation")
            )
            row += [*np.round(angles, 3).tolist(), _short(scale), *np.round(place, 2).tolist()]
        yield row


def _short(values: npt.ArrayLike) -> Any:
    """Numbers as lists, five digits each: their own noise is larger."""
    array = np.asarray(values, np.float64)
    return float(f"{array:.5g}") if array.ndim == 0 else [_short(value) for value in array]
