"""Reuse of freed memory between frames.

Without it, page faults of large buffers take up to a quarter of a frame's time with networks, and
up to an eighth with the mesh engine, above 1080p.
"""

from __future__ import annotations

from functools import cache

from thcli.core.glibc import mallopt, share_arena

# mallopt(3)
TRIM_THRESHOLD, MMAP_MAX = -1, -4


@cache
def keep_memory() -> bool:
    """Configure the C library to keep large freed blocks instead of returning them to the system.

    It holds for the whole process, whose memory stays at the size that the largest frame needed.
    All threads share one arena, so that none keeps blocks of its own. Only glibc supports this.

    Returns:
        True when the settings were accepted.
    """
    settings = ((MMAP_MAX, 0), (TRIM_THRESHOLD, 2**31 - 1))
    change = mallopt()
    if change is None:
        return False
    return share_arena() and all(change(parameter, value) == 1 for parameter, value in settings)
