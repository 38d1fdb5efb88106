"""Format of motion files: header layout, limits, and the checks of untrusted headers.

See docs/motion-file.md. The container is safetensors: a JSON header, then the arrays without gaps.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, TypeGuard

import numpy as np

from thcli.core.types import AnyArray

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
DTYPE_NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
MAX_HEADER_BYTES = 1 << 20
MAX_ARRAYS = 64
MAX_FRAMES = 10_000_000  # four days at 25 frames per second
MAX_ROW_BYTES = 1 << 22  # of one frame in one array
MAX_CONSTANT_BYTES = 1 << 24
MAX_DIMENSIONS = 5
MAX_SECONDS = 10_000_000  # from the first frame to the last; four months
MAX_VALUE = 1e8  # of any floating-point number; the Basel Face Model's unit is the micrometre
_TIME_BASE = re.compile(r"[1-9]\d{0,9}/[1-9]\d{0,9}", re.ASCII)


class FormatError(ValueError):
    """Violation of the motion file format.

    Its text completes the sentence "FILE is not a valid motion file: ...".
    """


class VersionError(FormatError):
    """Motion file of another version of the format."""


@dataclass(frozen=True, slots=True)
class ArrayEntry:
    """Dtype and shape of an array, and the offset of its first byte in the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def size(self) -> int:
        """Return the number of bytes of the array."""
        return self.dtype.itemsize * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """Checked header of a motion file.

    Attributes:
        metadata: free texts.
        kind: kind of the motion.
        time_base: seconds per unit of the time stamps.
        pts, valid: (T,) time stamps and flags.
        arrays: the other arrays per frame, (T, ...), by name.
        constants: arrays without a time axis, by name.
    """

    metadata: Mapping[str, str]
    kind: str
    time_base: Fraction
    pts: ArrayEntry
    valid: ArrayEntry
    arrays: Mapping[str, ArrayEntry]
    constants: Mapping[str, ArrayEntry]

    def __len__(self) -> int:
        return self.pts.shape[0]


def read_header(stream: BinaryIO, size: int) -> Header:
    """Read and check the header of a file of `size` bytes; no array is read.

    Raises:
        FormatError: the header is not that of a valid motion file.
    """
    table, begin = _read_json(stream, size)
    metadata = _check_metadata(table.pop("__metadata__", {}))
    if len(table) > MAX_ARRAYS:
        raise FormatError(f"it has {len(table)} arrays, more than {MAX_ARRAYS}")
    entries = {name: _check_entry(name, row, begin) for name, row in table.items()}
    _check_layout(entries, begin, size)
    if not NAME.fullmatch(metadata.get("kind", "")):
        raise FormatError("its metadata has no valid kind of motion")
    time_base = metadata.get("time_base", "")
    if not _TIME_BASE.fullmatch(time_base):
        raise FormatError("its metadata has no valid time base")
    groups: dict[str, dict[str, ArrayEntry]] = {"frame": {}, "constant": {}}
    for name, entry in entries.items():
        group, _, short_name = name.partition("/")
        groups[group][short_name] = entry
    arrays, constants = groups["frame"], groups["constant"]
    pts, valid = _take_vector(arrays, "pts", "<i8"), _take_vector(arrays, "valid", "?")
    _check_sizes(arrays, constants, pts.shape[0])
    return Header(metadata, metadata["kind"], Fraction(time_base), pts, valid, arrays, constants)


def _read_json(stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header's JSON table and the offset of the first array."""
    prefix = stream.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
        raise FormatError("its header is missing, truncated or too large")
    try:
        table = json.loads(stream.read(length).decode("utf-8"), object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as exc:
        raise FormatError("its header is not valid JSON") from exc
    if not isinstance(table, dict):
        raise FormatError("its header is not a JSON object")
    return table, 8 + length


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("duplicate key")
    return table


def _check_metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError("its metadata are not texts")
    if metadata.get("format") != FORMAT:
        raise FormatError("it is a safetensors file, but its metadata does not name this format")
    if metadata.get("version") != VERSION:
        version = metadata.get("version", "?")[:20]
        raise VersionError(f"it has version {version} of the format; this program reads {VERSION}")
    return metadata


def _check_entry(name: str, row: object, begin: int) -> ArrayEntry:
    group, _, short_name = name.partition("/")
    if group not in ("frame", "constant") or not NAME.fullmatch(short_name):
        raise FormatError(f"an array is named {name[:40]!r}")
    if (
        not isinstance(row, dict)
        or not isinstance(row.get("dtype"), str)
        or row["dtype"] not in DTYPES
    ):
        raise FormatError(f"the array {name!r} has a type that motion files do not have")
    shape, offsets = row.get("shape"), row.get("data_offsets")
    if not (_is_counts(shape, MAX_DIMENSIONS) and _is_counts(offsets, 2) and len(offsets) == 2):
        raise FormatError(f"the array {name!r} has no valid shape or offsets")
    entry = ArrayEntry(np.dtype(DTYPES[row["dtype"]]), tuple(shape), begin + offsets[0])
    if (entry.shape and entry.shape[0] > MAX_FRAMES) or entry.size != offsets[1] - offsets[0]:
        raise FormatError(f"the array {name!r} does not fit its offsets")
    return entry


def _is_counts(value: object, most: int) -> TypeGuard[list[int]]:
    """Return whether value is a list of at most `most` non-negative integers."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(v) is int and 0 <= v < 1 << 48 for v in value)
    )


def _check_layout(entries: Mapping[str, ArrayEntry], begin: int, size: int) -> None:
    """Check that the arrays fill the file from `begin` to `size` without gaps or overlaps."""
    at = begin
    for entry in sorted(entries.values(), key=lambda e: (e.start, e.size)):
        if entry.start != at:
            raise FormatError("its arrays overlap or leave gaps")
        at += entry.size
    if at != size:
        raise FormatError(f"its arrays need {at} bytes, but the file has {size}")


def _take_vector(arrays: dict[str, ArrayEntry], name: str, code: str) -> ArrayEntry:
    entry = arrays.pop(name, None)
    if entry is None or entry.dtype != np.dtype(code) or len(entry.shape) != 1:
        raise FormatError(f"it has no {name!r} of one value per frame")
    return entry


def _check_sizes(
    arrays: Mapping[str, ArrayEntry], constants: Mapping[str, ArrayEntry], count: int
) -> None:
    for name, entry in arrays.items():
        if not entry.shape or entry.shape[0] != count:
            raise FormatError(
                f"its array {name!r} has another number of frames than its time stamps"
            )
        if entry.row_bytes > MAX_ROW_BYTES:
            raise FormatError(
                f"its array {name!r} has {entry.row_bytes} bytes per frame, "
                f"more than {MAX_ROW_BYTES}"
            )
    for name, entry in constants.items():
        if entry.size > MAX_CONSTANT_BYTES:
            raise FormatError(f"its constant {name!r} is larger than {MAX_CONSTANT_BYTES} bytes")


def encode_header(
    metadata: Mapping[str, str], arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
) -> bytes:
    """Encode a header with its length prefix.

    Args:
        metadata: texts.
        arrays: dtype and shape of each array by full name ("frame/..." or "constant/..."), in the
            order of the file.
    """
    table: dict[str, Any] = {"__metadata__": dict(metadata)}
    begin = 0
    for name, (dtype, shape) in arrays.items():
        end = begin + dtype.itemsize * math.prod(shape)
        table[name] = {
            "dtype": DTYPE_NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [begin, end],
        }
        begin = end
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def is_bounded(values: AnyArray) -> bool:
    """Return whether all floating-point values are finite and at most MAX_VALUE in size."""
    if values.dtype.kind != "f" or not values.size:
        return True
    return bool(float(np.max(np.abs(values))) <= MAX_VALUE)  # false for NaN
