"""A lock between processes, held on a file. The system frees it when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thcli.core.events import Listener, Warned, silent

_POLL_SECONDS = 0.05

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def file_lock(path: Path, what: str, on: Listener = silent) -> Iterator[None]:
    """Hold the lock of a file; wait while another process holds it.

    Args:
        path: lock file. It is created if absent and never removed: a removed lock file would
            let two processes in.
        what: subject of the warning that is sent once while waiting.
        on: receives that warning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        warned = False
        while True:
            try:
                _try_lock(descriptor)
                break
            except OSError:  # no portable blocking call can be interrupted with Ctrl-C: poll
                if not warned:
                    on(Warned(f"Another process is working on {what}: waiting for it."))
                    warned = True
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)
