"""A lock between processes: whoever holds the file's lock works, the others wait. The system frees it when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thcli.core.events import Listener, Warned, silent

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, what: str, on: Listener = silent) -> Iterator[None]:
    """Holds the lock of `path` (made if absent, never removed: a removed lock file would let two in).

    what: named in the warning that is sent once when somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        told = False
        while True:
            try:
                _try(descriptor)
                break
            except (
                OSError
            ):  # held by another process; there is no portable blocking call that Ctrl-C can end
                if not told:
                    on(Warned(f"Another process is working on {what}: waiting for it."))
                    told = True
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
