"""Rendered frames are rendered once as far as their memory goes, and alike each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest

from thcli.pipeline.job import replayable_frames
from thcli.pipeline.job.replayable_frames import RenderedFrame, replayable_render

IMAGE_BYTES = 4 * 4 * 3


def render_four(rendered: list[int], calls: list[int]) -> Callable[[int], Iterator[RenderedFrame]]:
    """Return a renderer of four frames that notes the frames and its calls."""

    def render_from(start: int) -> Iterator[RenderedFrame]:
        calls.append(start)
        for number in range(start, 4):
            rendered.append(number)
            image = np.full((4, 4, 3), number, np.uint8)
            yield RenderedFrame(image, number, Fraction(1, 25), 1, True, None)

    return render_from


def test_the_first_frames_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replayable_frames, "MEMORY", 2 * IMAGE_BYTES)
    rendered: list[int] = []
    footage = replayable_render("a render", 4, render_four(rendered, []))
    for start in (0, 0, 1, 3):
        seen = [(frame.index, int(frame.pixels[0, 0, 0])) for frame in footage.frames(start)]
        assert seen == [(number, number) for number in range(start, 4)]
    assert rendered == [0, 1, 2, 3, 2, 3, 2, 3, 3]


def test_nothing_is_rendered_again_that_was_kept() -> None:
    """The renderer is not even asked: it may compute from the start to skip frames."""
    calls: list[int] = []
    footage = replayable_render("a render", 4, render_four([], calls))
    for start in (0, 0, 3, 4):
        assert [frame.index for frame in footage.frames(start)] == list(range(start, 4))
    assert calls == [0]


def test_two_passes_at_once_see_every_frame() -> None:
    """One pass keeps frames while the other one yields those that were kept before."""
    footage = replayable_render("a render", 4, render_four([], []))
    first = footage.frames()
    seen = [next(first).index, next(first).index]
    second = footage.frames()
    others = [next(second).index, next(second).index]
    assert seen + [frame.index for frame in first] == [0, 1, 2, 3]
    assert others + [frame.index for frame in second] == [0, 1, 2, 3]
