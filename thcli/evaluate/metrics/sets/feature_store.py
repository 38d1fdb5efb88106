"""Features of images on disk, so that a second evaluation of the same clips does not compute them.

A file of a network is a sequence of records: the hash of an image, then its features. An
interrupted last record is ignored, and overwritten by the next. One process at a time reads or
writes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from thcli.core.file_lock import file_lock
from thcli.core.types import Array, Image
from thcli.media.failures import to_output_error

KEY = 16  # bytes of a hash


class FeatureStore:
    """Features of the images that one network has seen; without a folder nothing is kept."""

    def __init__(self, folder: Path | None, network: str, width: int) -> None:
        """Read the file of a network.

        Args:
            folder: made when it is missing; None to keep nothing.
            network: name with a hash of its weights.
            width: numbers of the features of an image.

        Raises:
            OutputError: when the folder cannot be used.
        """
        self._file = None if folder is None else folder / f"{network}.features"
        self._size = KEY + 4 * width
        self._known: dict[bytes, Array] = {}
        if self._file is None:
            return
        with self._open(self._file) as file:
            data = file.read()
        for start in range(0, len(data) - len(data) % self._size, self._size):
            record = data[start : start + self._size]
            self._known[record[:KEY]] = np.frombuffer(record[KEY:], "<f4").astype(np.float64)

    def get(self, image: Image, compute: Callable[[Image], Array]) -> Array:
        """Return the features (D,) of an image, computed once. Raises OutputError."""
        if self._file is None:
            return compute(image)
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=KEY)
        digest.update(np.ascontiguousarray(image).tobytes())
        key = digest.digest()
        if key not in self._known:
            row = np.asarray(compute(image), "<f4")
            with self._open(self._file) as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(end - end % self._size)  # over a record that was interrupted
                file.write(key + row.tobytes())
            self._known[key] = row.astype(np.float64)
        return self._known[key]

    @contextmanager
    def _open(self, path: Path) -> Iterator[BinaryIO]:
        """Open the file, which is made when it is missing, for this process alone."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(path.with_suffix(".lock"), path.name):
                path.touch()
                with path.open("r+b") as file:
                    yield file
        except OSError as exc:
            raise to_output_error(path, exc) from exc
