"""Zeroed memory for encoders, so that packets do not depend on what the memory held before.

x264's macroblock tree (core 165, with B-frames, at widths other than multiples of 128) reads memory
that it never wrote: what is left there changes the packets of the same frames. A resumed job must
give those of an unbroken one.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_PERTURB = -6  # glibc's mallopt(3): allocated memory is filled with the complement of a byte
_ZEROS, _OFF = 0xFF, 0


@contextmanager
def clear_memory() -> Iterator[None]:
    """Zero what the process allocates in the block. Without glibc nothing happens."""
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(_PERTURB, _ZEROS)
    try:
        yield
    finally:
        mallopt(_PERTURB, _OFF)


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    return found
