"""Frames that are looked at more than once: of a file, or rendered, each time anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from thcli import media
from thcli.core.options import ReadOptions
from thcli.core.types import Frame
from thcli.media.info import MediaInfo
from thcli.pipeline.job.job import Job
from thcli.pipeline.render.frames import RenderedFrame

T = TypeVar("T")
FramesFrom = Callable[[int], Iterator[RenderedFrame]]
"""The shots from a number on; may be called again and again."""


@dataclass(frozen=True, slots=True)
class ReplayableFrames(Generic[T]):
    """name: for messages.  total: how many frames, if known.  play: those from a number on, each with what belongs to it; the same every time."""

    name: str
    total: int | None
    frames_from: Callable[[int], Iterator[tuple[Frame, T]]]

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames alone."""
        for frame, _ in self.frames_from(start):
            yield frame


def replayable_clip(info: MediaInfo, read: ReadOptions, job: Job) -> ReplayableFrames[Frame]:
    """A file's frames; what belongs to a frame is itself."""

    def frames_from(start: int) -> Iterator[tuple[Frame, Frame]]:
        with media.read(info.path, read, on=job.on) as reader:
            for frame in islice(job.clock.over("decode", reader), start, None):
                yield frame, frame

    return ReplayableFrames(str(info.path), info.frames, frames_from)


def replayable_render(
    name: str, total: int, rendered_frames: FramesFrom
) -> ReplayableFrames[RenderedFrame]:
    """Rendered frames with their shots."""

    def frames_from(start: int) -> Iterator[tuple[Frame, RenderedFrame]]:
        for number, rendered in enumerate(rendered_frames(start), start):
            yield (
                Frame(
                    rendered.picture, rendered.pts, rendered.time_base, number, rendered.duration
                ),
                rendered,
            )

    return ReplayableFrames(name, total, frames_from)
