"""Keeping freed memory for the next frame: the layers of a frame cost a quarter of its time in page faults otherwise."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# glibc's mallopt(3)
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8


@cache
def keep_memory() -> bool:
    """Tells the C library to reuse large blocks in place of giving each back to the system; whether it could be told.

    Holds for the whole process: its memory stays at what the largest frame needed. All threads share one arena, so that none keeps
    its own blocks.  Only glibc knows how; elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wishes = ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1), (ARENA_MAX, 1))
    return all(mallopt(what, value) == 1 for what, value in wishes)
