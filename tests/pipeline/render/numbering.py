"""A renderer that tells who rendered, for `test_helpers`; helpers import it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thcli.core.types import Frame, Image, Motion


@dataclass(frozen=True)
class NumberingRenderer:
    """Its images hold the number of their frame, and whether another process rendered them.

    home: process of the test.  fails: number of a frame that is not rendered.  dies: number of a
    frame at which another process ends.
    """

    home: int
    fails: int = -1
    dies: int = -1
    parallel: bool = True

    @property
    def renderer(self) -> NumberingRenderer:
        return self

    def begin_process(self) -> None:
        sys.stdout.write("what a library prints")

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        away = os.getpid() != self.home
        if self.fails in motion.pts:
            raise ValueError(f"{source}: frame {self.fails}")
        if away and self.dies in motion.pts:
            os._exit(3)
        return [np.array([[[pts, away, len(source)]]], np.uint8) for pts in motion.pts]

    def render_frames(self, source: Any, images: Sequence[Image], motion: Motion) -> list[Image]:
        return [image + np.uint8(1) for image in images]
