"""Arrays on disk that training fills and reads in parts.

Their space is taken when they are made: a write into a hole of a mapped file ends the process with
SIGBUS when the disk is full.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from thcli.media.failures import to_output_error

_BLOCK = 1 << 24  # bytes, written at a time
Shapes = Mapping[Path, tuple[tuple[int, ...], npt.DTypeLike]]


def create_arrays(shapes: Shapes) -> list[np.memmap[Any, Any]]:
    """Create .npy files of zeros and return their memory maps. shapes: shape and type by file.

    Raises OutputError when they do not fit or cannot be written; none of them is left then.
    """
    path, arrays = Path(), []
    try:
        for path, (shape, kind) in shapes.items():
            array = open_memmap(path, "w+", np.dtype(kind), shape)
            with path.open("r+b") as file:
                file.seek(array.offset)
                _fill(file, array.nbytes)
            arrays.append(array)
    except OSError as exc:
        for made in shapes:
            made.unlink(missing_ok=True)
        raise to_output_error(path, exc) from exc
    return arrays


def temporary_array(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return an array of zeros in a file of TMPDIR that is gone with it.

    Raises OutputError when it does not fit.
    """
    size = math.prod(shape)
    try:
        with tempfile.TemporaryFile(prefix="thcli-array-") as file:
            _fill(file, size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as exc:
        name = f"a file of {size / 1e9:.1f} GB in {tempfile.gettempdir()}"
        raise to_output_error(name, exc) from exc


def _fill(file: IO[bytes], size: int) -> None:
    for start in range(0, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - start)))
    file.flush()
