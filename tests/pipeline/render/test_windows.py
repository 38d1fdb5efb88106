"""Windows of frames that threads render."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from thcli.core.batches import BatchRunner
from thcli.core.clock import StageClock
from thcli.core.options import RunOptions
from thcli.core.types import Frame, Image, Motion
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, SourceFace, render_frames


@dataclass
class NumberingEngine:
    """Engine whose images hold the number of their frame."""

    parallel: bool
    windows: list[int] = field(default_factory=list)

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Return one pixel for each frame."""
        self.windows.append(len(motion))
        return [np.full((1, 1, 3), pts, np.uint8) for pts in motion.pts]


def numbered_motion(count: int) -> Motion:
    """Return the motion of some frames."""
    return Motion("mesh", np.arange(count), Fraction(1, 25), np.ones(count, bool), {}, {})


@pytest.mark.parametrize(
    "size, parallel, longest",
    [
        ((512, 512), True, 8),
        ((1080, 1920), True, 8),
        ((2160, 3840), True, 2),
        ((4320, 7680), True, 1),
        ((2160, 3840), False, 8),
    ],
)
def test_threads_share_out_large_frames_in_small_windows(
    size: tuple[int, int], parallel: bool, longest: int
) -> None:
    engine = NumberingEngine(parallel)
    image = np.broadcast_to(np.uint8(0), (*size, 3))
    face = SourceFace(None, MotionBuffer(numbered_motion(21)))
    plan = RenderPlan(engine, [face], image, BatchRunner())
    run = RunOptions(threads=2, batch_size=8)
    rendered = list(render_frames(plan, DrivingFrames(), 0, run, StageClock()))
    assert max(engine.windows) == longest
    assert [int(frame.image[0, 0, 0]) for frame in rendered] == list(range(21))
