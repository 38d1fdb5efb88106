"""Pass 2: windows of motion (with the driver's pictures where the engine wants them) become pictures, on several threads, in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from typing import Any, Protocol

import cv2
import numpy as np

from thcli.core.clock import StageClock
from thcli.core.options import MotionOptions, RunOptions
from thcli.core.protocols import Engine, MotionStore
from thcli.core.stream import ordered_map, prefetch
from thcli.core.types import Face, Frame, Image, Motion

NUMERIC = (
    cv2.error,
    np.linalg.LinAlgError,
    FloatingPointError,
)  # what one degenerate frame can raise


class Renderer(Protocol):
    """The part of an Engine that pass 2 needs."""

    @property
    def parallel(self) -> bool: ...
    def render(
        self, source: Any, motion: Motion, frames: Sequence[Frame] | None
    ) -> list[Image]: ...


@dataclass(frozen=True, slots=True)
class SourceFace:
    """One face of the source picture, encoded once, and what it shall do."""

    source: Any
    motion: MotionStore

    @classmethod
    def prepare(
        cls,
        engine: Engine,
        picture: Image,
        face: Face,
        driving: MotionStore,
        options: MotionOptions,
    ) -> SourceFace:
        """A face of a picture and a driver's motion put on it."""
        source = engine.encode_source(picture, face)
        return cls(source, engine.retarget(source, driving, options))


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A finished frame. seen: whether the driver's face was. made: False where it could not be drawn and shows the source unchanged."""

    picture: Image
    pts: int
    time_base: Fraction
    duration: int
    seen: bool
    made: bool
    driving: Frame | None


@dataclass(frozen=True, slots=True)
class Window:
    """Frames start..stop of the clip; frames: the driver's, or None when nobody looks at them."""

    start: int
    stop: int
    frames: list[Frame] | None


def draw(
    engine: Renderer,
    source_faces: Sequence[SourceFace],
    still: Image,
    frames: Iterable[Frame] | None,
    start: int,
    run: RunOptions,
    clock: StageClock,
) -> Iterator[RenderedFrame]:
    """Every frame from `start` on, in order. still: the source picture, shown where a frame fails.

    frames: the driver's, from its frame 0 on, or None.  The result depends on neither batch size nor threads.
    """
    workers = (run.threads or os.cpu_count() or 1) if engine.parallel else 1

    def render(window: Window) -> list[RenderedFrame]:
        with clock("render", frames=window.stop - window.start):
            return _render(engine, source_faces, still, window)

    windows = prefetch(_windows(frames, start, len(source_faces[0].motion), run.batch_size), 2)
    for rendered_frames in ordered_map(render, windows, workers, workers + 1):
        yield from rendered_frames


def _windows(
    frames: Iterable[Frame] | None, start: int, total: int, batch: int
) -> Iterator[Window]:
    pictures = None if frames is None else islice(frames, start, None)
    for first in range(start, total, batch):
        last = min(first + batch, total)
        yield Window(
            first, last, None if pictures is None else list(islice(pictures, last - first))
        )


def _render(
    engine: Renderer, source_faces: Sequence[SourceFace], still: Image, window: Window
) -> list[RenderedFrame]:
    try:
        return _together(engine, source_faces, still, window)
    except NUMERIC:
        if window.stop - window.start > 1:  # one frame is degenerate: find it, and make the others
            middle = (window.start + window.stop) // 2
            k = middle - window.start
            halves = (
                Window(window.start, middle, window.frames and window.frames[:k]),
                Window(middle, window.stop, window.frames and window.frames[k:]),
            )
            return [
                rendered
                for half in halves
                for rendered in _render(engine, source_faces, still, half)
            ]
        return _shots(
            [still], source_faces[0].motion.window(window.start, window.stop), window, made=False
        )


def _together(
    engine: Renderer, source_faces: Sequence[SourceFace], still: Image, window: Window
) -> list[RenderedFrame]:
    motions = [
        source_face.motion.window(window.start, window.stop) for source_face in source_faces
    ]  # retargets: once a window
    pictures: list[Image] = []
    for source_face, motion in zip(source_faces, motions, strict=True):
        new = engine.render(source_face.source, motion, window.frames)
        pictures = (
            [_joined(a, b, still) for a, b in zip(pictures, new, strict=True)] if pictures else new
        )
    return _shots(pictures, motions[0], window, made=True)


def _shots(
    pictures: Sequence[Image], motion: Motion, window: Window, *, made: bool
) -> list[RenderedFrame]:
    frames: Sequence[Frame | None] = window.frames or [None] * len(pictures)
    return [
        RenderedFrame(
            p, int(t), motion.time_base, frame.duration if frame else 0, bool(seen), made, frame
        )
        for p, t, seen, frame in zip(pictures, motion.pts, motion.valid, frames, strict=True)
    ]


def _joined(picture: Image, other: Image, still: Image) -> Image:
    """Two faces moved in the same picture: where the second one differs from the still picture, it is taken."""
    moved = (other != still).any(-1, keepdims=True)
    return np.where(moved, other, picture)
