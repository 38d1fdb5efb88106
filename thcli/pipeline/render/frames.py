"""Rendering of frames in pass 2: windows of motion to images, on several threads, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol

from thcli.core.batches import BatchRunner
from thcli.core.clock import StageClock
from thcli.core.imaging import lay_over, split_alpha
from thcli.core.options import RunOptions
from thcli.core.protocols import MotionStore
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Array32, Frame, Image, Motion
from thcli.pipeline.job.replayable_frames import RenderedFrame
from thcli.pipeline.render.face_shares import draw

WINDOW_PIXELS = 1 << 24  # of a window that one of several threads renders


class Renderer(Protocol):
    """The part of an engine that pass 2 uses."""

    @property
    def parallel(self) -> bool: ...
    def render(
        self, source: Any, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]: ...


@dataclass(frozen=True, slots=True)
class SourceFace:
    """An encoded source face and the motion that is rendered.

    source: identity and appearance, as the engine encodes them.
    motion: retargeted to the source.
    driver: number of its driver, 0 for the one that sets the times.
    reads_driver: the engine reads the driving frames, too.
    share: (H, W) blend weight over the faces before it; None for the only face of a picture, and
        for a person who is rendered alone, over the plan's plate.
    """

    source: Any
    motion: MotionStore
    driver: int = 0
    reads_driver: bool = False
    share: Array32 | None = None


@dataclass(frozen=True, slots=True)
class FrameWindow:
    """Frames start..stop (exclusive) of the output.

    frames: the driving frames, None when the engine does not read them.
    others: those of the other drivers, at the same times.
    """

    start: int
    stop: int
    frames: list[Frame] | None
    others: tuple[list[Frame] | None, ...] = ()

    def part(self, rows: slice) -> FrameWindow:
        """Return the window of rows rows.start..rows.stop of this one."""
        frames = self.frames and self.frames[rows]
        others = tuple(other and other[rows] for other in self.others)
        return FrameWindow(self.start + rows.start, self.start + rows.stop, frames, others)

    def of_driver(self, number: int) -> list[Frame] | None:
        """Return the frames of a driver, see `SourceFace.driver`."""
        return self.others[number - 1] if number else self.frames


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """An engine with the encoded faces of one image.

    engine: renders each face.
    faces: one or more faces of the image, with motion of the same length.
    image: (H, W, 3) uint8, shown where a frame fails.
    batches: divides windows for which memory does not suffice.
    last_duration: of the last frame in units of the motion's time base, where the driving frames
        are not read; 0 when unknown.
    plate: (H, W, 3 or 4) uint8 below faces that are rendered alone, see `EncodedFaces`.
    """

    engine: Renderer
    faces: Sequence[SourceFace]
    image: Image
    batches: BatchRunner
    last_duration: int = 0
    plate: Image | None = None


@dataclass(frozen=True, slots=True)
class DrivingFrames:
    """Driving frames from number 0 on, None where the engine does not read them.

    first: of the driver that sets the times.  others: of the other drivers, at the same times.
    """

    first: Iterable[Frame] | None = None
    others: tuple[Iterable[Frame] | None, ...] = ()


def render_frames(
    plan: RenderPlan, driving: DrivingFrames, start: int, run: RunOptions, clock: StageClock
) -> Iterator[RenderedFrame]:
    """Render every frame from number `start` on, in order.

    The result depends on neither batch size nor threads. Threads share out large frames in small
    windows: less is held, and no thread is left with many frames at the end.

    Args:
        plan: engine, faces and image.
        driving: the driving frames.
        start: number of the first frame.
        run: batch size and threads.
        clock: measures the rendering.
    """
    workers = run.workers if plan.engine.parallel else 1

    def render(window: FrameWindow) -> list[RenderedFrame]:
        with clock("render", frames=window.stop - window.start):
            return _render(plan, window)

    size = run.batch_size
    if plan.engine.parallel:
        height, width = plan.image.shape[:2]
        size = min(size, max(1, WINDOW_PIXELS // (height * width)))
    windows = prefetch(_windows(driving, start, len(plan.faces[0].motion), size), 2)
    rendered = chain.from_iterable(ordered_map(render, windows, workers, workers + 1))
    yield from _with_durations(rendered, plan.last_duration)


def _with_durations(frames: Iterator[RenderedFrame], last: int) -> Iterator[RenderedFrame]:
    """Yield the frames; those of unknown duration last until the next one, the final one `last`."""
    held: RenderedFrame | None = None
    for frame in frames:
        if held is not None:
            yield replace(held, duration=held.duration or frame.pts - held.pts)
        held = frame
    if held is not None:
        yield replace(held, duration=held.duration or last)


def _windows(driving: DrivingFrames, start: int, total: int, batch: int) -> Iterator[FrameWindow]:
    remaining = [
        None if frames is None else islice(frames, start, None)
        for frames in (driving.first, *driving.others)
    ]
    for first in range(start, total, batch):
        stop = min(first + batch, total)
        own, *others = (
            None if frames is None else list(islice(frames, stop - first)) for frames in remaining
        )
        yield FrameWindow(first, stop, own, tuple(others))


def _render(plan: RenderPlan, window: FrameWindow) -> list[RenderedFrame]:
    """Render a window. A frame that fails shows the source; the others of the window do not."""
    count = window.stop - window.start
    rendered = plan.batches.run_each(count, lambda rows: _render_window(plan, window.part(rows)))
    return [
        _failed_frame(plan, window.part(slice(i, i + 1))) if frame is None else frame
        for i, frame in enumerate(rendered)
    ]


def _failed_frame(plan: RenderPlan, window: FrameWindow) -> RenderedFrame:
    motion = plan.faces[0].motion.window(window.start, window.stop)
    (frame,) = _rendered_frames([plan.image], motion, window, succeeded=False)
    return frame


def _render_window(plan: RenderPlan, window: FrameWindow) -> list[RenderedFrame]:
    # Reading a window may retarget: once per face.
    motions = [face.motion.window(window.start, window.stop) for face in plan.faces]
    images: Sequence[Image] = [] if plan.plate is None else [plan.plate] * len(motions[0])
    for face, motion in zip(plan.faces, motions, strict=True):
        new = plan.engine.render(face.source, motion, window.of_driver(face.driver))
        images = _draw(plan, images, new, face.share)
    return _rendered_frames(images, motions[0], window, succeeded=True)


def _draw(
    plan: RenderPlan, below: Sequence[Image], new: Sequence[Image], share: Array32 | None
) -> list[Image]:
    """Draw rendered images of a face over those below; none are below the first."""
    if share is None and plan.plate is None:
        return list(new)
    if share is None:
        return [_lay_person(b, a) for a, b in zip(below, new, strict=True)]
    # an image with alpha shows the other faces' persons as well
    below = below or [plan.image if image.shape[2] == 3 else image for image in new]
    return [draw(a, b, share) for a, b in zip(below, new, strict=True)]


def _lay_person(person: Image, below: Image) -> Image:
    """Lay a person (H, W, 4) over a picture, or over persons that are cut out as well."""
    if below.shape[2] == 4:
        return lay_over(person, person[..., 3], below)
    return lay_over(*split_alpha(person), below)


def _rendered_frames(
    images: Sequence[Image], motion: Motion, window: FrameWindow, *, succeeded: bool
) -> list[RenderedFrame]:
    driving: Sequence[Frame | None] = window.frames or [None] * len(images)
    return [
        RenderedFrame(
            colour,
            int(pts),
            motion.time_base,
            frame.duration if frame else 0,
            succeeded,
            frame,
            alpha,
        )
        for (colour, alpha), pts, frame in zip(
            map(_split, images), motion.pts, driving, strict=True
        )
    ]


def _split(image: Image) -> tuple[Image, Image | None]:
    """Return the colours of an image, and its alpha if it has one."""
    if image.shape[2] == 3:
        return image, None
    return split_alpha(image)
