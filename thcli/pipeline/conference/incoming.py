"""An open motion stream: packets, sound, and failures that name it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from thcli import media
from thcli.audio.opus import write_opus_file
from thcli.core.errors import MediaError, UsageError
from thcli.media.failures import check_file
from thcli.media.info import MediaInfo
from thcli.motion.codec.format import (
    StreamError,
    StreamVersionError,
    Tag,
    read_header,
    read_packets,
)
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.output_names import SRGB_VIDEO


class IncomingStream:
    """A stream whose header is checked.

    header: see `StreamHeader`.
    name: for messages.
    sound: file with its sound, None without or where it is not wanted.
    complete: its last packet was read.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self.name = file, name
        self.sound: MediaInfo | None = None
        self.complete = False
        with self.named():
            self.header = read_header(file)

    @classmethod
    def open(cls, stream: str | Path, job: Job, *, with_sound: bool) -> IncomingStream:
        """Open a file, or '-' for standard input.

        Args:
            stream: path or '-'.
            job: closes it.
            with_sound: collect its sound, for which standard input is read to its end.

        Raises:
            MediaError: it cannot be read, is damaged, or has another version.
        """
        if str(stream) == "-":
            opened = cls(sys.stdin.buffer, "Standard input")
        else:
            path = Path(stream)
            check_file(path)
            if path.is_dir():
                raise MediaError(f"{path} is a folder.", "Give a motion stream.")
            opened = cls(job.enter(path.open("rb")), str(path))
        if opened.header.sound and with_sound:
            if str(stream) == "-":
                opened._spool(job.temp_dir() / "stream", job)
            opened._collect_sound(job.temp_dir() / "sound.ogg")
        return opened

    def video_info(self, path: Path) -> MediaInfo:
        """Return what is known of the sender's frames. path: stands for them."""
        return MediaInfo(
            path,
            "video",
            size=self.header.size,
            colour=SRGB_VIDEO,
            time_base=self.header.time_base,
            rate=self.header.rate or None,
        )

    def require_pictures(self) -> None:
        """Raise UsageError for a stream without pictures of the face."""
        if not self.header.pictures:
            raise UsageError(
                f"{self.name} has no pictures.",
                "Give a picture of the face before it, or transmit with --key-frame image.",
            )

    def check_end(self, frames: int, job: Job) -> None:
        """Warn where the stream breaks off, once all of its packets are read.

        Args:
            frames: that it had.
            job: receives the warning.

        Raises:
            MediaError: it had none.
        """
        if not frames:
            raise MediaError(f"{self.name} has no frame.", "Transmit the clip again.")
        if not self.complete:
            job.warn(f"{self.name} breaks off after {frames} frames.")

    def packets(self) -> Iterator[tuple[Tag, bytes]]:
        """Yield the packets.

        Raises:
            MediaError: one is damaged.
        """
        packets = read_packets(self._file)
        while True:
            with self.named():
                packet = next(packets, None)
            if packet is None:
                return
            self.complete = packet[0] == Tag.END
            yield packet

    @contextmanager
    def named(self) -> Iterator[None]:
        """Raise MediaError, which names the stream, in place of an error of its content."""
        try:
            yield
        except StreamVersionError as exc:
            raise MediaError(
                f"{self.name} cannot be received: {exc}.", "Use a newer version of thcli."
            ) from exc
        except StreamError as exc:
            raise MediaError(
                f"{self.name} is not a valid motion stream: {exc}.",
                "Make one with 'thcli transmit'.",
            ) from exc
        except MediaError as exc:  # names a temporary file
            raise MediaError(
                f"{self.name} has a picture or sound that cannot be read.",
                "Transmit the clip again.",
            ) from exc

    def _spool(self, path: Path, job: Job) -> None:
        with path.open("wb") as file:
            shutil.copyfileobj(self._file, file, 1 << 16)
        self._file = job.enter(path.open("rb"))

    def _collect_sound(self, path: Path) -> None:
        begin = self._file.tell()
        with self.named():
            packets = read_packets(self._file)
            if write_opus_file(path, (content for tag, content in packets if tag == Tag.SOUND)):
                self.sound = media.probe(path)
        self._file.seek(begin)
