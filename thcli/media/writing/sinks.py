"""Sinks for frames: a container, one image, a folder of images. `segments` has a resumable one."""

from __future__ import annotations

import struct
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image as Pillow

from thcli.core.errors import OutputError
from thcli.core.imaging import to_uint8
from thcli.media.writing.animation_comment import write_comment
from thcli.media.writing.encoder import VideoEncoder, VideoFormat
from thcli.media.writing.mux import ContainerSettings, Muxer
from thcli.media.writing.target import one_image_error
from thcli.media.writing.timing import TimelineState

Pixels = np.ndarray[Any, Any]
_PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 2]  # fast
_PILLOW_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".bmp": "BMP",
}


class Sink(Protocol):
    """Receiver of the frames of one output.

    `begin` is called once, before the first frame; `finish` or `abort` once, at the end.
    """

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Begin the output.

        Args:
            lead: seconds that are subtracted from the time stamps of the input.
            first: time of the first frame in the output, in seconds.
        """
        ...

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        """Write a frame.

        Args:
            pixels: (H, W, 3) RGB, uint8 or uint16.
            pts, duration: in units of the output's time base; duration 0 when unknown.
        """
        ...

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """Mark a position after an input frame from which the job can be continued.

        Args:
            done: input frames written so far.
            state: of the timeline.
        """
        ...

    def finish(self) -> None:
        """Complete the output."""
        ...

    def abort(self) -> None:
        """Discard the output."""
        ...


class ContainerSink:
    """A video file or standard output.

    partial: the file, None for standard output.
    """

    def __init__(
        self, partial: Path | None, settings: ContainerSettings, video_format: VideoFormat
    ) -> None:
        self._partial, self._comment = partial, settings.metadata.get("comment", "")
        self._muxer = Muxer(
            sys.stdout.buffer if partial is None else f"file:{partial.absolute()}",
            settings,
            video_format,
        )
        self._encoder = VideoEncoder(self._muxer.stream.codec_context, video_format)

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._muxer.begin(lead, first)

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        self._muxer.mux(self._encoder.encode(pixels, pts, duration))

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """Ignore the position: an interrupted container is discarded."""

    def finish(self) -> None:
        self._muxer.mux(self._encoder.flush())
        self._muxer.finish()
        if self._partial is not None and self._comment:
            write_comment(self._partial, self._comment)
        sys.stdout.flush()

    def abort(self) -> None:
        self._muxer.abort()


class ImageSink:
    """One image file."""

    def __init__(self, partial: Path, path: Path, comment: str) -> None:
        self._partial, self._path, self._comment = partial, path, comment
        self._written = False

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Do nothing: there is no header."""

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        if self._written:
            raise one_image_error(self._path)
        self._written = True
        save_image(self._partial, self._path.suffix.lower(), pixels, self._comment)

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """Ignore the position: an image is written in one step."""

    def finish(self) -> None:
        """Do nothing: the image is complete."""

    def abort(self) -> None:
        """Do nothing: the target removes the files."""


class FolderSink:
    """A folder of numbered PNG files: 000000.png, 000001.png …"""

    def __init__(self, partial: Path, comment: str) -> None:
        self._partial, self._comment = partial, comment
        self._count = 0

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._partial.mkdir(exist_ok=True)

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        save_image(self._partial / f"{self._count:06d}.png", ".png", pixels, self._comment)
        self._count += 1

    def checkpoint(self, done: int, state: TimelineState) -> None:
        """Ignore the position: every file is complete."""

    def finish(self) -> None:
        """Do nothing: all files are complete."""

    def abort(self) -> None:
        """Do nothing: the target removes the files."""


def save_image(file: Path, suffix: str, pixels: Pixels, comment: str) -> None:
    """Write an image in the format of `suffix`.

    Args:
        file: the file to write.
        suffix: file extension that selects the format, such as ".png".
        pixels: (H, W, 3) RGB, uint8 or uint16. PNG keeps 16 bits per sample, others store 8.
        comment: stored in the metadata.
    """
    if suffix == ".png":
        ok, data = cv2.imencode(".png", pixels[..., ::-1], _PNG_OPTIONS)
        if not ok:
            raise OutputError(f"{file.name} cannot be encoded as PNG.")
        file.write_bytes(_insert_comment(data.tobytes(), comment))
        return
    exif = Pillow.Exif()
    if comment:
        exif[0x010E] = comment.encode("ascii", "replace").decode()  # ImageDescription
    image = Pillow.fromarray(np.ascontiguousarray(to_uint8(pixels)))
    with file.open("wb") as out:
        image.save(out, _PILLOW_FORMATS[suffix], quality=95, exif=exif)


def _insert_comment(png: bytes, comment: str) -> bytes:
    """Insert a comment chunk after the header of a PNG, which ends at byte 33."""
    if not comment:
        return png
    body = b"iTXtComment\0\0\0\0\0" + comment.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]
