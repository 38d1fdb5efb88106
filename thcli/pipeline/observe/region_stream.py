"""Faces of a stream of frames parsed in batches, calmed in time and drawn: decoding, parsing, calming and drawing overlap."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Crop, Face, Frame, Image
from thcli.faces.parsing.crops import Regions, cut, parse
from thcli.faces.parsing.temporal_smoothing import Parsed, Smoother
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.region_overlay import Artist


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame and the faces in it that are meant. name: of its file in a folder.  faces: one for each chosen track, None where it is not seen; places: where the parser shall look, None for its own template."""

    frame: Frame
    name: str
    faces: tuple[Face | None, ...]
    places: tuple[Crop | None, ...]
    scene: int = 0


@dataclass(frozen=True, slots=True)
class Divided:
    """A frame and what was found: of each chosen track, or None where it was not seen (or was not looked at, before a resumed part)."""

    seen: Seen
    parsed: tuple[Parsed, ...]


def divided(
    frames: Iterable[Seen], parser: Parser, batch: int, first: int, job: Job
) -> Iterator[Divided]:
    """The faces of every frame from number `first` on, parsed; those before come without."""

    def parsed(window: Sequence[Seen]) -> Iterator[Divided]:
        with job.clock("parse", frames=len(window)):
            wanted = [
                (s, f, p)
                for s in window
                if s.frame.index >= first
                for f, p in zip(s.faces, s.places, strict=True)
                if f is not None
            ]
            cuts = [cut(parser, to_uint8(s.frame.pixels), f, p) for s, f, p in wanted]
            found = iter(zip(cuts, parse(parser, cuts), strict=True))
        for seen in window:
            rows = []
            for face in seen.faces:
                if face is None or seen.frame.index < first:
                    rows.append(Parsed(None, None, seen.scene))
                else:
                    own, regions = next(found)
                    rows.append(Parsed(regions, own.pixels, seen.scene))
            yield Divided(seen, tuple(rows))

    source = iter(frames)
    while window := list(islice(source, batch)):
        yield from parsed(window)


def painted(
    stream: Iterator[Divided], artist: Artist, reach: int, first: int, run: RunOptions, job: Job
) -> Iterator[tuple[Seen, list[Regions], Image]]:
    """Every frame from number `first` on, calmed and drawn, in order: decoding, parsing, calming and drawing overlap."""

    def one(item: tuple[Seen, list[Regions]]) -> tuple[Seen, list[Regions], Image]:
        seen, found = item
        with job.clock("draw", frames=1):
            return seen, found, artist.draw(to_uint8(seen.frame.pixels), found)

    workers = run.threads or os.cpu_count() or 1
    with closing(prefetch(stream, run.batch_size)) as ahead:
        ready = (item for item in _calmed(ahead, reach, job) if item[0].frame.index >= first)
        yield from ordered_map(one, ready, workers, workers + 1)


def _calmed(
    stream: Iterable[Divided], reach: int, job: Job
) -> Iterator[tuple[Seen, list[Regions]]]:
    """Every frame with the regions of its faces, calmed over `reach` frames (0: as they are)."""
    waiting: deque[Seen] = deque()
    smoothers: list[Smoother] = []
    for item in stream:
        if not reach:
            yield item.seen, [p.regions for p in item.parsed if p.regions is not None]
            continue
        waiting.append(item.seen)
        smoothers = smoothers or [Smoother(reach) for _ in item.parsed]
        with job.clock("smooth", frames=1):
            rows = [
                smoother.push(parsed)
                for smoother, parsed in zip(smoothers, item.parsed, strict=True)
            ]
        for done in zip(*rows, strict=True):
            yield waiting.popleft(), [regions for regions in done if regions is not None]
    with job.clock("smooth"):
        rows = [smoother.finish() for smoother in smoothers]
    for done in zip(*rows, strict=True):
        yield waiting.popleft(), [regions for regions in done if regions is not None]
