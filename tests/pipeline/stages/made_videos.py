"""Encoding and decoding of test clips, and results of commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from thcli import media
from thcli.core.options import OutputOptions
from thcli.core.types import Frame, Image
from thcli.evaluate.datasets.sample_clip import RATE

SIDE, FRAMES = 256, 16


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Thcli = Callable[..., CommandResult]


def save(path: Path, frames: Iterable[Frame], audio: Path | None = None) -> Path:
    images = list(frames)
    options = OutputOptions(crf=8, audio="none" if audio is None else str(audio))
    with media.write(
        path, images[0].size, None, options, media.WritePlan(time_base=Fraction(1, RATE))
    ) as out:
        for frame in images:
            out.write(frame.pixels, frame.pts, 1)
    return path


def read_images(path: Path) -> list[Image]:
    with media.read(path) as frames:
        return [np.asarray(frame.pixels, np.uint8) for frame in frames]
