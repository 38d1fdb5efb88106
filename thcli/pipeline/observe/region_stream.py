"""Stream of parsed frames: decoding, parsing, smoothing and rendering overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from thcli.core.imaging import to_uint8
from thcli.core.options import RunOptions
from thcli.core.protocols import Parser
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Crop, Face, Frame, Image
from thcli.faces.crops.align import resize
from thcli.faces.parsing.crops import ParserCrop, Regions, crop_for_parser, parse_crops
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
        failed, in the frames before a resumed part, and where they are to be carried.
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
    frames: Iterable[FrameFaces],
    parser: Parser,
    batch: int,
    first: int,
    job: Job,
    *,
    alternate: bool = False,
) -> Iterator[ParsedFaces]:
    """Parse the faces of every frame from number `first` on; those before are not parsed.

    Args:
        frames: in order.
        parser: segments the faces.
        batch: frames per call of the parser.
        first: number of the first parsed frame.
        job: clock.
        alternate: parse the first of every two frames that show a face, for `RegionSmoother`,
            which carries its regions to the second. Regions have half the parser's size: its
            network sees no finer.
    """
    remaining = iter(frames)
    turns = _Turns() if alternate else None
    while window := list(islice(remaining, batch)):
        yield from _parse_window(window, parser, first, job, turns)


class _Turns:
    """Turns of the faces: the first of every two frames of a scene that show one is parsed."""

    def __init__(self) -> None:
        self._scenes: dict[int, int] = {}  # number of a face that was parsed -> scene
        self._failed: set[int] = set()

    def carried(self, window: Sequence[FrameFaces]) -> set[tuple[int, int]]:
        """Return the numbers of frame and face of those in the next frames that are carried."""
        out: set[tuple[int, int]] = set()
        for item in window:
            for number, face in enumerate(item.faces):
                if face is not None and self._scenes.pop(number, None) == item.scene:
                    out.add((item.frame.index, number))
                elif face is not None:
                    self._scenes[number] = item.scene
                else:
                    self._scenes.pop(number, None)
        return out

    def note(self, number: int, *, failed: bool) -> None:
        """Note whether the parser failed for a face that it was given."""
        (self._failed.add if failed else self._failed.discard)(number)

    def has_failed(self, number: int) -> bool:
        """Return True where the regions that would be carried are missing."""
        return number in self._failed


def _parse_window(
    window: Sequence[FrameFaces], parser: Parser, first: int, job: Job, turns: _Turns | None
) -> Iterator[ParsedFaces]:
    """Parse all faces of a window together, except those that are carried."""
    turned = [item for item in window if item.frame.index >= first]
    carried = set() if turns is None else turns.carried(turned)

    def parse(chosen: Sequence[ParserCrop]) -> Sequence[Regions | None]:
        return job.batches("parse").run_each(
            len(chosen), lambda part: parse_crops(parser, chosen[part])
        )

    with job.clock("parse", frames=len(window)):
        crops = [
            crop_for_parser(parser, to_uint8(item.frame.pixels), face, placement)
            for item in window
            if item.frame.index >= first
            for face, placement in zip(item.faces, item.placements, strict=True)
            if face is not None
        ]
        shown = [
            (item.frame.index, number)
            for item in window
            if item.frame.index >= first
            for number, face in enumerate(item.faces)
            if face is not None
        ]
        whole = [one for one, place in zip(crops, shown, strict=True) if place not in carried]
        found = iter(parse(whole))
        remaining = iter(crops)
    for item in window:
        parsed = []
        for number, face in enumerate(item.faces):
            if face is None or item.frame.index < first:
                parsed.append(ParsedFrame(None, None, item.scene))
                continue
            one, place, regions = next(remaining), None, None
            of_turn = (item.frame.index, number) not in carried
            if of_turn or (turns is not None and turns.has_failed(number)):
                if of_turn:
                    regions = next(found)
                else:
                    with job.clock("parse"):
                        (regions,) = parse([one])
                if regions is None:
                    job.failed_frames.add(item.frame.index)
                if turns is not None:
                    turns.note(number, failed=regions is None)
                    regions = None if regions is None else _halve(regions)
            else:
                place = _halve_placement(one.placement)
            parsed.append(ParsedFrame(regions, one.pixels, item.scene, place))
        yield ParsedFaces(item, tuple(parsed))


def _halve_placement(placement: Crop) -> Crop:
    """Return a placement at half the size, in whole pairs of pixels."""
    return resize(placement, max(placement.size[0] // 4 * 2, 2))


def _halve(regions: Regions) -> Regions:
    """Return regions at half the size."""
    placement = _halve_placement(regions.placement)
    planes = [
        cv2.resize(plane, placement.size, interpolation=cv2.INTER_AREA)
        for plane in regions.probabilities
    ]
    return Regions(placement, np.stack(planes).astype(np.float32, copy=False))


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

    workers = run.workers
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
