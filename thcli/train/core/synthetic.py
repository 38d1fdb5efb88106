"""What a trial without data learns from: two small clips of the photograph that a dependency carries, made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from thcli import media
from thcli.core.options import OutputOptions
from thcli.evaluate.datasets.test_clip import RATE, astronaut_clip


@dataclass(frozen=True, slots=True)
class Smoke:
    """How small the trial is."""

    steps: int = 4
    batch: int = 2
    save: int = 2
    frames: int = 12


SMOKE = Smoke()
APART = 6  # frames of the clip between two that are kept: small movements teach little


def made_clips(folder: Path, size: int, frames: int = SMOKE.frames) -> list[Path]:
    """Writes two clips of size x size pixels: her, and her mirrored with the colours in another order."""
    paths = [folder / "one.mp4", folder / "two.mp4"]
    options = OutputOptions(crf=12, key_every=4)
    step = Fraction(1, RATE)
    with (
        media.write(
            paths[0], (size, size), None, options, time_base=step, rate=Fraction(RATE)
        ) as one,
        media.write(
            paths[1], (size, size), None, options, time_base=step, rate=Fraction(RATE)
        ) as two,
    ):
        kept = (frame for frame in astronaut_clip(frames * APART, size) if frame.index % APART == 0)
        for index, frame in enumerate(kept):
            one.write(frame.pixels, index, 1)
            two.write(np.ascontiguousarray(frame.pixels[:, ::-1, (1, 2, 0)]), index, 1)
    return paths
