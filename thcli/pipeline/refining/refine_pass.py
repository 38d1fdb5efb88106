"""Pass 2 of refinement: crops through the refiner in batches, changes pasted into the frames."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np

from thcli.core.device import single_thread_workers
from thcli.core.imaging import to_uint8
from thcli.core.options import CompositingOptions, RefineOptions, RunOptions
from thcli.core.protocols import Parser, Refiner
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Array32, Crop, Face, Frame, Image
from thcli.faces.backends import PARSERS
from thcli.faces.compositing.paste import CHANGE_ONLY, paste, paste_change
from thcli.faces.compositing.pixel_device import pixel_ops
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import Pixels, crop, transform_face
from thcli.faces.parsing.crops import parse_faces
from thcli.pipeline.job.job import Job
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.observe.crop_track import TrackedCrop
from thcli.pipeline.refining.detail_pass import DetailPass, LastNetwork, sliding_windows
from thcli.pipeline.refining.person_mask import person_mask
from thcli.pipeline.refining.subjects import Subject, camera_moves, tracked_face
from thcli.pipeline.refining.temporal_smoothing import REACH, CropChange, smooth_change
from thcli.pipeline.sources.framing import paste_mask
from thcli.refiners.backends import REFINERS
from thcli.refiners.detail.steadiness import REACH as DETAIL_REACH
from thcli.refiners.shared.residual import ResidualRefiner

T = TypeVar("T")
R = TypeVar("R")
# Clocks of the stages that change the pixels of a frame.
STAGES = ("correct", "refine", "analyse", "link", "detail")
_MOST_AT_ONCE = 8  # frames that networks refine side by side: the memory of the large ones


@dataclass(frozen=True, slots=True)
class _FrameChanges(Generic[T]):
    """A frame and its changes.

    item: what accompanies the frame.
    crops: one per subject.
    changes: one per subject, None where the face was not detected.
    """

    frame: Frame
    item: T
    crops: tuple[TrackedCrop, ...]
    changes: tuple[CropChange | None, ...]


@dataclass(frozen=True, slots=True)
class RefinePass:
    """A loaded refiner and the way its changes are pasted.

    name: of the backend.
    refiner: refines crops.
    parser: segments the person; other pixels do not change. None: the background may change.
    refine_options: steps, noise, strength.
    compositing_options: background, smoothing, detail.
    run: batch size, threads, device.
    ops: of the device that pastes.
    """

    name: str
    refiner: Refiner
    parser: Parser | None
    refine_options: RefineOptions
    compositing_options: CompositingOptions
    run: RunOptions
    ops: PixelOps

    @classmethod
    def load(
        cls,
        name: str,
        refine_options: RefineOptions,
        compositing_options: CompositingOptions,
        run: RunOptions,
    ) -> RefinePass:
        """Load a refiner by the name of its backend (see `refiners.backends.choose_refiner`).

        Raises:
            UsageError: an unknown backend, or options that it does not support.
            WeightsError: no weights with the wanted licence, or not installed.
            DeviceError: the device cannot be used.
        """
        refiner: Refiner = REFINERS.backend(name).load(run)
        refiner.network_calls(refine_options)  # checks the options before pass 1
        parser: Parser | None = None
        if compositing_options.background == "keep":
            parser = PARSERS.backend(PARSERS.resolve(compositing_options.parser, run)).load(run)
        ops = pixel_ops(run.device)
        return cls(name, refiner, parser, refine_options, compositing_options, run, ops)

    @property
    def workers(self) -> int:
        """Number of threads."""
        return self.run.workers

    @property
    def last(self) -> LastNetwork | None:
        """The network, when it runs after the detail."""
        if isinstance(self.refiner, ResidualRefiner):
            return LastNetwork(self.refiner, self.refine_options)
        return None

    def network_calls(self, subjects: Sequence[Subject]) -> int:
        """Count the network calls per frame of a face: none where the camera moves too much."""
        return 0 if camera_moves(subjects) else self.refiner.network_calls(self.refine_options)

    def changes_pixels(self, subjects: Sequence[Subject]) -> bool:
        """Return whether a network refines the crops before the detail."""
        return self.last is None and self.network_calls(subjects) > 0

    def frames(
        self, footage: ReplayableFrames[T], subjects: Sequence[Subject], start: int, job: Job
    ) -> Iterator[tuple[T, Pixels]]:
        """Refine every frame from number `start` on; one that fails passes through.

        The network comes first, then the detail of the source. The pixels depend on neither the
        batches, the number of threads nor `start`.

        Args:
            footage: coarse frames with their items.
            subjects: faces to refine.
            start: number of the first frame.
            job: measures the stages.

        Yields:
            The item of each frame and its refined pixels, in order.
        """
        if not self.compositing_options.source_detail:
            if camera_moves(subjects):
                yield from _unchanged_frames(footage, start)
            else:
                yield from self._network_frames(footage, subjects, start, job)
            return
        first = max(start - DETAIL_REACH, 0)
        with_pixels = footage.with_pixels()
        if self.changes_pixels(subjects):
            frames = self._network_frames(with_pixels, subjects, first, job)
        else:
            frames = _unchanged_frames(with_pixels, first)
        detail_pass = DetailPass.prepare(subjects, self.workers, self.ops, self.last)
        yield from detail_pass.frames(frames, footage.unrendered, first, start, job)

    def _network_frames(
        self, footage: ReplayableFrames[T], subjects: Sequence[Subject], start: int, job: Job
    ) -> Generator[tuple[T, Pixels]]:
        """Refine every frame from number `start` on by the network alone."""
        reach = REACH if self.compositing_options.temporal_smoothing else 0
        mask = paste_mask(self.refiner)

        def put(window: tuple[Sequence[_FrameChanges[T]], int]) -> tuple[T, Pixels]:
            with job.clock("put", frames=1):
                return self._paste_changes(*window, mask)

        first = max(start - reach, 0)
        side_by_side = self.refiner.parallel
        threads = min(self.workers, _MOST_AT_ONCE)
        with (
            single_thread_workers(threads) if side_by_side else nullcontext() as pool,
            closing(prefetch(footage.frames_from(first), self.run.batch_size)) as ahead,
        ):
            changes = self._refine(ahead, footage.unrendered, subjects, first, job, pool)
            windows = islice(sliding_windows(changes, reach), start - first, None)
            yield from ordered_map(put, windows, self.workers, self.workers + 1)

    def _refine(
        self,
        frames: Iterable[tuple[Frame, T]],
        unrendered: Container[int],
        subjects: Sequence[Subject],
        first: int,
        job: Job,
        pool: ThreadPoolExecutor | None,
    ) -> Iterator[_FrameChanges[T]]:
        """Refine every subject of every frame, batch by batch.

        Args:
            frames: with their items.
            unrendered: numbers of those that stay as they are.
            subjects: faces to refine.
            first: number of the first frame.
            job: measures the stages.
            pool: threads that compute a frame each; None where the networks take batches.
        """

        def encode(part: slice) -> list[Any]:
            return [self.refiner.encode_source(one.image, one.face) for one in subjects[part]]

        sources = _side_by_side(encode, pool)(slice(0, len(subjects)))
        remaining = iter(frames)
        while batch := list(islice(remaining, self.run.batch_size)):
            batch_frames = [frame for frame, _ in batch]
            crops, changes = [], []
            for subject, source in zip(subjects, sources, strict=True):
                window = [
                    replace(tracked, outline=None) if number in unrendered else tracked
                    for number, tracked in enumerate(
                        subject.crop_track.window(first, first + len(batch)), first
                    )
                ]
                crops.append(window)
                changes.append(
                    self._refine_subject(batch_frames, window, source, subject, job, pool)
                )
            first += len(batch)
            by_frame = zip(zip(*crops, strict=True), zip(*changes, strict=True), strict=True)
            for (frame, item), (frame_crops, frame_changes) in zip(batch, by_frame, strict=True):
                yield _FrameChanges(frame, item, frame_crops, frame_changes)

    def _refine_subject(
        self,
        frames: Sequence[Frame],
        tracked_crops: Sequence[TrackedCrop],
        source: Any,
        subject: Subject,
        job: Job,
        pool: ThreadPoolExecutor | None,
    ) -> list[CropChange | None]:
        """Refine one face in a batch of frames.

        source: its encoding by the refiner. pool: see `_refine`.
        """
        changes: list[CropChange | None] = [None] * len(frames)
        seen = [i for i, tracked in enumerate(tracked_crops) if tracked.outline is not None]
        if not seen:
            return changes
        images = [to_uint8(frames[i].pixels) for i in seen]
        placements = [tracked_crops[i].placement for i in seen]
        faces = [tracked_face(tracked_crops[i]) for i in seen]
        crops = [_crop(image, p) for image, p in zip(images, placements, strict=True)]
        crop_faces = [
            transform_face(face, placement.crop_from_frame)
            for face, placement in zip(faces, placements, strict=True)
        ]
        reference = subject.reference_frame
        reference_crops = None if reference is None else [_crop(reference, p) for p in placements]

        def refine(part: slice) -> list[Image]:
            return self.refiner.refine(
                crops[part],
                source,
                self.refiner.extract_attributes(crops[part], crop_faces[part]),
                [frames[i].index for i in seen[part]],
                self.refine_options,
                None if reference_crops is None else reference_crops[part],
                source_is_reference=subject.source_is_reference,
            )

        def weigh(part: slice) -> list[Array32]:
            return self._blend_weights(images[part], faces[part], placements[part])

        with job.clock("refine", frames=len(seen)):
            refined = job.batches("refine").run_each(len(seen), _side_by_side(refine, pool))
        with job.clock("parse", frames=len(seen)):
            weights = job.batches("parse").run_each(len(seen), _side_by_side(weigh, pool))
        for i, coarse, fine, weight in zip(seen, crops, refined, weights, strict=True):
            if fine is None or weight is None:
                job.failed_frames.add(frames[i].index)
                continue
            alpha = weight[..., None]
            difference = (fine.astype(np.float32) - coarse) * (alpha / np.float32(255))
            change = np.concatenate([difference, alpha], -1)
            changes[i] = CropChange(coarse, change, tracked_crops[i].scene)
        return changes

    def _blend_weights(
        self, images: Sequence[Image], faces: Sequence[Face], placements: Sequence[Crop]
    ) -> list[Array32]:
        """Return how much each pixel of the crops may change, (n, n) in 0..1 per image."""
        size = (self.refiner.crop_size, self.refiner.crop_size)
        if self.parser is None:
            return [np.ones(size, np.float32)] * len(placements)
        parsed = parse_faces(self.parser, images, faces)
        return [person_mask(regions, p) for regions, p in zip(parsed, placements, strict=True)]

    def _paste_changes(
        self, window: Sequence[_FrameChanges[T]], middle: int, mask: Array32
    ) -> tuple[T, Pixels]:
        """Paste the smoothed changes into the frame in the middle of a window."""
        now = window[middle]
        pixels: Pixels = now.frame.pixels
        for number, (tracked, own) in enumerate(zip(now.crops, now.changes, strict=True)):
            if own is None:
                continue
            change = smooth_change([other.changes[number] for other in window], middle)
            difference, weight = change[..., :3], change[..., 3]
            placement = tracked.placement
            if self.compositing_options.detail:
                before = _to_float(crop(now.frame.pixels, placement))
                after = before + difference
                pixels = paste_change(pixels, before, after, placement, mask, ops=self.ops)
            else:
                refined = np.clip(_to_float(own.coarse) + difference, 0, 1)
                weight = mask * weight
                pixels = paste(
                    pixels, refined, placement, weight, options=CHANGE_ONLY, ops=self.ops
                )
        return now.item, pixels


def _side_by_side(
    compute: Callable[[slice], list[R]], pool: ThreadPoolExecutor | None
) -> Callable[[slice], list[R]]:
    """Return a function that computes the items of a slice one by one in the threads of a pool."""
    if pool is None:
        return compute

    def compute_each(part: slice) -> list[R]:
        singles = [
            pool.submit(compute, slice(number, number + 1))
            for number in range(part.start, part.stop)
        ]
        wait(singles)  # none computes on where another one fails
        return [item for single in singles for item in single.result()]

    return compute_each


def _unchanged_frames(footage: ReplayableFrames[T], start: int) -> Generator[tuple[T, Pixels]]:
    """Yield the frames of the footage from number `start` on."""
    with closing(prefetch(footage.frames_from(start), 2)) as ahead:
        for frame, item in ahead:
            yield item, frame.pixels


def _crop(image: Image, placement: Crop) -> Image:
    return np.asarray(crop(image, placement), np.uint8)


def _to_float(pixels: Pixels) -> Array32:
    """Convert integers to float32 in 0..1."""
    top = np.float32(np.iinfo(pixels.dtype).max)
    return np.asarray(pixels.astype(np.float32) / top, np.float32)
