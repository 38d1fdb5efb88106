"""Last pass of refinement: the source's fine detail is added to every frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice
from typing import Generic, TypeVar

import cv2
import numpy as np

from thcli.core.imaging import smoothstep, to_uint8
from thcli.core.stream import ordered_map, worker_pool
from thcli.core.types import Array32, Crop, Image
from thcli.faces.compositing.mask import rim_mask
from thcli.faces.compositing.paste import paste_change, soft_mask
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.faces.crops.crop import Pixels, corners, crop, transform_face
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe.crop_path import WINDOW
from thcli.pipeline.observe.crop_templates import crop_placement
from thcli.pipeline.observe.crop_track import CropTrack, TrackedCrop
from thcli.pipeline.refining.subjects import Subject, tracked_face
from thcli.refiners.detail.sharpness import lost_sharpness
from thcli.refiners.detail.steadiness import REACH
from thcli.refiners.detail.texture import Texture
from thcli.refiners.detail.transfer import CoarseCrop, analyse, colour_gains, missing_detail
from thcli.refiners.shared.bands import UNIT

T = TypeVar("T")
MAX_SIDE = 640  # pixels of a crop; a larger face is reduced
_OVERSAMPLING = 1.25  # of the texture
_MIN_STEPS = 4
_STEP = 16  # pixels, of which a side is a multiple
_RIM = 0.08  # width of the soft rim of a crop over its side
_HEAD = (0.5, 0.95)  # half sides from the middle between which a change of colour fades
_EDGE = 0.02  # width over the side of the fade at the edge of the source


@dataclass(frozen=True, slots=True)
class _Analysed(Generic[T]):
    """A frame with the coarse crop of each subject, None where its face was not detected.

    before: the frame that a network received; `pixels` itself where there is none.
    """

    item: T
    pixels: Pixels
    before: Pixels
    placements: tuple[Crop, ...]
    crops: tuple[CoarseCrop | None, ...]


@dataclass(frozen=True, slots=True)
class DetailPass:
    """Transfer of detail to frames.

    subjects: faces with their crop tracks.
    textures: of the subjects, each in the size of its crops.
    workers: threads.
    ops: of the device that pastes.
    """

    subjects: Sequence[Subject]
    textures: Sequence[Texture]
    workers: int
    ops: PixelOps

    @classmethod
    def prepare(cls, subjects: Sequence[Subject], workers: int, ops: PixelOps) -> DetailPass:
        """Prepare the texture of each subject.

        OpenCV is limited to one thread per call, because frames are processed in parallel already.
        """
        cv2.setNumThreads(1)
        return cls(subjects, [_texture(subject) for subject in subjects], workers, ops)

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
                return self._analyse(
                    tracked, frame, failed=number in job.failed_frames or number in unrendered
                )

        def put(window: tuple[Sequence[_Analysed[T]], int]) -> tuple[T, Pixels]:
            with job.clock("detail", frames=1):
                return self._add_detail(*window)

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
            worker_pool(self.workers) as pool,
            closing(ordered_map(look, numbered, pool, ahead)) as analysed,
            closing(ordered_map(link, sliding_windows(analysed, 1), pool, ahead)) as linked,
        ):
            windows = islice(sliding_windows(linked, REACH), start - first, None)
            yield from ordered_map(put, windows, pool, ahead)

    def _analyse(
        self,
        tracked_crops: tuple[TrackedCrop, ...],
        frame: tuple[tuple[T, Pixels], Pixels],
        *,
        failed: bool,
    ) -> _Analysed[T]:
        """Analyse the crops of a frame; one whose refinement failed passes through."""
        (item, before), pixels = frame
        image = to_uint8(pixels)
        placements: list[Crop] = []
        crops: list[CoarseCrop | None] = []
        for tracked, texture in zip(tracked_crops, self.textures, strict=True):
            placement, unit = _aligned_placement(tracked.placement, MAX_SIDE)
            placements.append(placement)
            if failed or tracked.outline is None:
                crops.append(None)
                continue
            face = transform_face(tracked_face(tracked), placement.crop_from_frame)
            coarse = _cut(image, placement)
            mesh = np.asarray(face.mesh, np.float64)
            frame_from_crop = np.asarray(np.linalg.inv(placement.crop_from_frame), np.float64)
            crops.append(analyse(coarse, unit, mesh, texture, tracked.scene, frame_from_crop))
        return _Analysed(item, pixels, before, tuple(placements), tuple(crops))

    def _add_detail(self, window: Sequence[_Analysed[T]], middle: int) -> tuple[T, Pixels]:
        now = window[middle]
        pixels = now.pixels
        for number, (coarse, texture) in enumerate(zip(now.crops, self.textures, strict=True)):
            if coarse is None:
                continue
            crops = [other.crops[number] for other in window]
            placement = now.placements[number]
            change = missing_detail(crops, middle, texture)
            if self.subjects[number].source_is_reference:
                gains = colour_gains(crops, middle) - np.float32(1)
                change += coarse.image * gains * _head_mask(placement.size)
            if now.before is not now.pixels:
                received = _cut(to_uint8(now.before), placement)
                change += lost_sharpness(received, coarse.image + change)[..., None]
            pixels = _add_to_frame(pixels, coarse.image, change, placement, self.ops)
        return now.item, pixels


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


def _texture(subject: Subject) -> Texture:
    """Crop the source, a little larger than the footage shows the face where it has the pixels."""
    side = round(_OVERSAMPLING * _usual_side(subject.crop_track))
    image, face = subject.source.image, subject.source.face
    placement, _ = _aligned_placement(crop_placement(face, subject.template), side)
    moved = transform_face(face, placement.crop_from_frame)
    known = np.ones(image.shape[:2], np.float32)
    inside = np.asarray(crop(known, placement, border="black", kernel="linear"), np.float32)
    pixels = np.asarray(crop(image, placement), np.uint8)
    return Texture(pixels, np.asarray(moved.mesh, np.float64), _fade(inside))


def _unscaled_corner(placement: Crop) -> tuple[int, int] | None:
    """Return left and top of an aligned placement in the frame; None where it is scaled."""
    if placement.crop_from_frame[0, 0] != 1:
        return None
    left, top = (-round(float(shift)) for shift in placement.crop_from_frame[:2, 2])
    return left, top


def _cut(image: Image, placement: Crop) -> Image:
    """Return the pixels of an aligned placement as `crop` does, (N, N, 3) uint8."""
    corner = _unscaled_corner(placement)
    if corner is None:
        return np.asarray(crop(image, placement), np.uint8)
    columns, rows = (
        np.clip(np.arange(low, low + placement.size[0]), 0, size - 1)
        for low, size in zip(corner, image.shape[1::-1], strict=True)
    )
    return np.asarray(np.take(image[rows[0] : rows[-1] + 1], columns, 1)[rows - rows[0]], np.uint8)


def _add_to_frame(
    pixels: Pixels, coarse: Image, change: Array32, placement: Crop, ops: PixelOps
) -> Pixels:
    """Return a new frame with a change of a crop added.

    Args:
        pixels: (H, W, 3) frame.
        coarse: (N, N, 3) uint8, the crop.
        change: (N, N, 3) levels of 255.
        placement: from `_aligned_placement`.
        ops: of the device that pastes a crop which is scaled.
    """
    mask = _soft_rim(placement.size)
    corner = _unscaled_corner(placement)
    if corner is None:
        before = coarse.astype(np.float32) / np.float32(255)
        after = before + change / np.float32(255)
        return paste_change(pixels, before, after, placement, mask, ops=ops)
    (left, top), (height, width) = corner, pixels.shape[:2]
    rows, columns = (slice(max(low, 0), max(low + len(mask), 0)) for low in (top, left))
    part = np.s_[
        rows.start - top : max(height - top, 0), columns.start - left : max(width - left, 0)
    ]
    out = pixels.copy()
    full = np.iinfo(pixels.dtype).max
    old = out[rows, columns]
    new = old + change[part] * np.float32(full / 255)
    np.clip(new, 0, full, out=new)
    new -= old
    new *= mask[part][..., None]
    new += old
    out[rows, columns] = np.rint(new, out=new)
    return out


@lru_cache(maxsize=4)
def _soft_rim(size: tuple[int, int]) -> Array32:
    """Return the mask with which a crop is pasted, (N, N) in 0..1."""
    return soft_mask(Crop(np.eye(3), size), rim_mask(size, _RIM))


@lru_cache(maxsize=4)
def _head_mask(size: tuple[int, int]) -> Array32:
    """Return a soft mask of the head, in the middle of a square crop: (N, N, 1) 0..1."""
    axis = np.linspace(-1, 1, size[0], dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    return np.asarray(1 - smoothstep(*_HEAD, np.hypot(x, y)), np.float32)[..., None]


def _fade(inside: Array32) -> Array32:
    """Fade a mask inwards over _EDGE of the side."""
    width = 2 * round(_EDGE * inside.shape[0]) + 1
    kernel, black = np.ones((width, width), np.uint8), (0.0,)
    known = (inside > 0.5).astype(np.float32)
    core = cv2.erode(known, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=black)
    return np.asarray(cv2.blur(core, (width, width)), np.float32)


def _aligned_placement(placement: Crop, limit: int) -> tuple[Crop, float]:
    """Align an upright crop with the pixels of its frame, so that nothing is resampled.

    Args:
        placement: the crop.
        limit: largest side in pixels; a larger crop is reduced.

    Returns:
        The placement, whose side is a multiple of _STEP pixels, and its pixels for one of a crop of
        `bands.UNIT` pixels.
    """
    outline = corners(placement)
    low, high = outline.min(0), outline.max(0)
    true_side = float((high - low).max())
    scale = min(1.0, limit / true_side)
    side = max(round(true_side * scale / _STEP), _MIN_STEPS) * _STEP
    left, top = np.rint((low + high) / 2 * scale - side / 2)
    shift = np.array([0.5 * scale - 0.5 - left, 0.5 * scale - 0.5 - top])
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]], [0, 0, 1]])
    return Crop(matrix, (side, side)), true_side * scale / UNIT


def _usual_side(track: CropTrack) -> float:
    """Return the median side of a track's first crops in pixels of the frame, up to MAX_SIDE."""
    sides = [float(np.ptp(corners(t.placement), 0).max()) for t in track.window(0, WINDOW)]
    return min(float(np.median(sides)), MAX_SIDE)
