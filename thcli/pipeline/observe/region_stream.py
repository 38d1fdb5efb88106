"""Stream of parsed frames: decoding, parsing, smoothing and rendering overlap."""

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
from thcli.faces.parsing.crops import Regions, crop_for_parser, parse_crops
from thcli.faces.parsing.temporal_smoothing import ParsedFrame, RegionSmoother
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.region_overlay import RegionRenderer


@dataclass(frozen=True, slots=True)
class FrameFaces:
    """A frame and its chosen faces.

    name: of the frame's file in a folder.
    faces: one per chosen track, None where it was not detected.
    placements: crop of the parser per face, None for its own template.
    scene: number of the scene.
    """

    frame: Frame
    name: str
    faces: tuple[Face | None, ...]
    placements: tuple[Crop | None, ...]
    scene: int = 0


@dataclass(frozen=True, slots=True)
class ParsedFaces:
    """A frame and the regions of its chosen faces.

    parsed: one per chosen track; without regions where the face was not detected, where the parser
        failed, or in the frames before a resumed part.
    """

    frame_faces: FrameFaces
    parsed: tuple[ParsedFrame, ...]


@dataclass(frozen=True, slots=True)
class RenderedRegions:
    """A frame, the smoothed regions of its faces, and the image rendered from them."""

    frame_faces: FrameFaces
    regions: list[Regions]
    image: Image


def parse_frames(
    frames: Iterable[FrameFaces], parser: Parser, batch: int, first: int, job: Job
) -> Iterator[ParsedFaces]:
    """Parse the faces of every frame from number `first` on; those before are not parsed.

    Args:
        frames: in order.
        parser: segments the faces.
        batch: frames per call of the parser.
        first: number of the first parsed frame.
        job: clock.
    """
    remaining = iter(frames)
    while window := list(islice(remaining, batch)):
        yield from _parse_window(window, parser, first, job)


def _parse_window(
    window: Sequence[FrameFaces], parser: Parser, first: int, job: Job
) -> Iterator[ParsedFaces]:
    """Parse all faces of a window together."""
    with job.clock("parse", frames=len(window)):
        crops = [
            crop_for_parser(parser, to_uint8(item.frame.pixels), face, placement)
            for item in window
            if item.frame.index >= first
            for face, placement in zip(item.faces, item.placements, strict=True)
            if face is not None
        ]
        found = job.batches("parse").run_each(
            len(crops), lambda part: parse_crops(parser, crops[part])
        )
        parsed_crops = iter(zip(crops, found, strict=True))
    for item in window:
        parsed = []
        for face in item.faces:
            if face is None or item.frame.index < first:
                parsed.append(ParsedFrame(None, None, item.scene))
            else:
                parser_crop, regions = next(parsed_crops)
                if regions is None:
                    job.failed_frames.add(item.frame.index)
                parsed.append(ParsedFrame(regions, parser_crop.pixels, item.scene))
        yield ParsedFaces(item, tuple(parsed))


def render_regions(
    stream: Iterator[ParsedFaces],
    renderer: RegionRenderer,
    reach: int,
    first: int,
    run: RunOptions,
    job: Job,
) -> Iterator[RenderedRegions]:
    """Smooth and render every frame from number `first` on, in order.

    Args:
        stream: parsed frames.
        renderer: renders an image of the regions.
        reach: frames on both sides for smoothing, 0 for none.
        first: number of the first rendered frame.
        run: batch size and threads.
        job: clock.
    """

    def render(item: tuple[FrameFaces, list[Regions]]) -> RenderedRegions:
        frame_faces, regions = item
        with job.clock("draw", frames=1):
            image = renderer.render(to_uint8(frame_faces.frame.pixels), regions)
            return RenderedRegions(frame_faces, regions, image)

    workers = run.threads or os.cpu_count() or 1
    with closing(prefetch(stream, run.batch_size)) as ahead:
        smoothed = (
            item for item in _smooth_regions(ahead, reach, job) if item[0].frame.index >= first
        )
        yield from ordered_map(render, smoothed, workers, workers + 1)


def _smooth_regions(
    stream: Iterable[ParsedFaces], reach: int, job: Job
) -> Iterator[tuple[FrameFaces, list[Regions]]]:
    """Yield every frame with the regions of its faces, smoothed over `reach` frames on each side.

    reach 0 leaves them unchanged.
    """
    waiting: deque[FrameFaces] = deque()
    smoothers: list[RegionSmoother] = []
    for item in stream:
        if not reach:
            parsed = [p.regions for p in item.parsed if p.regions is not None]
            yield item.frame_faces, parsed
            continue
        waiting.append(item.frame_faces)
        smoothers = smoothers or [RegionSmoother(reach) for _ in item.parsed]
        with job.clock("smooth", frames=1):
            ready = [
                smoother.push(parsed)
                for smoother, parsed in zip(smoothers, item.parsed, strict=True)
            ]
        for faces in zip(*ready, strict=True):
            yield waiting.popleft(), [regions for regions in faces if regions is not None]
    with job.clock("smooth"):
        ready = [smoother.finish() for smoother in smoothers]
    for faces in zip(*ready, strict=True):
        yield waiting.popleft(), [regions for regions in faces if regions is not None]
