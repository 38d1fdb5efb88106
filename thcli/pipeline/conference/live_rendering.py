"""Rendering of a motion that arrives frame by frame, with no frame of delay."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from thcli.core.options import MotionOptions, RenderOptions, RunOptions
from thcli.core.protocols import CropEngine, Engine
from thcli.core.types import Face, Image, Motion
from thcli.engines.backends import ENGINES
from thcli.faces.compositing.pixel_ops import PixelOps
from thcli.motion.canonical import eye_openings, neutral
from thcli.motion.codec.frames import CodedFrame
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.sources.framing import FullFrameEngine

_LIVE = MotionOptions(smooth=0.0, causal=True)


class LiveRenderer:
    """Engine with a picture, driven by rows since a reference row.

    A row is transferred as a short clip of its own: the reference frame, the most closed eyes so
    far (from which a blink is told), the row. Nothing depends on later frames.

    Args:
        engine: renders; a crop engine's output is pasted into the picture.
        image: (H, W, 3) uint8.
        face: of the image; None shows the image as it is.
        ops: of the device that pastes.
    """

    def __init__(self, engine: Engine, image: Image, face: Face | None, ops: PixelOps) -> None:
        self._engine: Engine = (
            FullFrameEngine(engine, ops) if isinstance(engine, CropEngine) else engine
        )
        self._reference: Motion | None = None
        self._closed: Motion | None = None
        self._source: Any = None
        self.last = image
        self.show(image, face)

    def show(self, image: Image, face: Face | None) -> None:
        """Take another picture; the next reference row belongs to it."""
        self._source = None if face is None else self._engine.encode_source(image, face)
        self.last, self._reference = image, None

    def render(self, frame: CodedFrame) -> Image:
        """Return the image of a frame; without a face that of the frame before."""
        row = frame.motion
        if self._source is None or not row.valid[0]:
            return self.last
        if frame.is_reference or self._reference is None:
            self._reference = self._closed = row
        assert self._closed is not None  # set with the reference
        if _openness(row) < _openness(self._closed):
            self._closed = row
        clip = _join([self._reference] * 3, self._closed, row)
        motion = self._engine.retarget(self._source, MotionBuffer(clip), _LIVE)
        count = len(clip)
        self.last = self._engine.render(self._source, motion.window(count - 1, count), None)[0]
        return self.last


def load_engine(name: str, run: RunOptions) -> Engine:
    """Load an engine that renders pictures alone."""
    engine: Engine = ENGINES.backend(name).load(run, RenderOptions(engine=name, run=run))
    return engine


def _openness(row: Motion) -> float:
    if row.kind != "mesh":
        return 0.0
    return float(eye_openings(neutral() + row.arrays["expression"][0]).mean())


def _join(reference: list[Motion], closed: Motion, row: Motion) -> Motion:
    """Return rows as one clip, with a row without a face before the last two."""
    rows = [*reference, row, closed, row, row]
    valid = np.ones(len(rows), bool)
    valid[len(reference)] = valid[-2] = False
    arrays = {
        name: np.concatenate([np.asarray(one.arrays[name]) for one in rows]) for name in row.arrays
    }
    return replace(row, pts=np.arange(len(rows)), valid=valid, arrays=arrays)
