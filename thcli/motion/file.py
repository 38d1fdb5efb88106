"""The motion file, `*.motion.safetensors`: a clip's motion in small numbers, safe to load from strangers (docs/motion-file.md).

Reading never executes, unpickles or maps anything: the header is checked before any number is read, and a window is one seek
and one read of just its rows in each array. Writing spools windows to disk, so that length costs no memory either.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeGuard

import numpy as np

from thcli.core.errors import MediaError, OutputError
from thcli.core.types import AnyArray, Motion

SUFFIX = ".motion.safetensors"
FORMAT, VERSION = "thcli-motion", "1"
DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I32": "<i4",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
MAX_HEADER = 1 << 20  # bytes
MAX_TENSORS = 64
MAX_FRAMES = 10_000_000  # four days at 25 frames a second
MAX_ROW = 1 << 22  # bytes a frame in one array
MAX_CONSTANT = 1 << 24  # bytes
MAX_DIMENSIONS = 5
MAX_VALUE = 1e8  # of any floating-point number: most are radians, ratios and picture heights, but BFM counts in micrometres
COPY = 1 << 20
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
HINT = "Make it again from its video: thcli encode VIDEO -o NAME" + SUFFIX


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where one tensor lies: dtype, shape, position of its first byte in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def size(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


class MotionFile:
    """A motion file on disk; a MotionStore. Holds the header only: every window is read when it is asked for.

    hint: what to do about a broken one.  Raises MediaError, with a sentence on what is wrong, for anything that is not a sound motion file.
    """

    def __init__(self, path: Path | str, *, hint: str = HINT) -> None:
        self.path = Path(path)
        self._hint = hint
        self.metadata: dict[str, str] = {}
        try:
            with self.path.open("rb") as stream:
                slots = self._header(stream, self.path.stat().st_size)
        except OSError as exc:
            raise MediaError(
                f"The motion file {self.path} cannot be read: {exc.strerror or exc}."
            ) from exc
        self.kind = self.metadata.get("kind", "")
        if not NAME.fullmatch(self.kind):
            raise self._broken("it does not say what kind of motion it holds")
        self.time_base = self._time_base()
        self._constants = {
            k.partition("/")[2]: s for k, s in slots.items() if k.startswith("constant/")
        }
        self._arrays = {k.partition("/")[2]: s for k, s in slots.items() if k.startswith("frame/")}
        if len(self._constants) + len(self._arrays) != len(slots):
            raise self._broken("its arrays do not have the names of a motion file")
        self._pts, self._valid = self._take("pts", "<i8"), self._take("valid", "?")
        self._length = self._pts.shape[0]
        for name, slot in self._arrays.items():
            if not slot.shape or slot.shape[0] != self._length:
                raise self._broken(
                    f"its array {name!r} has another number of frames than its time stamps"
                )
            if slot.row_bytes > MAX_ROW:
                raise self._broken(
                    f"its array {name!r} has {slot.row_bytes} bytes a frame, more than {MAX_ROW}"
                )
        for name, slot in self._constants.items():
            if slot.size > MAX_CONSTANT:
                raise self._broken(f"its constant {name!r} is larger than {MAX_CONSTANT} bytes")
        self.constants: dict[str, AnyArray] = {
            k: self._read(k, s, 0, s.size).reshape(s.shape) for k, s in self._constants.items()
        }

    def _broken(self, why: str) -> MediaError:
        return MediaError(f"{self.path} is not a sound motion file: {why}.", self._hint)

    def _header(self, stream: BinaryIO, size: int) -> dict[str, _Slot]:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
            raise self._broken("its header is missing, cut off or too large")
        try:
            header = json.loads(stream.read(length).decode("utf-8"), object_pairs_hook=_unique)
        except (ValueError, RecursionError) as exc:
            raise self._broken("its header is not JSON") from exc
        if not isinstance(header, dict):
            raise self._broken("its header is not a table")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self._broken("its metadata are not texts")
        self.metadata = metadata
        if metadata.get("format") != FORMAT:
            raise MediaError(f"{self.path} is a safetensors file, but not of motion.", self._hint)
        if metadata.get("version") != VERSION:
            raise MediaError(
                f"{self.path} has version {metadata.get('version', '?')[:20]} of the motion format; this program reads {VERSION}.",
                "Update thcli.",
            )
        if len(header) > MAX_TENSORS:
            raise self._broken(f"it has {len(header)} arrays, more than {MAX_TENSORS}")
        slots = {name: self._slot(name, row, 8 + length) for name, row in header.items()}
        at = 8 + length
        for slot in sorted(slots.values(), key=lambda s: (s.start, s.size)):
            if slot.start != at:
                raise self._broken("its arrays overlap or leave gaps")
            at += slot.size
        if at != size:
            raise self._broken(f"its arrays need {at} bytes, but the file has {size}")
        return slots

    def _slot(self, name: str, row: object, base: int) -> _Slot:
        group, _, short = name.partition("/")
        if group not in ("frame", "constant") or not NAME.fullmatch(short):
            raise self._broken(f"an array is named {name[:40]!r}")
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("dtype"), str)
            or row["dtype"] not in DTYPES
        ):
            raise self._broken(f"the array {name!r} has no type that a motion file may hold")
        shape, offsets = row.get("shape"), row.get("data_offsets")
        if not (_counts(shape, MAX_DIMENSIONS) and _counts(offsets, 2) and len(offsets) == 2):
            raise self._broken(f"the array {name!r} has no shape or place")
        slot = _Slot(np.dtype(DTYPES[row["dtype"]]), tuple(shape), base + offsets[0])
        if (slot.shape and slot.shape[0] > MAX_FRAMES) or slot.size != offsets[1] - offsets[0]:
            raise self._broken(f"the array {name!r} does not fit its place")
        return slot

    def _time_base(self) -> Fraction:
        text = self.metadata.get("time_base", "")
        if not re.fullmatch(r"[1-9]\d{0,9}/[1-9]\d{0,9}", text, re.ASCII):
            raise self._broken("it has no time base")
        return Fraction(text)

    def _take(self, name: str, code: str) -> _Slot:
        slot = self._arrays.pop(name, None)
        if slot is None or slot.dtype != np.dtype(code) or len(slot.shape) != 1:
            raise self._broken(f"it has no {name!r} of one value a frame")
        return slot

    def _read(self, name: str, slot: _Slot, start: int, size: int) -> AnyArray:
        try:
            with self.path.open("rb") as stream:
                stream.seek(slot.start + start)
                data = stream.read(size)
        except OSError as exc:
            raise MediaError(
                f"The motion file {self.path} cannot be read: {exc.strerror or exc}."
            ) from exc
        if len(data) != size:
            raise self._broken("it was cut off while it was read")
        if slot.dtype.kind == "b" and max(data, default=0) > 1:
            raise self._broken(f"its array {name!r} has values that are neither true nor false")
        values = np.frombuffer(data, slot.dtype)
        if not _bounded(values):
            raise self._broken(f"its array {name!r} has values that are not finite or too large")
        return values

    def __len__(self) -> int:
        return self._length

    def _rows(self, name: str, slot: _Slot, start: int, stop: int) -> AnyArray:
        row = slot.row_bytes
        values = self._read(name, slot, start * row, (stop - start) * row)
        return values.reshape(stop - start, *slot.shape[1:])

    def window(self, start: int, stop: int) -> Motion:
        """Frames start..stop (clipped to the clip). Raises MediaError when the numbers there are not finite or time runs backwards."""
        start, stop = max(0, min(start, self._length)), max(0, min(stop, self._length))
        stop = max(start, stop)
        pts = self._rows("pts", self._pts, start, stop)
        if np.any(np.diff(pts) <= 0):
            raise self._broken("its time stamps do not rise")
        return Motion(
            self.kind,
            pts,  # type: ignore[arg-type]
            self.time_base,
            self._rows("valid", self._valid, start, stop),  # type: ignore[arg-type]
            {k: self._rows(k, s, start, stop) for k, s in self._arrays.items()},
            self.constants,
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands twice")
    return table


def _counts(value: object, most: int) -> TypeGuard[list[int]]:
    """Whether value is a list of at most `most` non-negative integers."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(v) is int and 0 <= v < 1 << 48 for v in value)
    )


class MotionWriter:
    """Writes a motion file window by window, in memory that does not depend on the length.

    A context manager: leaving it without an error puts the finished file in place in one rename; leaving it with one leaves
    nothing behind. metadata: texts about the origin (source, duration, licence …).
    Raises OutputError when the file exists or cannot be written, MediaError when a window does not continue the ones before.
    """

    def __init__(
        self,
        path: Path | str,
        metadata: Mapping[str, str] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not overwrite:
            raise OutputError(
                f"The motion file {self.path} exists already.", "Add --overwrite to replace it."
            )
        self._metadata = dict(metadata or {})
        self._spools: dict[str, BinaryIO] = {}
        self._shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
        self._first: Motion | None = None
        self._frames = 0
        self._last_pts: int | None = None
        try:
            self._folder = tempfile.TemporaryDirectory(
                prefix=f".{self.path.name}.", dir=self.path.parent
            )
        except OSError as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: OSError) -> OutputError:
        return OutputError(
            f"The motion file {self.path} cannot be written: {exc.strerror or exc}.",
            "Choose another place with -o.",
        )

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
            raise self._failed(error) from error
        finally:
            for spool in self._spools.values():
                spool.close()
            self._folder.cleanup()

    def append(self, motion: Motion) -> None:
        """Adds the next window. Kind, time base, constants and the arrays' names, types and shapes must be those of the first one."""
        first = self._first
        if first is None:
            self._first = first = motion
        elif (
            motion.kind != first.kind
            or motion.time_base != first.time_base
            or not _same(motion.constants, first.constants)
        ):
            raise MediaError(
                "A motion's windows differ in kind, time base or constants.",
                "The picture size must not change within a clip.",
            )
        rows = {"pts": motion.pts, "valid": motion.valid, **motion.arrays}
        times = (
            motion.pts if self._last_pts is None else np.concatenate([[self._last_pts], motion.pts])
        )
        if np.any(np.diff(times) <= 0):
            raise MediaError(
                f"Time stamps do not rise after frame {self._frames}.",
                "Copy the video into a fresh container first.",
            )
        if self._frames and set(rows) != set(self._shapes):
            raise MediaError("A motion's windows have different arrays.")
        try:
            for name, values in rows.items():
                self._spool(name, np.asarray(values), len(motion))
        except OSError as exc:
            raise self._failed(exc) from exc
        self._frames += len(motion)
        self._last_pts = int(times[-1]) if len(times) else None

    def _spool(self, name: str, values: AnyArray, count: int) -> None:
        values = np.ascontiguousarray(values)
        values = values.astype(values.dtype.newbyteorder("<"), copy=False)
        if values.dtype not in NAMES or not NAME.fullmatch(name) or values.shape[:1] != (count,):
            raise MediaError(
                f"The array {name!r} ({values.dtype}, {values.shape}) does not fit a motion file."
            )
        shape = (values.dtype, values.shape[1:])
        if self._shapes.setdefault(name, shape) != shape:
            raise MediaError(f"The array {name!r} changes its type or shape from window to window.")
        if not _bounded(values):
            raise MediaError(f"The array {name!r} has values that are not finite.")
        if name not in self._spools:
            self._spools[name] = (Path(self._folder.name) / name).open("w+b")
        self._spools[name].write(values.tobytes())

    def _finish(self) -> None:
        first = self._first
        if first is None:
            raise MediaError("There is no motion to write: no window was given.")
        table: dict[str, Any] = {
            "__metadata__": {
                **self._metadata,
                "format": FORMAT,
                "version": VERSION,
                "kind": first.kind,
                "time_base": f"{first.time_base.numerator}/{first.time_base.denominator}",
            }
        }
        at = 0
        constants = {k: np.ascontiguousarray(v) for k, v in first.constants.items()}
        for name, value in constants.items():
            if value.dtype not in NAMES or not NAME.fullmatch(name):
                raise MediaError(
                    f"The constant {name!r} ({value.dtype}) does not fit a motion file."
                )
            at = _enter(table, f"constant/{name}", value.dtype, value.shape, at)
        order = sorted(
            self._shapes, key=lambda n: -self._shapes[n][0].itemsize
        )  # keeps every array aligned
        for name in order:
            dtype, row = self._shapes[name]
            at = _enter(table, f"frame/{name}", dtype, (self._frames, *row), at)
        header = json.dumps(table, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        part = Path(self._folder.name) / "whole"
        with part.open("wb") as out:
            out.write(len(header).to_bytes(8, "little") + header)
            for value in constants.values():
                out.write(value.tobytes())
            for name in order:
                spool = self._spools[name]
                spool.seek(0)
                shutil.copyfileobj(spool, out, COPY)
        part.replace(self.path)


def _enter(
    table: dict[str, Any], name: str, dtype: np.dtype[Any], shape: tuple[int, ...], at: int
) -> int:
    stop = at + dtype.itemsize * math.prod(shape)
    table[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, stop]}
    return stop


def _bounded(values: AnyArray) -> bool:
    """Whether floating-point values are finite and of a size that ours can have."""
    if values.dtype.kind != "f" or not values.size:
        return True
    return bool(float(np.max(np.abs(values))) <= MAX_VALUE)  # false for NaN


def _same(a: Mapping[str, AnyArray], b: Mapping[str, AnyArray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@dataclass(frozen=True, slots=True)
class MotionBuffer:
    """A short motion in memory as a MotionStore."""

    motion: Motion

    @property
    def kind(self) -> str:
        return self.motion.kind

    def __len__(self) -> int:
        return len(self.motion)

    def window(self, start: int, stop: int) -> Motion:
        """Frames start..stop, clipped to the clip."""
        return self.motion[max(start, 0) : max(stop, 0)]
