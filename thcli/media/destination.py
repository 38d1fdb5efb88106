"""Places of output files.

Links are followed, temporary names made; pipes, devices and inputs of the run are refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from thcli.core.errors import OutputError, UsageError
from thcli.media.failures import to_output_error
from thcli.media.reading.image import SUFFIXES

_NAME_BYTES = 255  # of a file name on usual file systems
_inputs: ContextVar[tuple[Path, ...]] = ContextVar("inputs of the run", default=())


@contextmanager
def kept_inputs(paths: Iterable[str | Path]) -> Iterator[None]:
    """Refuse outputs that would replace one of these files and folders.

    A thread that was started without a copy of the context does not see them: open outputs in the
    thread that entered, and leave in it too.

    Args:
        paths: need not exist.
    """
    token = _inputs.set((*_inputs.get(), *(Path(path) for path in paths)))
    try:
        yield
    finally:
        _inputs.reset(token)


def resolve_destination(path: Path) -> Path:
    """Return the path to write: of a symbolic link its target, which may be absent.

    Raises:
        OutputError: the path is a pipe, a device or a socket, which a renamed file would replace;
            or its name cannot be that of a file, as of `.`, `..` and `/`.
        UsageError: it is an input of the run (`kept_inputs`).
    """
    try:
        final = Path(os.path.realpath(path)) if path.is_symlink() else path
        if final.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        mode = final.stat().st_mode if final.exists() else stat.S_IFREG
    except (OSError, ValueError) as exc:  # ValueError: a null character
        raise to_output_error(path, exc) from exc
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OutputError(
            f"{path} is a pipe or a device, not a file.",
            "Write to standard output, where the command can: -o - > NAME.",
        )
    if final.name in ("", ".."):
        raise OutputError(f"{path} names no file or folder to make.", "Give one: -o NAME.")
    kept = next((kept for kept in _inputs.get() if _replaces(final, kept)), None)
    if kept is not None:
        raise UsageError(
            f"{path} would replace {kept}, an input of this run.",
            "Give the output another name with -o.",
        )
    return final


def _replaces(output: Path, kept: Path) -> bool:
    """Return True if a write to `output` replaces a file or folder, or an image of the folder.

    A written folder loses the numbered images that it had.
    """
    try:
        both_exist = output.exists() and kept.exists()
    except (OSError, ValueError):  # no name of an input: its reader says so
        return False
    if not both_exist:
        return False
    if output.samefile(kept):
        return True
    if output.is_dir():
        return kept.stem.isdigit() and kept.is_file() and kept.parent.samefile(output)
    return kept.is_dir() and output.parent.samefile(kept) and output.suffix.lower() in SUFFIXES


def hidden_sibling(path: Path, ending: str) -> Path:
    """Return `.NAME` + ending beside a path; a long name is shortened and told apart by its hash.

    Args:
        path: a file or folder.
        ending: short text in ASCII.
    """
    name = path.name
    most = _NAME_BYTES - 1 - len(ending)
    if len(os.fsencode(name)) > most:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
        name = os.fsencode(name)[: most - 13].decode("utf-8", "ignore") + "-" + digest
    return path.with_name(f".{name}{ending}")


def publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its final name.

    Args:
        partial: the finished file; it is gone afterwards.
        path: the final name in the same folder.
        overwrite: replace an existing file.

    Raises:
        OutputError: the name is taken, also by a process that took it this moment.
        OSError: the file system refuses.
    """
    if overwrite:
        partial.replace(path)
        return
    try:
        _rename_new(partial, path)
    except FileExistsError as exc:
        raise taken_error(path) from exc


def taken_error(path: Path) -> OutputError:
    """Return the error of an output that exists."""
    return OutputError(f"{path} exists already.", "Give --overwrite, or another name with -o.")


def check_folder(folder: Path) -> None:
    """Refuse an output whose folder does not exist. Raises OutputError."""
    if folder.is_dir():
        return
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise OutputError(f"{parent} is a file, not a folder.", "Choose another place with -o.")
    raise OutputError(
        f"The folder {folder} does not exist.", f"Create it with 'mkdir -p {folder}'."
    )


def _rename_new(partial: Path, path: Path) -> None:
    """Rename a file. Raises FileExistsError when the new name is taken, whoever is first."""
    if sys.platform == "win32":
        partial.rename(path)  # never replaces there
        return
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: an empty file reserves the name
        path.touch(exist_ok=False)
        try:
            partial.replace(path)
        except BaseException:
            path.unlink()
            raise
        return
    partial.unlink()
