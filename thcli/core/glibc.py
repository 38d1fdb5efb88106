"""Settings of glibc's memory, mallopt(3)."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache

_ARENA_MAX = -8  # mallopt(3)


@cache
def mallopt() -> Callable[[int, int], int] | None:
    """Return the function of the C library (parameter, value) -> 1 if accepted; None elsewhere."""
    if platform.libc_ver()[0] != "glibc":
        return None
    found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    return found


@cache
def share_arena() -> bool:
    """Let all threads started from now on allocate from one heap, for the whole process.

    Otherwise a thread takes over the heap of one that ended, and each grows to what the largest
    task of all needs. Only glibc supports this.

    Returns:
        True when the setting was accepted.
    """
    change = mallopt()
    return change is not None and change(_ARENA_MAX, 1) == 1
