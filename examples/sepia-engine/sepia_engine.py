"""An engine for thcli: the mesh engine's frames in sepia."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import thcli

SEPIA = np.array([[0.39, 0.77, 0.19], [0.35, 0.69, 0.17], [0.27, 0.53, 0.13]], np.float32)


@dataclass(frozen=True)
class SepiaEngine:
    """A `thcli.Engine` that leaves everything but the colours to another one."""

    inner: thcli.Engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)  # motion_kind, encode_source, observe, retarget, ...

    def render(
        self, source: Any, motion: thcli.Motion, frames: Sequence[thcli.Frame] | None
    ) -> list[Any]:
        """Render a window of frames: one (H, W, 3) uint8 RGB image for each row of `motion`."""
        images = self.inner.render(source, motion, frames)
        return [np.clip(image @ SEPIA.T, 0, 255).round().astype(np.uint8) for image in images]


def load(run: thcli.RunOptions, options: thcli.RenderOptions) -> SepiaEngine:
    """Build the engine: the factory that the entry point names."""
    return SepiaEngine(thcli.STAGES["engine"].backend("mesh").load(run, options))


load.reads = ("motion", "mesh.matte", "mouth")  # type: ignore[attr-defined]  # by the mesh engine
