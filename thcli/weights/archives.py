"""Takes the wanted files out of a zip or tar archive from a stranger."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from thcli.core.errors import WeightsError

LARGEST = 16 << 30  # bytes unpacked, of all wanted members
_BLOCK = 1 << 20
_Opener = Callable[[str], IO[bytes]]


def unpack(archive: Path, wanted: Iterable[str], folder: Path, limit: int = LARGEST) -> None:
    """Writes each wanted member to folder/member; a member may stand under one more folder in the archive.

    Raises WeightsError for an archive with absolute paths or '..', a wanted member that is missing, a link or met twice, more
    than `limit` bytes, or a broken file. Nothing but the wanted names is ever written.
    """
    room = limit
    with _opened(archive) as (names, open_member):
        for name in names:
            _refuse_escape(archive, name)
        for member in wanted:
            found = [n for n in names if n == member] or [
                n for n in names if n.endswith("/" + member)
            ]
            if len(found) != 1:
                many = f"{len(found)} times" if found else "not"
                raise WeightsError(f"{archive.name} holds {member} {many}; it should hold it once.")
            target = folder / member
            target.parent.mkdir(parents=True, exist_ok=True)
            with open_member(found[0]) as source, target.open("wb") as sink:
                while block := source.read(_BLOCK):
                    room -= len(block)
                    if room < 0:
                        raise WeightsError(
                            f"{archive.name} unpacks to more than {limit} bytes: refused."
                        )
                    sink.write(block)


def _refuse_escape(archive: Path, name: str) -> None:
    windows = PureWindowsPath(name)
    if (
        name.startswith("/")
        or windows.drive
        or windows.root
        or ".." in (*PurePosixPath(name).parts, *windows.parts)
    ):
        raise WeightsError(
            f"{archive.name} is refused: its member {name!r} would be written outside of its folder."
        )


class _Zip:
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


class _Tar:
    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.tar = tarfile.open(archive, "r:*")  # noqa: SIM115  # closed by _opened

    def names(self) -> list[str]:
        return [m.name.removeprefix("./") for m in self.tar.getmembers() if not m.isdir()]

    def open(self, name: str) -> IO[bytes]:
        info = next(m for m in self.tar.getmembers() if m.name.removeprefix("./") == name)
        stream = self.tar.extractfile(info) if info.isreg() else None
        if stream is None:
            raise WeightsError(f"{self.archive.name} is refused: {name} is a link or a device.")
        return stream


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[str], _Opener]]:
    try:
        if zipfile.is_zipfile(archive):
            packed_zip = _Zip(archive)
            with packed_zip.zip:
                yield packed_zip.names(), packed_zip.open
        else:
            packed_tar = _Tar(archive)
            with packed_tar.tar:
                yield packed_tar.names(), packed_tar.open
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError) as exc:
        raise WeightsError(f"{archive.name} is not a whole zip or tar archive: {exc}.") from exc
