"""The places that frames end in: a container, a single image, a folder of images. (A resumable one is in `segments`.)"""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image as Pillow

from thcli.core.errors import OutputError, UsageError
from thcli.core.imaging import to_uint8
from thcli.media.writing.animation_comment import stamp
from thcli.media.writing.encoder import VideoEncoder, VideoFormat
from thcli.media.writing.mux import Muxer, Wrapping
from thcli.media.writing.timing import Moment

Pixels = np.ndarray[Any, Any]
_QUICK = [cv2.IMWRITE_PNG_COMPRESSION, 2]


class Sink(Protocol):
    """begin: once, before the first frame. write: in units of the output's time. mark: after an input frame. finish or abort: once."""

    def begin(self, lead: Fraction, first: Fraction) -> None: ...
    def write(self, pixels: Pixels, pts: int, duration: int) -> None: ...
    def mark(self, done: int, moment: Moment) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


class ContainerSink:
    """A video file, or standard output."""

    def __init__(self, partial: Path | None, wrapping: Wrapping, form: VideoFormat) -> None:
        self._partial, self._comment = partial, wrapping.metadata.get("comment", "")
        self._muxer = Muxer(
            sys.stdout.buffer if partial is None else f"file:{partial.absolute()}", wrapping, form
        )
        self._encoder = VideoEncoder(self._muxer.stream.codec_context, form)

    @property
    def has_sound(self) -> bool:
        return self._muxer.has_sound

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._muxer.begin(lead, first)

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        self._muxer.mux(self._encoder.encode(pixels, pts, duration))

    def mark(self, done: int, moment: Moment) -> None:
        """Nothing of it can be kept when interrupted."""

    def finish(self) -> None:
        self._muxer.mux(self._encoder.flush())
        self._muxer.finish()
        if self._partial is not None and self._comment:
            stamp(self._partial, self._comment)
        sys.stdout.flush()

    def abort(self) -> None:
        self._muxer.abort()


class ImageSink:
    """One picture."""

    def __init__(self, partial: Path, path: Path, comment: str) -> None:
        self._partial, self._path, self._comment = partial, path, comment
        self._written = False

    def begin(self, lead: Fraction, first: Fraction) -> None:
        """Nothing is known before the picture."""

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        if self._written:
            raise UsageError(
                f"{self._path} holds one picture, and there are more.",
                "Give the output the name of a video, or of a folder.",
            )
        self._written = True
        save_image(self._partial, self._path.suffix.lower(), pixels, self._comment)

    def mark(self, done: int, moment: Moment) -> None:
        """One picture is not kept by halves."""

    def finish(self) -> None:
        """It is complete once written."""

    def abort(self) -> None:
        """The target removes it."""


class FolderSink:
    """Numbered PNG files: 000000.png, 000001.png …"""

    def __init__(self, partial: Path, comment: str) -> None:
        self._partial, self._comment = partial, comment
        self._count = 0

    def begin(self, lead: Fraction, first: Fraction) -> None:
        self._partial.mkdir(exist_ok=True)

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        save_image(self._partial / f"{self._count:06d}.png", ".png", pixels, self._comment)
        self._count += 1

    def mark(self, done: int, moment: Moment) -> None:
        """Every file is complete by itself."""

    def finish(self) -> None:
        """Nothing is held back."""

    def abort(self) -> None:
        """The target removes it."""


def save_image(file: Path, suffix: str, pixels: Pixels, comment: str) -> None:
    """Writes (H, W, 3) RGB in the format of `suffix`; 16 bits a sample in a PNG, 8 in all others. comment: kept in its metadata."""
    if suffix == ".png":
        ok, data = cv2.imencode(".png", pixels[..., ::-1], _QUICK)
        if not ok:
            raise OutputError(f"{file.name} cannot be encoded as PNG.")
        file.write_bytes(_with_text(data.tobytes(), comment))
        return
    exif = Pillow.Exif()
    if comment:
        exif[0x010E] = comment.encode("ascii", "replace").decode()  # ImageDescription
    picture = Pillow.fromarray(np.ascontiguousarray(to_uint8(pixels)))
    form = {
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".tif": "TIFF",
        ".tiff": "TIFF",
        ".avif": "AVIF",
        ".bmp": "BMP",
    }[suffix]
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(file.open("wb"))
        picture.save(out, form, quality=95, exif=exif)


def _with_text(png: bytes, comment: str) -> bytes:
    """A PNG with a comment behind its header (which ends at byte 33)."""
    if not comment:
        return png
    body = b"iTXtComment\0\0\0\0\0" + comment.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]
