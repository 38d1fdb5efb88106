"""Last pass of refinement: the source's fine detail is added to every frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count, islice
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np

from thcli.core.device import single_thread_workers
from thcli.core.imaging import three_channels, to_uint8
from thcli.core.options import RefineOptions
from thcli.core.stream import ordered_map, worker_pool
from thcli.core.types import Array32, Crop
from thcli.engines.mesh.sampling import resize
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import Pixels
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_path import WINDOW
from thcli.pipeline.observe.crop_track import CropTrack, TrackedCrop
from thcli.pipeline.refining.detail_crops import (
    add_to_frame,
    aligned_placement,
    analyse_face,
    crop_change,
    cut,
    source_texture,
    usual_side,
    view_residual,
)
from thcli.pipeline.refining.subjects import Subject, tracked_face
from thcli.refiners.detail.colour import head_mask
from thcli.refiners.detail.sharpness import lost_sharpness
from thcli.refiners.detail.steadiness import REACH
from thcli.refiners.detail.texture import Texture
from thcli.refiners.detail.transfer import CoarseCrop
from thcli.refiners.shared.residual import ResidualRefiner

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Analysed(Generic[T]):
    """A frame with the coarse crop of each subject, None where its face was not detected.

    before: the frame that a network received; `pixels` itself where there is none.
    number: of the frame.
    """

    item: T
    pixels: Pixels
    before: Pixels
    placements: tuple[Crop, ...]
    crops: tuple[CoarseCrop | None, ...]
    number: int


@dataclass(frozen=True, slots=True)
class LastNetwork:
    """A network that runs after the detail.

    refiner: predicts what a crop still lacks.
    options: its sampling.
    alone: held by the thread whose crop is on a device that computes one after the other.
    """

    refiner: ResidualRefiner
    options: RefineOptions
    alone: Lock = field(default_factory=Lock)

    def residual(self, crop: CoarseCrop, change: Array32, texture: Texture, number: int) -> Array32:
        """Predict what a crop with its change lacks, (N, N, 3) levels of 255: 0 beside the head."""
        view = view_residual(crop, change, texture, self.refiner.residual_side)
        with nullcontext() if self.refiner.parallel else self.alone:
            found = self.refiner.predict_residual(view, number, self.options)
        side = crop.image.shape[0]
        return np.asarray(resize(found, (side, side)) * head_mask(side), np.float32)


@dataclass(frozen=True, slots=True)
class DetailPass:
    """Transfer of detail to frames.

    subjects: faces with their crop tracks.
    textures: of the subjects, each in the size of its crops.
    workers: threads.
    ops: of the device that pastes.
    last: network that runs after the detail, or None.
    """

    subjects: Sequence[Subject]
    textures: Sequence[Texture]
    workers: int
    ops: PixelOps
    last: LastNetwork | None = None

    @classmethod
    def prepare(
        cls,
        subjects: Sequence[Subject],
        workers: int,
        ops: PixelOps,
        last: LastNetwork | None = None,
    ) -> DetailPass:
        """Prepare the texture of each subject.

        OpenCV is limited to one thread per call, because frames are processed in parallel already.
        """
        cv2.setNumThreads(1)
        textures = [
            source_texture(one.source, one.template, usual_side(one.crop_track)) for one in subjects
        ]
        return cls(subjects, textures, workers, ops, last)

    def frames(
        self,
        frames: Generator[tuple[tuple[T, Pixels], Pixels]],
        unrendered: Container[int],
        first: int,
        start: int,
        job: Job,
    ) -> Iterator[tuple[T, Pixels]]:
        """Add detail to every frame from number `start` on.

        The pixels depend neither on the number of threads nor on `start`.

        Args:
            frames: items, each with the pixels before a network refined them, and the pixels,
                from number `first` on; it is closed at the end.
            unrendered: numbers of those that stay as they are.
            first: at least REACH below `start`, or 0.
            start: number of the first frame that is yielded.
            job: measures the stage.

        Yields:
            The item of each frame and its pixels, in order.
        """

        def look(
            numbered: tuple[int, tuple[TrackedCrop, ...], tuple[tuple[T, Pixels], Pixels]],
        ) -> _Analysed[T]:
            number, tracked, frame = numbered
            with job.clock("analyse", frames=1):
                failed = number in job.failed_frames or number in unrendered
                return self._analyse(tracked, frame, number, failed=failed)

        def put(window: tuple[Sequence[_Analysed[T]], int]) -> tuple[T, Pixels]:
            with job.clock("detail", frames=1):
                return self._add_detail(*window, job)

        def link(pair: tuple[Sequence[_Analysed[T]], int]) -> _Analysed[T]:
            with job.clock("link", frames=1):
                return _link(*pair)

        tracks = zip(
            *(_tracked_crops(subject.crop_track, first) for subject in self.subjects), strict=True
        )
        numbered = zip(count(first), tracks, frames, strict=False)
        ahead = self.workers + 1
        with (
            closing(frames),
            self._pool() as pool,
            closing(ordered_map(look, numbered, pool, ahead)) as analysed,
            closing(ordered_map(link, sliding_windows(analysed, 1), pool, ahead)) as linked,
        ):
            windows = islice(sliding_windows(linked, REACH), start - first, None)
            yield from ordered_map(put, windows, pool, ahead)

    def _analyse(
        self,
        tracked_crops: tuple[TrackedCrop, ...],
        frame: tuple[tuple[T, Pixels], Pixels],
        number: int,
        *,
        failed: bool,
    ) -> _Analysed[T]:
        """Analyse the crops of a frame; one whose refinement failed passes through."""
        (item, before), pixels = frame
        image = to_uint8(pixels)
        placements: list[Crop] = []
        crops: list[CoarseCrop | None] = []
        for tracked, texture in zip(tracked_crops, self.textures, strict=True):
            placement, unit = aligned_placement(tracked.placement)
            placements.append(placement)
            if failed or tracked.outline is None:
                crops.append(None)
                continue
            face = tracked_face(tracked)
            crops.append(analyse_face(image, face, placement, unit, texture, tracked.scene))
        return _Analysed(item, pixels, before, tuple(placements), tuple(crops), number)

    def _pool(self) -> AbstractContextManager[ThreadPoolExecutor]:
        """Return the threads; in each of them torch computes with one."""
        if self.last is None:
            return worker_pool(self.workers)
        return single_thread_workers(self.workers)

    def _add_detail(
        self, window: Sequence[_Analysed[T]], middle: int, job: Job
    ) -> tuple[T, Pixels]:
        """Add the detail of each subject to a frame; one whose network fails stays as it was."""
        now = window[middle]
        pixels = now.pixels
        for number, (coarse, texture) in enumerate(zip(now.crops, self.textures, strict=True)):
            if coarse is None:
                continue
            crops = [other.crops[number] for other in window]
            placement = now.placements[number]
            same_view = self.subjects[number].source_is_reference
            change = crop_change(crops, middle, texture, same_view=same_view)
            if now.before is not now.pixels:
                received = cut(to_uint8(now.before), placement)
                change += three_channels(lost_sharpness(received, coarse.image + change))
            if self.last is not None:
                residual = self._residual(self.last, coarse, change, texture, now.number, job)
                if residual is None:
                    return now.item, now.pixels
                change += residual
            pixels = add_to_frame(pixels, coarse.image, change, placement, self.ops)
        return now.item, pixels

    def _residual(
        self,
        last: LastNetwork,
        coarse: CoarseCrop,
        change: Array32,
        texture: Texture,
        number: int,
        job: Job,
    ) -> Array32 | None:
        """Predict what a crop still lacks; None where the network failed, which is recorded."""

        def predict(_: slice) -> list[Array32]:
            return [last.residual(coarse, change, texture, number)]

        with job.clock("refine", frames=1):
            (found,) = job.batches("refine").run_each(1, predict)
        if found is None:
            job.failed_frames.add(number)
        return found


def _link(window: Sequence[_Analysed[T]], middle: int) -> _Analysed[T]:
    """Add the optical flow to the next frame to every crop of a frame."""
    now = window[middle]
    if middle + 1 == len(window):
        return now
    following = window[middle + 1].crops
    crops = (
        None if crop is None else crop.link(other)
        for crop, other in zip(now.crops, following, strict=True)
    )
    return replace(now, crops=tuple(crops))


def sliding_windows(items: Iterator[T], reach: int) -> Iterator[tuple[Sequence[T], int]]:
    """Yield each item with up to `reach` items on both sides, and its position among them."""
    window: deque[T] = deque()
    middle = 0
    for item in items:
        window.append(item)
        if len(window) - middle > reach:
            yield tuple(window), middle
            middle = _advance(window, middle, reach)
    while middle < len(window):
        yield tuple(window), middle
        middle = _advance(window, middle, reach)


def _advance(window: deque[T], middle: int, reach: int) -> int:
    """Drop the item that the next position does not need; return the next position."""
    if middle < reach:
        return middle + 1
    window.popleft()
    return middle


def _tracked_crops(track: CropTrack, first: int) -> Iterator[TrackedCrop]:
    """Read a track from a frame on, window by window."""
    for start in range(first, len(track), WINDOW):
        yield from track.window(start, min(start + WINDOW, len(track)))
