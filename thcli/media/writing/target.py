"""Where an output goes: checked before any work, written beside the target under a name of its own, moved when complete."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from thcli.core.errors import OutputError, UsageError
from thcli.media.failures import unwritable

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
_STILLS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".avif")
_LEAST_FREE = 16 * 2**20  # bytes; below this no output is begun
_LEAST_DENSITY = 0.005  # bytes a pixel that even a very still video takes


class Target:
    """A place to write to. partial: what is written until `commit` moves it; `abort` removes it."""

    def __init__(self, target: str | Path, overwrite: bool) -> None:
        self.name = str(target)
        self.path = Path(target)
        self.overwrite = overwrite
        self.kind, self.muxer = _kind(self.name, self.path)
        self.partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.partial")

    def check(self, pixels: int) -> None:
        """Raises OutputError when the target is there already, cannot be written, or the disk has no room for so many pixels."""
        if self.kind == "stdout":
            if sys.stdout.isatty():
                raise OutputError(
                    "A video is not written to a terminal.",
                    "Pipe it into another program, or give -o FILE.",
                )
            return
        self._check_free_name()
        folder = self.path.parent
        if not folder.is_dir():
            raise OutputError(
                f"{folder} is not a folder that exists.", f"Make it with 'mkdir -p {folder}'."
            )
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
            free = shutil.disk_usage(folder).free
        except OSError as exc:
            raise unwritable(self.path, exc) from exc
        if free < max(_LEAST_FREE, pixels * _LEAST_DENSITY):
            raise OutputError(
                f"The disk of {folder} is nearly full ({free // 2**20} MiB free).",
                "Free some space, or write somewhere else.",
            )

    def commit(self) -> None:
        """Moves what was written to its name, after it has reached the disk."""
        if self.kind == "stdout":
            return
        try:
            if self.kind == "folder":
                self._commit_folder()
            else:
                _sync(self.partial)
                self._check_free_name()  # someone else may have been quicker
                self.partial.replace(self.path)
            _sync(self.path.parent)
        except OSError as exc:
            raise unwritable(self.path, exc) from exc

    def abort(self) -> None:
        """Removes what was written; safe to call at any time."""
        if self.partial.is_dir():
            shutil.rmtree(self.partial, ignore_errors=True)
        else:
            self.partial.unlink(missing_ok=True)

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
            raise OutputError(
                f"{self.path} exists already.", "Give --overwrite, or another name with -o."
            )

    def _commit_folder(self) -> None:
        """A folder that is there keeps what else is in it; pictures of an earlier run are replaced, never mixed with the new."""
        fresh = sorted(self.partial.iterdir())
        for item in fresh:
            _sync(item)
        if not self.path.exists():
            self.partial.replace(self.path)
            return
        names = {item.name for item in fresh}
        for old in self.path.glob(f"[0-9]*{fresh[0].suffix}" if fresh else ""):
            if old.stem.isdigit() and old.name not in names:
                old.unlink()
        for item in fresh:
            item.replace(self.path / item.name)
        self.partial.rmdir()


def _kind(name: str, path: Path) -> tuple[Kind, str]:
    """What a name asks for, and the container for it."""
    if name == "-":
        return "stdout", "mp4"
    suffix = path.suffix.lower()
    if name.endswith(("/", os.sep)) or path.is_dir() or not suffix:
        return "folder", ""
    if suffix in _MUXERS:
        return "container", _MUXERS[suffix]
    if suffix == ".webp":
        return "container", "webp"
    if suffix in _STILLS:
        return "image", ""
    raise UsageError(
        f"{path} has an ending that no output format is known for.",
        f"Use one of {', '.join(sorted({*_MUXERS, *_STILLS, '.webp'}))}, a folder, or '-'.",
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
