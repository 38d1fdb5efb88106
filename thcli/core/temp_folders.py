"""Temporary folders and files that a later run removes when their process was killed.

A process holds a lock on each of its temporary folders, which the system frees however the process
ends. A folder that can be locked therefore belongs to no living process. Windows cannot lock
folders: there nothing is removed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from thcli.core.errors import OutputError
from thcli.core.file_lock import FolderLock, lock_folder

_PREFIX, _SUFFIX = "thcli-", ".tmp"
_NAME = re.compile(rf"{_PREFIX}[a-z0-9_]+\{_SUFFIX}")  # as tempfile makes them
_GUARDED = "guarded"  # file in a temporary folder: path of a partial output elsewhere


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder in the system's temporary folder; it is removed with the block.

    Raises:
        OutputError: the folder cannot be made.
    """
    try:
        folder, lock = _create()
    except OSError as exc:
        raise OutputError(
            f"No temporary folder can be made in {tempfile.gettempdir()} ({exc.strerror}).",
            "Free some space, or set TMPDIR.",
        ) from exc
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:  # also after Ctrl-C: a later job then removes what is left
            lock.release()


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder with its parents; those made that are empty at the end are removed.

    Raises:
        OSError: it cannot be made.
        ValueError: the path is no name of a folder.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for path in made:
            with suppress(OSError):  # not empty, or never made
                path.rmdir()


@contextmanager
def guarded(partial: Path) -> Iterator[None]:
    """Have a later run remove a partial output when this process is killed inside of the block.

    Args:
        partial: hidden file or folder; it need not exist.

    Raises:
        OutputError: the temporary folder cannot be made.
    """
    with temporary_folder() as folder:
        try:
            (folder / _GUARDED).write_bytes(os.fsencode(partial.absolute()))
        except OSError as exc:
            full = exc.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
            reason = "The disk is full" if full else exc.strerror
            raise OutputError(
                f"{reason}: no temporary file fits into {tempfile.gettempdir()}.",
                "Free some space, or set TMPDIR.",
            ) from exc
        yield


def is_temporary(path: Path) -> bool:
    """Return True if a path lies in a temporary folder of thcli."""
    root = Path(tempfile.gettempdir())
    return any(_NAME.fullmatch(p.name) and p.parent == root for p in path.absolute().parents)


def remove_stale_folders() -> None:
    """Remove the temporary folders of killed processes, and the partial outputs they guard."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*{_SUFFIX}"):
        if _NAME.fullmatch(folder.name) and folder.is_dir():
            _remove_if_stale(folder)


def _create() -> tuple[Path, FolderLock]:
    while True:
        folder = Path(tempfile.mkdtemp(_SUFFIX, _PREFIX))
        lock = lock_folder(folder)
        if lock is not None:
            return folder, lock
        # another process took it for a stale folder before it was locked, and removes it


def _is_own(folder: Path) -> bool:
    """Return True if this user made the folder: another's may name any file as a partial one."""
    return not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()


def _remove_if_stale(folder: Path) -> None:
    try:
        lock = lock_folder(folder) if _is_own(folder) else None
    except OSError:  # removed by its owner meanwhile, or not readable: it is not ours to judge
        return
    if lock is None:
        return
    if lock.is_held:
        note = folder / _GUARDED
        if note.is_file():
            partial = Path(os.fsdecode(note.read_bytes()))
            if partial.name.startswith("."):
                remove_path(partial)
        shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def remove_path(path: Path) -> None:
    """Remove a file or folder that may be absent."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
