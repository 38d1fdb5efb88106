"""The one place where failures of FFmpeg, Pillow and the file system become sentences."""

from __future__ import annotations

import errno
from pathlib import Path

from thcli.core.errors import MediaError, OutputError

_MOVIE_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")


def check_file(path: Path) -> None:
    """Raises MediaError for what can be told without decoding: missing, a folder, empty, not readable, a Git-LFS pointer."""
    try:
        if not path.exists():
            raise MediaError(f"{path} does not exist.", "Check the name.")
        if path.is_dir():
            return
        if not path.is_file():
            raise MediaError(
                f"{path} is not a regular file.", "Give '-' to read from standard input."
            )
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as exc:
        raise MediaError(
            f"{path} cannot be read ({exc.strerror or exc}).", "Check its permissions."
        ) from exc
    if not head:
        raise MediaError(f"{path} is empty (0 bytes).", "Copy or download it again.")
    if head.startswith(b"version https://git-lfs"):
        raise MediaError(
            f"{path} is a Git-LFS pointer, not the file itself.",
            "Run 'git lfs pull' in its repository.",
        )


def unreadable(path: Path, exc: BaseException) -> MediaError:
    """The MediaError that says why a file could not be opened or holds nothing that can be decoded; the caller raises it from exc."""
    with path.open("rb") as file:
        head = file.read(4096)
    if _is_text(head):
        page = head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))
        what = "a web page" if page else "a text file"
        return MediaError(
            f"{path} is {what}, not a video, an image or a sound.", "Check where it came from."
        )
    if head[4:8] in _MOVIE_BOXES and not _has_index(path):
        return MediaError(
            f"{path} is cut off: its index (the moov box) is missing.",
            "Copy, download or record it again to the end.",
        )
    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return MediaError(
        f"{path} cannot be read as a video, an image or a sound ({reason}).",
        "It is damaged or of a kind that is not supported.",
    )


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        text = head[: max(1, len(head) - 4)].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def _has_index(path: Path) -> bool:
    """Walks the top boxes of an ISO base media file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length, name = int.from_bytes(header[:4], "big"), header[4:8]
            if name == b"moov":
                return position + length <= size
            if length == 1:
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0: to the end of the file; else nonsense
                return False
            position += length
    return False


def unwritable(path: Path | str, exc: BaseException) -> OutputError:
    """The OutputError of a failure to write; the caller raises it from exc."""
    number = getattr(exc, "errno", None)
    if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return OutputError(
            f"The disk is full: {path} does not fit.", "Free some space, or write somewhere else."
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            f"{path} cannot be written (no permission).", "Choose another folder with -o."
        )
    if number == errno.EPIPE:
        return OutputError(f"Whoever read {path} has stopped reading.", "Let it read to the end.")
    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return OutputError(
        f"{path} cannot be written ({reason}).", "Choose another --codec, size or ending."
    )
