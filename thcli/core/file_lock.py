"""Locks between processes, on files and folders. The system frees them when their holder dies."""

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

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
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
                _lock(descriptor)
                break
            except OSError:  # no portable blocking call can be interrupted with Ctrl-C: poll
                if not warned:
                    on(Warned(f"Another process is working on {what}: waiting for it."))
                    warned = True
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


class FolderLock:
    """The lock of an existing folder, held until `release`.

    Windows cannot lock a folder: there nothing is locked, and `is_held` is False.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def is_held(self) -> bool:
        """True unless the system cannot lock folders."""
        return self._descriptor is not None

    def release(self) -> None:
        """Free the lock; may be called again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_folder(folder: Path) -> FolderLock | None:
    """Lock a folder. Returns None when another process holds the lock, or has removed the folder.

    Raises OSError when the folder cannot be opened.
    """
    if sys.platform == "win32":
        return FolderLock(None)
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        _lock(descriptor)
        if os.path.samestat(os.fstat(descriptor), folder.lstat()):
            return FolderLock(descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
