"""Synthetic video clips for smoke runs, made from the photograph that scikit-image ships."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.options import OutputOptions
from thcli.evaluate.datasets.sample_clip import RATE, astronaut_clip


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """Size of a smoke run."""

    steps: int = 4
    batch: int = 2
    save: int = 2
    frames: int = 12


SMOKE = SmokeSettings()
FRAME_STEP = 6  # every sixth frame of the source clip is used, for larger motion between frames


def write_synthetic_clips(folder: Path, size: int, frames: int = SMOKE.frames) -> list[Path]:
    """Write two clips of size x size pixels and return their paths.

    The second clip is the first one mirrored, with its colour channels permuted.
    """
    paths = [folder / "one.mp4", folder / "two.mp4"]
    options = OutputOptions(crf=12, key_every=4)
    step = Fraction(1, RATE)
    with (
        media.write(
            paths[0],
            (size, size),
            None,
            options,
            media.WritePlan(time_base=step, rate=Fraction(RATE)),
        ) as one,
        media.write(
            paths[1],
            (size, size),
            None,
            options,
            media.WritePlan(time_base=step, rate=Fraction(RATE)),
        ) as two,
    ):
        source = astronaut_clip(frames * FRAME_STEP, size)
        chosen = (frame for frame in source if frame.index % FRAME_STEP == 0)
        for index, frame in enumerate(chosen):
            one.write(frame.pixels, index, 1)
            two.write(np.ascontiguousarray(frame.pixels[:, ::-1, (1, 2, 0)]), index, 1)
    return paths
