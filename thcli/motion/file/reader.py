"""Reader of motion files from any origin (docs/motion-file.md).

Reading executes, unpickles and maps nothing. The header is checked before any array is read, and
all values once on opening. A window is one seek and one read of its rows in each array.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thcli.core.errors import MediaError
from thcli.core.types import AnyArray, Motion
from thcli.motion.file.format import (
    MAX_SECONDS,
    SUFFIX,
    ArrayEntry,
    FormatError,
    VersionError,
    is_bounded,
    read_header,
)
from thcli.motion.file.kinds import check_arrays, check_values

_CHECKED_BYTES = 1 << 22  # in memory at a time
HINT = "Create it again from its video: thcli encode VIDEO -o NAME" + SUFFIX


class MotionFile:
    """Motion file on disk as a MotionStore.

    Only the header and the constants are kept; a window is read when it is requested. All values
    are read once on opening, in windows, so that an invalid file fails before any work.

    Args:
        path: the file.
        hint: advice in the error about an invalid file.

    Attributes:
        metadata: texts about the origin.
        kind: kind of the motion.
        time_base: seconds per unit of the time stamps.
        constants: arrays without a time axis, by name.

    Raises:
        MediaError: the file cannot be read or is not a valid motion file.
    """

    def __init__(self, path: Path | str, *, hint: str = HINT) -> None:
        self.path = Path(path)
        self._hint = hint
        try:
            with self.path.open("rb") as stream:
                header = read_header(stream, self.path.stat().st_size)
        except FormatError as exc:
            raise self._invalid(exc) from exc
        except OSError as exc:
            raise self._unreadable(exc) from exc
        self._header = header
        self.metadata = dict(header.metadata)
        self.kind, self.time_base = header.kind, header.time_base
        self.constants: dict[str, AnyArray] = {
            name: self._read(name, entry, 0, entry.size).reshape(entry.shape)
            for name, entry in header.constants.items()
        }
        try:
            check_arrays(
                self.kind,
                {name: (entry.dtype, entry.shape[1:]) for name, entry in header.arrays.items()},
                {name: (entry.dtype, entry.shape) for name, entry in header.constants.items()},
            )
            check_values(self.kind, self.constants, constants=True)
            self._check_frames()
        except FormatError as exc:
            raise self._invalid(exc) from exc

    def _check_frames(self) -> None:
        """Read all frames once, in windows. Raises FormatError or MediaError for a bad value."""
        if not len(self):
            raise FormatError("it has no frames")
        rows = sum(entry.row_bytes for entry in self._header.arrays.values())
        step = max(1, _CHECKED_BYTES // max(1, rows))
        first = last = None
        for start in range(0, len(self), step):
            window = self.window(start, start + step)
            check_values(self.kind, window.arrays)
            begin, end = int(window.pts[0]), int(window.pts[-1])
            if last is not None and begin <= last:
                raise FormatError("its time stamps do not rise")
            first, last = begin if first is None else first, end
            if (last - first) * self.time_base > MAX_SECONDS:
                raise FormatError(f"it lasts longer than {MAX_SECONDS} seconds")

    def _invalid(self, reason: FormatError | str) -> MediaError:
        hint = "Update thcli." if isinstance(reason, VersionError) else self._hint
        return MediaError(f"{self.path} is not a valid motion file: {reason}.", hint)

    def _unreadable(self, exc: OSError) -> MediaError:
        return MediaError(f"The motion file {self.path} cannot be read: {exc.strerror or exc}.")

    def _read(self, name: str, entry: ArrayEntry, offset: int, size: int) -> AnyArray:
        """Read `size` bytes of an array from `offset`, checked, as a flat array."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(entry.start + offset)
                data = stream.read(size)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if len(data) != size:
            raise self._invalid("it was truncated during reading")
        if entry.dtype.kind == "b" and max(data, default=0) > 1:
            raise self._invalid(f"its array {name!r} has values that are neither true nor false")
        values = np.frombuffer(data, entry.dtype)
        if not is_bounded(values):
            raise self._invalid(f"its array {name!r} has values that are not finite or too large")
        return values

    def _read_rows(self, name: str, entry: ArrayEntry, start: int, stop: int) -> AnyArray:
        row = entry.row_bytes
        values = self._read(name, entry, start * row, (stop - start) * row)
        return values.reshape(stop - start, *entry.shape[1:])

    def __len__(self) -> int:
        return len(self._header)

    def window(self, start: int, stop: int) -> Motion:
        """Return frames start..stop, limited to the file's frames.

        Raises:
            MediaError: a number is not finite, or the time stamps do not rise.
        """
        count, header = len(self), self._header
        start, stop = max(0, min(start, count)), max(0, min(stop, count))
        stop = max(start, stop)
        pts = self._read_rows("pts", header.pts, start, stop)
        stamps = np.asarray(pts, np.int64)
        if np.any(stamps[1:] <= stamps[:-1]):
            raise self._invalid("its time stamps do not rise")
        return Motion(
            self.kind,
            stamps,
            self.time_base,
            self._read_rows("valid", header.valid, start, stop),  # type: ignore[arg-type]
            {k: self._read_rows(k, entry, start, stop) for k, entry in header.arrays.items()},
            self.constants,
        )
