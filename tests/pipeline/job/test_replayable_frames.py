"""Rendered frames are rendered once as far as their memory goes, and alike each time."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from thcli.pipeline.job import replayable_frames
from thcli.pipeline.job.replayable_frames import RenderedFrame, replayable_render

IMAGE_BYTES = 4 * 4 * 3


def test_the_first_frames_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayable_frames, "MEMORY", 2 * IMAGE_BYTES)
    rendered: list[int] = []

    def render_from(start: int) -> Iterator[RenderedFrame]:
        for number in range(start, 4):
            rendered.append(number)
            image = np.full((4, 4, 3), number, np.uint8)
            yield RenderedFrame(image, number, Fraction(1, 25), 1, True, None)

    footage = replayable_render("a render", 4, render_from)
    for start in (0, 0, 1, 3):
        seen = [(frame.index, int(frame.pixels[0, 0, 0])) for frame in footage.frames(start)]
        assert seen == [(number, number) for number in range(start, 4)]
    assert rendered == [0, 1, 2, 3, 2, 3, 2, 3, 3]
