"""Output targets: checked early, written under a temporary name, renamed when complete."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from thcli.core.errors import OutputError, UsageError
from thcli.core.file_lock import lock_folder
from thcli.core.temp_folders import guarded
from thcli.media.destination import (
    check_folder,
    hidden_sibling,
    publish,
    resolve_destination,
    taken_error,
)
from thcli.media.failures import to_output_error
from thcli.media.writing.journal import busy_error, remove_finished

Kind = Literal["container", "image", "folder", "stdout"]

_MUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".qt": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".ts": "mpegts",
    ".m2ts": "mpegts",
    ".mts": "mpegts",
    ".flv": "flv",
    ".nut": "nut",
    ".gif": "gif",
}
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".avif")
_MIN_FREE = 16 * 2**20  # bytes of free disk space
_MIN_DENSITY = 0.005  # bytes per pixel of a nearly static video


class OutputTarget:
    """An output file, folder or standard output.

    name: as the user gave it.
    path: the file or folder, of a symbolic link its target.
    kind: container (video or animation), image, folder or stdout.
    muxer: FFmpeg's name of the container format, '' for images.
    partial: temporary name; `commit` renames it, `abort` removes it.
    """

    def __init__(self, target: str | Path, overwrite: bool) -> None:
        self.name = str(target)
        self.overwrite = overwrite
        self.path = Path(target) if self.name == "-" else resolve_destination(Path(target))
        self.kind, self.muxer = _kind(self.name, Path(target))
        self.partial = hidden_sibling(self.path, f".{secrets.token_hex(4)}.partial")
        self._guard = ExitStack()

    @property
    def suffix(self) -> str:
        """File extension, '' for a folder and standard output."""
        return "" if self.kind in ("folder", "stdout") else self.path.suffix

    def require_frames(self) -> None:
        """Raise UsageError for one image, which holds no second frame."""
        if self.kind == "image":
            raise one_image_error(self.path)

    def check(self, pixels: int) -> None:
        """Check the target before any work.

        Args:
            pixels: number of pixels of all frames together, 0 when unknown.

        Raises:
            OutputError: the target exists or cannot be written, or the disk is nearly full.
        """
        if self.kind == "stdout":
            if sys.stdout.isatty():
                raise OutputError(
                    "The video would be written to a terminal.",
                    "Pipe it into another program, or give -o FILE.",
                )
            return
        self._check_free_name()
        folder = self.path.parent
        check_folder(folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
            free = shutil.disk_usage(folder).free
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc
        if free < max(_MIN_FREE, pixels * _MIN_DENSITY):
            raise OutputError(
                f"The disk of {folder} is nearly full ({free // 2**20} MiB free).",
                "Free some space, or use another disk.",
            )

    def guard(self) -> None:
        """Have a later run remove `partial` when this process is killed before commit or abort."""
        if self.kind != "stdout":
            self._guard.enter_context(guarded(self.partial))

    def commit(self) -> None:
        """Flush the output to the disk and rename it to its final name.

        Raises:
            OutputError: the target was created meanwhile, or cannot be written.
        """
        if self.kind == "stdout":
            return
        try:
            if self.kind == "folder":
                self._commit_folder()
            else:
                _sync(self.partial)
                self._check_free_name()  # another process may have created the target meanwhile
                publish(self.partial, self.path, overwrite=self.overwrite)
            _sync(self.path.parent)
        except OSError as exc:
            raise to_output_error(self.path, exc) from exc
        self._guard.close()

    def abort(self) -> None:
        """Remove the temporary file or folder; may be called at any time."""
        if self.partial.is_dir():
            shutil.rmtree(self.partial, ignore_errors=True)
        else:
            self.partial.unlink(missing_ok=True)
        self._guard.close()

    def _check_free_name(self) -> None:
        if self.overwrite:
            if self.kind != "folder" and self.path.is_dir():
                raise OutputError(f"{self.path} is a folder.", "Give the name of a file.")
            return
        taken = (
            any(self.path.iterdir())
            if self.kind == "folder" and self.path.is_dir()
            else self.path.exists()
        )
        if taken:
            remove_finished(self.path)
            raise taken_error(self.path)

    def _commit_folder(self) -> None:
        """Move the images into an existing folder, or rename the folder.

        Numbered images of an earlier run are removed; other files in the folder are kept.
        """
        fresh = sorted(self.partial.iterdir())
        for item in fresh:
            _sync(item)
        if not self.path.exists():
            self.partial.replace(self.path)
            return
        lock = lock_folder(self.path)  # the images of two processes are not mixed
        if lock is None:
            raise busy_error(self.path)
        try:
            self._check_free_name()
            self._move_images(fresh)
        finally:
            lock.release()

    def _move_images(self, fresh: list[Path]) -> None:
        names = {item.name for item in fresh}
        for old in self.path.glob(f"[0-9]*{fresh[0].suffix}" if fresh else ""):
            if old.stem.isdigit() and old.name not in names:
                old.unlink()
        for item in fresh:
            item.replace(self.path / item.name)
        self.partial.rmdir()


def _kind(name: str, path: Path) -> tuple[Kind, str]:
    """Return the kind of target of a name, and FFmpeg's name of its container format."""
    if name == "-":
        return "stdout", "mp4"
    suffix = path.suffix.lower()
    if name.endswith(("/", os.sep)) or path.is_dir() or not suffix:
        return "folder", ""
    if suffix in _MUXERS:
        return "container", _MUXERS[suffix]
    if suffix == ".webp":
        return "container", "webp"
    if suffix in _IMAGES:
        return "image", ""
    raise UsageError(
        f"The file extension of {path} is not a known output format.",
        f"Use one of {', '.join(sorted({*_MUXERS, *_IMAGES, '.webp'}))}, a folder, or '-'.",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def one_image_error(path: Path) -> UsageError:
    """Return the error for a second frame in an image file."""
    return UsageError(
        f"{path} holds one image, and there is more than one frame.",
        "Give the name of a video or a folder as output.",
    )
