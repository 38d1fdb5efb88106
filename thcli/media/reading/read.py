"""`read`: the frames of whatever a user names, decoded ahead by a thread of its own."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from thcli.core.errors import MediaError, OutputError
from thcli.core.events import Listener, Warned, silent
from thcli.core.imaging import to_uint8
from thcli.core.options import ReadOptions
from thcli.core.stream import prefetch
from thcli.core.types import Frame, Image
from thcli.media.failures import check_file
from thcli.media.info import MediaInfo
from thcli.media.reading.image import (
    folder_frames,
    image_frames,
    is_image,
    load_image,
    parse_background,
)
from thcli.media.reading.probe import probe
from thcli.media.reading.video import Tally, decode, seconds

_MOST_BYTES = 256 * 2**20  # of decoded frames that wait
_WHOLE = ReadOptions()


@contextmanager
def local(path: str | Path, stdin: BinaryIO | None = None) -> Iterator[Path]:
    """A path that can be read more than once: '-' is spooled from standard input to a temporary file, removed at the end."""
    if str(path) != "-":
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="thcli-") as folder:
        spooled = Path(folder) / "stdin"
        try:
            with spooled.open("wb") as file:
                shutil.copyfileobj(stdin or sys.stdin.buffer, file, 1 << 20)
        except OSError as exc:
            raise OutputError(
                f"Standard input cannot be kept in {folder} ({exc.strerror or exc}).",
                "Free some space, or set TMPDIR.",
            ) from exc
        yield spooled


class Reader:
    """The frames of one input. Iterate over it, inside `with` when you may leave early; every iteration starts at the beginning.

    info: what `probe` found.  damaged: packets and frames that could not be decoded cleanly, so far.
    """

    def __init__(
        self, path: str | Path, options: ReadOptions, background: str, ahead: int, on: Listener
    ) -> None:
        self._stack = ExitStack()
        self._options = options
        self._background = parse_background(background)
        self._ahead = ahead
        self._on = on
        self._tally = Tally()
        self._frames: Generator[Frame, None, None] | None = None
        try:
            self.info = _readable(probe(self._stack.enter_context(local(path))))
        except BaseException:
            self._stack.close()
            raise
        if self.info.colour.is_hdr:
            on(
                Warned(
                    f"{self.info.path.name} is HDR ({self.info.colour}): its values are kept as they are, not tone-mapped."
                )
            )

    @property
    def damaged(self) -> int:
        return self._tally.damaged

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops decoding and removes what was spooled."""
        if self._frames is not None:
            self._frames.close()
        self._stack.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is not None:
            self._frames.close()
        width, height = self.info.size
        size = width * height * 3 * (2 if self.info.bit_depth > 8 else 1)
        depth = max(2, min(self._ahead, _MOST_BYTES // max(1, size)))
        self._tally = Tally()
        self._frames = self._watched(prefetch(self._decoded(), depth))
        return self._frames

    def _decoded(self) -> Iterator[Frame]:
        info, background = self.info, self._background
        if info.kind == "directory":
            return self._in_range(folder_frames(info.path, info, background))
        if is_image(info.path):
            return self._in_range(image_frames(info.path, info, background))
        return decode(info.path, info, self._options, self._tally, background)

    def _in_range(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        start = seconds(self._options.start)
        end = seconds(self._options.end) if self._options.end is not None else None
        if self.info.kind == "image":
            start, end = seconds(0.0), None
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
        if self._tally.damaged:
            self._on(
                Warned(
                    f"{name} is damaged: {self._tally.damaged} of its packets could not be decoded cleanly."
                )
            )
        if self._tally.rescaled:
            self._on(
                Warned(
                    f"{name} changes its size: {self._tally.rescaled} frames were scaled to that of the first."
                )
            )


def read(
    path: str | Path,
    options: ReadOptions = _WHOLE,
    *,
    background: str = "black",
    ahead: int = 16,
    on: Listener = silent,
) -> Reader:
    """The frames of a video, an image, an animation, a folder of images, or '-' (standard input, spooled to a temporary file).

    They are upright RGB, uint8 or uint16, with the time stamps of the file; anamorphic pixels stay as they are coded
    (see MediaInfo.sar). background: under transparent pixels.  ahead: frames decoded in advance, fewer when they are large.
    Raises MediaError for what cannot be read or holds no picture, UsageError for a range behind the end.
    """
    return Reader(path, options, background, ahead, on)


def read_image(path: str | Path, background: str = "white") -> Image:
    """The picture of an image file, or the first frame of a video, as (H, W, 3) RGB uint8: upright, in sRGB, alpha over `background`.

    An image with more than 33 million pixels is halved until it has no more. Raises MediaError when there is no such picture.
    """
    path = Path(path)
    check_file(path)
    if path.is_dir():
        raise MediaError(f"{path} is a folder, not an image.", "Name one of the images in it.")
    if is_image(path):
        return load_image(path, background)
    with read(path, background=background, ahead=2) as frames:
        pixels = next(iter(frames)).pixels
    return to_uint8(pixels)


def _readable(info: MediaInfo) -> MediaInfo:
    if info.kind == "audio":
        raise MediaError(
            f"{info.path} holds only sound and no picture.", "Give a video or an image."
        )
    if info.kind == "motion":
        raise MediaError(
            f"{info.path} is a motion file and holds no picture.", "Give a video or an image."
        )
    return info
