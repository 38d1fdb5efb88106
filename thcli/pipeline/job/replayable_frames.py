"""Frames that several passes read: of a file, or rendered anew each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from typing import Generic, TypeVar

from thcli.core.options import ReadOptions
from thcli.core.types import Frame, Image
from thcli.faces.crops.crop import Pixels
from thcli.media.info import MediaInfo
from thcli.pipeline.job.job import Job

T = TypeVar("T")
MEMORY = 256 << 20  # bytes of rendered frames that are kept, 340 frames of 512 x 512


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A rendered frame with its time stamp.

    image: (H, W, 3) uint8 or uint16 RGB.
    pts, duration: in units of time_base; duration 0 when unknown.
    time_base: seconds.
    succeeded: False when the engine failed and the image shows the source unchanged.
    driving: the driving frame, None when it was not read.
    alpha: (H, W) uint8 of the person, whose image is premultiplied; None of a whole picture.
    """

    image: Image
    pts: int
    time_base: Fraction
    duration: int
    succeeded: bool
    driving: Frame | None
    alpha: Image | None = None


FramesFrom = Callable[[int], Iterator[RenderedFrame]]
"""Renders the frames from a number on. It can be called again and gives the same frames."""


@dataclass(frozen=True, slots=True)
class ReplayableFrames(Generic[T]):
    """Frames that can be read again, each with an item of its own.

    name: for messages.
    total: number of frames, None when unknown.
    frames_from: yields (frame, item) from a number on, the same at each call.
    unrendered: numbers of the frames read so far that show the source; none is refined.
    """

    name: str
    total: int | None
    frames_from: Callable[[int], Iterator[tuple[Frame, T]]]
    unrendered: set[int] = field(default_factory=set)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from number `start` on, without their items."""
        for frame, _ in self.frames_from(start):
            yield frame

    def with_pixels(self) -> ReplayableFrames[tuple[T, Pixels]]:
        """Return the same frames, each with its pixels beside its item."""

        def frames_from(start: int) -> Iterator[tuple[Frame, tuple[T, Pixels]]]:
            for frame, item in self.frames_from(start):
                yield frame, (item, frame.pixels)

        return ReplayableFrames(self.name, self.total, frames_from, self.unrendered)


def replayable_video(info: MediaInfo, read: ReadOptions, job: Job) -> ReplayableFrames[Frame]:
    """Replay the frames of a file; the item of a frame is the frame."""

    def frames_from(start: int) -> Iterator[tuple[Frame, Frame]]:
        with job.frames(info.path, read) as reader:
            for frame in islice(job.clock.time_each("decode", reader), start, None):
                yield frame, frame

    return ReplayableFrames(str(info.path), info.frames, frames_from)


def replayable_render(
    name: str, total: int, render_from: FramesFrom, *, keep: bool = True
) -> ReplayableFrames[RenderedFrame]:
    """Replay rendered frames; the item of a frame is its RenderedFrame.

    The first MEMORY bytes are kept, later frames are rendered anew each time.

    Args:
        name: for messages.
        total: number of frames.
        render_from: renders them.
        keep: False for frames that one pass alone reads.
    """
    kept: list[RenderedFrame] = []
    room = MEMORY if keep else 0

    def rendered_from(start: int) -> Iterator[RenderedFrame]:
        nonlocal room
        begin = start
        for item in islice(kept, start, None):
            begin += 1
            yield item
        if begin >= total:
            return  # to ask for no frames would decode, or even render, all of them
        for index, item in enumerate(render_from(begin), begin):
            size = item.image.nbytes + (0 if item.driving is None else item.driving.nbytes)
            size += 0 if item.alpha is None else item.alpha.nbytes
            if index == len(kept) and size <= room:
                kept.append(item)
                room -= size
            yield item

    unrendered: set[int] = set()

    def frames_from(start: int) -> Iterator[tuple[Frame, RenderedFrame]]:
        for index, item in enumerate(rendered_from(start), start):
            if not item.succeeded:
                unrendered.add(index)
            yield Frame(item.image, item.pts, item.time_base, index, item.duration), item

    return ReplayableFrames(name, total, frames_from, unrendered)
