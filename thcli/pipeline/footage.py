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
from thcli.pipeline.draw import Shot
from thcli.pipeline.report import Job

T = TypeVar("T")
Play = Callable[[int], Iterator[Shot]]
"""The shots from a number on; may be called again and again."""


@dataclass(frozen=True, slots=True)
class Footage(Generic[T]):
    """name: for messages.  total: how many frames, if known.  play: those from a number on, each with what belongs to it; the same every time."""

    name: str
    total: int | None
    play: Callable[[int], Iterator[tuple[Frame, T]]]

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames alone."""
        for frame, _ in self.play(start):
            yield frame


def of_clip(info: MediaInfo, read: ReadOptions, job: Job) -> Footage[Frame]:
    """A file's frames; what belongs to a frame is itself."""

    def play(start: int) -> Iterator[tuple[Frame, Frame]]:
        with media.read(info.path, read, on=job.on) as reader:
            for frame in islice(job.clock.over("decode", reader), start, None):
                yield frame, frame

    return Footage(str(info.path), info.frames, play)


def of_shots(name: str, total: int, shots: Play) -> Footage[Shot]:
    """Rendered frames with their shots."""

    def play(start: int) -> Iterator[tuple[Frame, Shot]]:
        for number, shot in enumerate(shots(start), start):
            yield Frame(shot.picture, shot.pts, shot.time_base, number, shot.duration), shot

    return Footage(name, total, play)
