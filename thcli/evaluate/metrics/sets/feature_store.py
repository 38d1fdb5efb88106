"""Features of images on disk, so that a second evaluation of the same clips does not compute them.

A file of a network is a sequence of records: the hash of an image, then its features. An
interrupted last record is ignored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

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
        self._known: dict[bytes, Array] = {}
        size = KEY + 4 * width
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            data = self._file.read_bytes() if self._file.is_file() else b""
            whole = len(data) - len(data) % size
            if whole < len(data):
                self._file.write_bytes(data[:whole])
        except OSError as exc:
            raise to_output_error(self._file, exc) from exc
        for start in range(0, whole, size):
            record = data[start : start + size]
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
            try:
                with self._file.open("ab") as file:
                    file.write(key + row.tobytes())
            except OSError as exc:
                raise to_output_error(self._file, exc) from exc
            self._known[key] = row.astype(np.float64)
        return self._known[key]
