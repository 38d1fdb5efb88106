"""`read`: frames of a video, image, folder or standard input, decoded ahead in a thread."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from thcli.core.errors import MediaError, OutputError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.core.stream import prefetch
from thcli.core.temp_folders import temporary_folder
from thcli.core.types import Frame, Image
from thcli.media.failures import check_file
from thcli.media.info import MediaInfo
from thcli.media.reading.image import (
    is_image,
    load_image,
    parse_background,
    read_folder,
    read_image_frames,
)
from thcli.media.reading.pixel_limit import PixelLimit
from thcli.media.reading.probe import probe
from thcli.media.reading.video import DamageCounter, decode, exact_seconds

_MAX_BYTES = 256 * 2**20  # decoded frames in the queue
_WHOLE = ReadOptions()


@contextmanager
def seekable_path(path: str | Path, stdin: BinaryIO | None = None) -> Iterator[Path]:
    """Yield a path that can be read more than once.

    Standard input is spooled to a temporary file, which is removed at the end of the block.

    Args:
        path: a path, or '-' for standard input.
        stdin: the stream to spool, sys.stdin by default.

    Raises:
        OutputError: the temporary file cannot be written.
    """
    if str(path) != "-":
        yield Path(path)
        return
    with temporary_folder() as folder:
        spooled = folder / "stdin"
        try:
            with spooled.open("wb") as file:
                shutil.copyfileobj(stdin or sys.stdin.buffer, file, 1 << 20)
        except OSError as exc:
            raise OutputError(
                f"Standard input cannot be spooled to {folder} ({exc.strerror or exc}).",
                "Free some space, or set TMPDIR.",
            ) from exc
        yield spooled


class Reader:
    """The frames of one input, as an iterable and context manager.

    Every iteration starts at the beginning. Use it inside `with` when an iteration may end early.

    info: result of `probe`.
    damaged: number of packets and frames so far that were not decoded cleanly.
    """

    def __init__(
        self,
        path: str | Path,
        options: ReadOptions,
        background: str,
        ahead: int,
        device: str,
        on: Listener,
        *,
        tone_mapped: bool,
    ) -> None:
        self._stack = ExitStack()
        self._options, self._limit = options, PixelLimit.of(options)
        self._background = parse_background(background)
        self._ahead, self._device, self._tone_mapped = ahead, device, tone_mapped
        self._on = on
        self._defects = DamageCounter()
        self._frames: Generator[Frame, None, None] | None = None
        try:
            self.info = _readable(probe(self._stack.enter_context(seekable_path(path)), options))
        except BaseException:
            self._stack.close()
            raise
        if self.info.colour.is_hdr and not tone_mapped:
            name = f"{self.info.path.name} is HDR ({self.info.colour})"
            on(Warned(f"{name}: its values are kept (--hdr tonemap converts them)."))

    @property
    def damaged(self) -> int:
        """Number of packets and frames so far that were not decoded cleanly."""
        return self._defects.damaged

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop decoding and remove the spooled file."""
        if self._frames is not None:
            self._frames.close()
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is not None:
            self._frames.close()
        width, height = self.info.size
        size = width * height * 3 * (2 if self.info.bit_depth > 8 else 1)
        if self._tone_mapped and self.info.colour.is_hdr:
            size += width * height * 3
        depth = max(2, min(self._ahead, _MAX_BYTES // max(1, size)))
        self._defects = DamageCounter()
        self._frames = self._watched(prefetch(self._decoded(), depth))
        return self._frames

    def _decoded(self) -> Iterator[Frame]:
        info, background = self.info, self._background
        if info.kind == "directory":
            return self._in_range(read_folder(info.path, info, background, self._limit))
        if is_image(info.path):
            return self._in_range(read_image_frames(info.path, info, background, self._limit))
        options, defects, device = self._options, self._defects, self._device
        mapped = self._tone_mapped
        return decode(info.path, info, options, defects, background, device, tone_mapped=mapped)

    def _in_range(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        start = exact_seconds(self._options.start)
        end = exact_seconds(self._options.end) if self._options.end is not None else None
        if self.info.kind == "image":
            start, end = exact_seconds(0.0), None
        index = 0
        for frame in frames:
            time = frame.pts * frame.time_base
            if end is not None and time >= end:
                break
            if time >= start:
                yield Frame(frame.pixels, frame.pts, frame.time_base, index, frame.duration)
                index += 1

    def _watched(self, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
        try:
            yield from frames
        finally:
            frames.close()
        name = self.info.path.name
        if self._defects.damaged:
            count = self._defects.damaged
            self._on(Warned(f"{name} is damaged: {count} packets were not decoded cleanly."))
        if self._defects.rescaled:
            count = self._defects.rescaled
            self._on(Warned(f"{name} changes size: {count} frames were scaled to the first size."))


def read(
    path: str | Path,
    options: ReadOptions = _WHOLE,
    *,
    background: str = "black",
    ahead: int = 16,
    device: str = "cpu",
    on: Listener = silent,
    tone_mapped: bool = False,
) -> Reader:
    """Open the frames of a video, an image, an animation, a folder of images, or standard input.

    Frames are upright RGB, uint8 or uint16, with the time stamps of the file. Anamorphic pixels are
    not resampled (see MediaInfo.sar).

    Args:
        path: the input; '-' is standard input, spooled to a temporary file.
        options: range, largest size and decoder threads.
        background: colour under transparent pixels.
        ahead: most frames decoded in advance, fewer when they are large.
        device: a --device value, where tones are mapped.
        on: receives warnings on HDR whose values are kept, damage and changes of size.
        tone_mapped: give HDR frames that --hdr keeps tone-mapped to BT.709, 8 bits, as networks
            need them; `Frame.to_signal` returns what is written after a change.

    Raises:
        MediaError: the input cannot be read, is too large or has no video stream.
        UsageError: the range begins after the end; raised by the iteration.
    """
    return Reader(path, options, background, ahead, device, on, tone_mapped=tone_mapped)


def read_image(path: str | Path, background: str = "white", options: ReadOptions = _WHOLE) -> Image:
    """Read an image file, or the first frame of a video, as (H, W, 3) uint8 sRGB, upright.

    An image with more than 33 million pixels is halved until it has no more.

    Args:
        path: the file.
        background: colour under transparent pixels.
        options: largest size; the range is not used.

    Raises:
        MediaError: the file cannot be read, is too large or has no image.
    """
    path = Path(path)
    check_file(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder, not an image.", "Give one of the images in it.")
    if is_image(path):
        return load_image(path, background, PixelLimit.of(options))
    mapped = replace(options.whole, hdr="tonemap")
    with read(path, mapped, background=background, ahead=2) as frames:
        pixels = next(iter(frames)).pixels
    return to_uint8(pixels)


def _readable(info: MediaInfo) -> MediaInfo:
    if info.kind == "audio":
        raise MediaError(
            f"{info.path} has audio, but no video stream.", "Give a video or an image."
        )
    if info.kind == "motion":
        raise MediaError(
            f"{info.path} is a motion file without images.", "Give a video or an image."
        )
    return info
