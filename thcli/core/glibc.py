"""Settings of glibc's memory, mallopt(3)."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import cache


@cache
def mallopt() -> Callable[[int, int], int] | None:
    """Return the function of the C library (parameter, value) -> 1 if accepted; None elsewhere."""
    if platform.libc_ver()[0] != "glibc":
        return None
    found: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    return found
