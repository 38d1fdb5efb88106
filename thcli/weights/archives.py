"""Extraction of selected files from a zip or tar archive that is not trusted."""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from thcli.core.byte_sizes import size_text
from thcli.core.errors import WeightsError

MAX_UNPACKED_BYTES = 16 << 30  # of all wanted members together
# Weights hardly compress. A file that grows more than this when unpacked is a bomb.
MAX_GROWTH = 20
SMALL_BYTES = 64 << 20  # unpacked bytes that are accepted whatever the growth
_BLOCK = 1 << 20
_MemberOpener = Callable[[str], IO[bytes]]


def unpack(
    archive: Path, wanted: Iterable[str], folder: Path, limit: int = MAX_UNPACKED_BYTES
) -> None:
    """Write each wanted member to folder/member; nothing else is ever written.

    A member may be under one more folder in the archive.

    Args:
        archive: zip or tar file.
        wanted: names of members.
        folder: where they are written.
        limit: most bytes of all members together; fewer for a small archive, see MAX_GROWTH.

    Raises:
        WeightsError: the archive is broken, has absolute paths or "..", or unpacks to more than
            `limit` bytes; a wanted member is missing, ambiguous or a link.
    """
    limit = min(limit, plausible_bytes(archive))
    room = limit
    with _open_archive(archive) as (names, open_member):
        for name in names:
            _refuse_escape(archive, name)
        for member in wanted:
            found = [n for n in names if n == member] or [
                n for n in names if n.endswith("/" + member)
            ]
            if not found:
                raise WeightsError(f"{archive.name} has no member {member}.", "Is it that archive?")
            if len(found) > 1:
                raise WeightsError(
                    f"{archive.name} has {len(found)} members named {member}, one is expected."
                )
            target = folder / member
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_member(found[0]) as source, target.open("wb") as sink:
                while block := source.read(_BLOCK):
                    room -= len(block)
                    if room < 0:
                        raise WeightsError(
                            f"{archive.name} is refused: it unpacks to more than {limit} bytes."
                        )
                    sink.write(block)


def plausible_bytes(path: Path) -> int:
    """Return the most bytes that the content of a file of weights may take in memory."""
    return max(SMALL_BYTES, MAX_GROWTH * path.stat().st_size)


def refuse_zip_bomb(path: Path) -> None:
    """Raise WeightsError when the members of a zip file together unpack to implausibly much.

    Raises zipfile.BadZipFile for a broken file.
    """
    with zipfile.ZipFile(path) as archive:
        total = sum(info.file_size for info in archive.infolist())
    if total > plausible_bytes(path):
        raise WeightsError(f"{path} is refused: it would unpack to {size_text(total)}.")


def _refuse_escape(archive: Path, name: str) -> None:
    windows = PureWindowsPath(name)
    parts = (*PurePosixPath(name).parts, *windows.parts)
    if name.startswith("/") or windows.drive or windows.root or ".." in parts:
        raise WeightsError(
            f"{archive.name} is refused: its member {name!r} would be written outside of its "
            "folder."
        )


class _ZipReader:
    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.zip = zipfile.ZipFile(archive)

    def names(self) -> list[str]:
        return [i.filename for i in self.zip.infolist() if not i.is_dir()]

    def open(self, name: str) -> IO[bytes]:
        info = self.zip.getinfo(name)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise WeightsError(f"{self.archive.name} is refused: {name} is a link.")
        if info.flag_bits & 1:
            raise WeightsError(f"{self.archive.name}: {name} is locked with a password.")
        return self.zip.open(info)


class _TarReader:
    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.tar = tarfile.open(archive, "r:*")  # noqa: SIM115  # closed by _open_archive

    def names(self) -> list[str]:
        return [m.name.removeprefix("./") for m in self.tar.getmembers() if not m.isdir()]

    def open(self, name: str) -> IO[bytes]:
        info = next(m for m in self.tar.getmembers() if m.name.removeprefix("./") == name)
        stream = self.tar.extractfile(info) if info.isreg() else None
        if stream is None:
            raise WeightsError(f"{self.archive.name} is refused: {name} is a link or a device.")
        return stream


@contextmanager
def _open_archive(archive: Path) -> Iterator[tuple[list[str], _MemberOpener]]:
    """Yield the names of an archive's files, and a function that opens one."""
    try:
        if zipfile.is_zipfile(archive):
            zip_reader = _ZipReader(archive)
            with zip_reader.zip:
                yield zip_reader.names(), zip_reader.open
        else:
            tar_reader = _TarReader(archive)
            with tar_reader.tar:
                yield tar_reader.names(), tar_reader.open
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        ValueError,  # UnicodeDecodeError of a name, and fields out of range
        LookupError,
        OverflowError,
        RuntimeError,
    ) as exc:
        reason = " ".join(str(exc).split()).removesuffix(".")  # tarfile lists its tries in lines
        raise WeightsError(f"{archive.name} is not a whole zip or tar archive: {reason}.") from exc
