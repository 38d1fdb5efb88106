"""Persons over another background."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from thcli.core.batches import BatchRunner
from thcli.core.clock import StageClock
from thcli.core.options import RunOptions
from thcli.core.types import Frame, Image, Motion
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.render.background import lay_person
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, SourceFace, render_frames

GREEN = np.broadcast_to(np.array([0, 255, 0], np.uint8), (1, 3, 3))


class CuttingEngine:
    """Engine whose images are a source's colours and alpha."""

    parallel = True

    def render(self, source: Any, motion: Motion, frames: Sequence[Frame] | None) -> list[Image]:
        """Return the source for each frame."""
        return [source] * len(motion)


def person_of(levels: Sequence[int], alphas: Sequence[int]) -> Image:
    """Return one row of grey pixels with premultiplied colours."""
    grey = np.round(np.array(levels) * np.array(alphas) / 255).astype(np.uint8)
    return np.stack([grey, grey, grey, np.array(alphas, np.uint8)], -1)[None]


def test_a_person_lies_over_the_background_by_its_alpha() -> None:
    person = person_of([100, 100, 100], [0, 128, 255])
    laid = lay_person(person[..., :3], person[..., 3], GREEN)
    np.testing.assert_allclose(laid[0], [(0, 255, 0), (50, 177, 50), (100, 100, 100)], atol=1)


def test_nothing_beside_a_person_is_added() -> None:
    refined = np.full((1, 3, 3), 80, np.uint8)
    laid = lay_person(refined, np.array([[0, 20, 255]], np.uint8), GREEN)
    np.testing.assert_array_equal(laid[0, 0], (0, 255, 0))
    assert laid[0, 1, 0] == 20
    np.testing.assert_array_equal(laid[0, 2], (80, 80, 80))


@pytest.mark.parametrize("several", [False, True])
def test_persons_of_several_faces_are_blended_with_their_alpha(several: bool) -> None:
    first, second = person_of([100, 100, 0], [255, 255, 0]), person_of([0, 0, 60], [0, 0, 255])
    motion = MotionBuffer(Motion("mesh", np.arange(3), Fraction(1, 25), np.ones(3, bool), {}, {}))
    rows = np.array([[1, 1, 1]], np.float32), np.array([[0, 0, 1]], np.float32)
    sources = [SourceFace(first, motion, share=rows[0] if several else None)]
    if several:
        sources.append(SourceFace(second, motion, share=rows[1]))
    plan = RenderPlan(CuttingEngine(), sources, np.full((1, 3, 3), 9, np.uint8), BatchRunner())
    rendered = list(render_frames(plan, DrivingFrames(), 0, RunOptions(), StageClock()))
    assert len(rendered) == 3
    for frame in rendered:
        assert frame.alpha is not None
        assert frame.image.shape == (1, 3, 3)
        np.testing.assert_array_equal(frame.alpha[0], (255, 255, 255 if several else 0))
        np.testing.assert_array_equal(frame.image[0, :, 0], (100, 100, 60 if several else 0))


def test_persons_who_are_rendered_alone_are_laid_over_the_plate() -> None:
    """And over those before them; one who is not is blended by its share."""
    first, second = person_of([100, 50, 0], [255, 128, 0]), person_of([0, 0, 60], [0, 0, 255])
    whole = np.full((1, 3, 3), 30, np.uint8)
    motion = MotionBuffer(Motion("mesh", np.arange(3), Fraction(1, 25), np.ones(3, bool), {}, {}))
    row = np.array([[0, 0.5, 1]], np.float32)
    plate = np.full((1, 3, 3), 200, np.uint8)
    for other, expected in ((second, (100, 125, 60)), (whole, (100, 78, 30))):
        share = row if other is whole else None
        sources = [SourceFace(first, motion), SourceFace(other, motion, share=share)]
        plan = RenderPlan(CuttingEngine(), sources, plate, BatchRunner(), plate=plate)
        for frame in render_frames(plan, DrivingFrames(), 0, RunOptions(), StageClock()):
            assert frame.alpha is None
            np.testing.assert_allclose(frame.image[0, :, 0], expected, atol=1)
