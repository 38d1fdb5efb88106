"""Conversion of FFmpeg, Pillow and file-system failures to MediaError and OutputError."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import av

from thcli.core.errors import MediaError, OutputError

# brands of its first box
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_MOVIE_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")

_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
# formats that are refused by name: first bytes
_FOREIGN = (
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon file"),
    (b"v/1\1", "an OpenEXR image"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PK\3\4", "a ZIP archive"),
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # Path() folds the second slash


def check_file(path: Path) -> None:
    """Check an input without decoding it. A folder passes.

    Raises:
        MediaError: missing, not a regular file, not readable, empty, or a Git-LFS pointer.
    """
    try:
        if not path.exists():
            if _ADDRESS.match(str(path)):
                raise MediaError(
                    f"{path} is an address, and inputs are read from disk.",
                    "Download it first, or pipe it in: curl ADDRESS | thcli ... -",
                )
            raise MediaError(f"{path} does not exist.", "Check the path.")
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


def to_media_error(path: Path, exc: BaseException) -> MediaError:
    """Build the MediaError of a file that cannot be opened or decoded.

    Args:
        path: the file, which exists.
        exc: the failure; the caller raises the result from it.
    """
    with path.open("rb") as file:
        head = file.read(4096)
    foreign = next((what for start, what in _FOREIGN if head.startswith(start)), None)
    if foreign is None and b"<svg" in head:
        foreign = "an SVG drawing"
    if foreign is not None:
        return MediaError(
            f"{path} is {foreign}, not a video, an image or an audio file.",
            "Convert it to PNG or JPEG.",
        )
    if _is_text(head):
        page = head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))
        what = "a web page" if page else "a text file"
        return MediaError(
            f"{path} is {what}, not a video, an image or an audio file.", "Check its origin."
        )
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return MediaError(
            f"{path} is a HEIC or HEIF picture, which cannot be read.", "Export it as JPEG or PNG."
        )
    if is_truncated_movie(path):
        return MediaError(
            f"{path} is truncated: its index (the moov box) is missing.",
            "Copy, download or record it again.",
        )
    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    return MediaError(
        f"{path} cannot be read as a video, an image or an audio file ({reason}).",
        "It is damaged or its format is not supported.",
    )


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        text = head[: max(1, len(head) - 4)].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character.isspace() for character in text)


def is_truncated_movie(path: Path) -> bool:
    """Return True for an mp4 or mov file whose index is missing or cut off."""
    with path.open("rb") as file:
        head = file.read(8)
    return head[4:8] in _MOVIE_BOXES and not _has_index(path)


def _has_index(path: Path) -> bool:
    """Search the top-level boxes of an ISO base media file for a complete moov box."""
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
            if length < 8:  # 0: up to the end of the file; 1..7: invalid
                return False
            position += length
    return False


def is_write_failure(exc: OSError) -> bool:
    """Return True for a failure that only writing has: a full or broken disk, a closed pipe."""
    return exc.errno in (*_FULL, errno.EIO, errno.EROFS, errno.EPIPE)


def to_output_error(path: Path | str, exc: BaseException) -> OutputError:
    """Build the OutputError of a failed write.

    Args:
        path: the output, as the user named it.
        exc: the failure; the caller raises the result from it.
    """
    number = getattr(exc, "errno", None)
    if number in _FULL:
        return OutputError(
            f"The disk is full: {path} does not fit.", "Free some space, or use another disk."
        )
    if number == errno.EROFS:
        return OutputError(
            f"{path} cannot be written (its disk is read-only).", "Choose another folder with -o."
        )
    if number in (errno.EACCES, errno.EPERM):
        return OutputError(
            f"{path} cannot be written (no permission).", "Choose another folder with -o."
        )
    if number == errno.EPIPE:
        return OutputError(
            f"The reader of {path} closed the pipe.", "Let it read to the end of the stream."
        )
    if number == errno.ENAMETOOLONG:
        return OutputError(f"The name {path} is too long.", "Give a shorter one with -o.")
    reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    if number is not None and not isinstance(exc, av.FFmpegError):
        return OutputError(f"{path} cannot be written ({reason}).", "Choose another place with -o.")
    return OutputError(
        f"{path} cannot be written ({reason}).", "Use another --codec, size or file extension."
    )
