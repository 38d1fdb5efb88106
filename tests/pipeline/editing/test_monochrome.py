"""Tests of painted monochrome footage."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.events import silent
from thcli.core.options import EditOptions, RunOptions
from thcli.core.types import Image
from thcli.pipeline.editing.factory import plan_steps
from thcli.pipeline.editing.monochrome import keep_monochrome
from thcli.pipeline.editing.request import parse_request
from thcli.pipeline.editing.steps import PainterStep


def toned(red: float, blue: float) -> Image:
    """Return a picture whose colour depends on its brightness alone."""
    grey = np.random.default_rng(3).integers(20, 220, (96, 96)).astype(np.float32)
    return np.clip(np.stack([grey * red, grey, grey * blue], -1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("red", "blue"), [(1.0, 1.0), (1.1, 0.8)], ids=["grey", "sepia"])
def test_painted_colours_take_the_tones_of_the_picture(red: float, blue: float) -> None:
    before = toned(red, blue)
    after = before.copy()
    after[30:60, 30:60] = (90, 30, 40)
    found = keep_monochrome(before, after)
    part = found[30:60, 30:60].astype(int)
    luma = part @ np.array([0.299, 0.587, 0.114])
    assert np.abs(luma - (90 * 0.299 + 30 * 0.587 + 40 * 0.114)).max() < 2
    assert np.abs(part[..., 0] - red * part[..., 1]).max() <= 4
    assert np.abs(part[..., 2] - blue * part[..., 1]).max() <= 4
    outside = np.ones((96, 96), bool)
    outside[30:60, 30:60] = False
    assert (found[outside] == before[outside]).all()


def test_a_picture_in_colour_is_painted_as_it_was() -> None:
    before = np.random.default_rng(5).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    after = before.copy()
    after[30:60, 30:60] = (200, 30, 40)
    assert keep_monochrome(before, after) is after


@pytest.mark.parametrize(
    ("attribute", "wide", "coloured"),
    [("lipstick", False, False), ("lipstick=pink", False, True), ("pale=-1", True, False)],
)
def test_a_colour_that_is_asked_for_stays_and_a_tan_reaches_the_neck(
    attribute: str, wide: bool, coloured: bool
) -> None:
    options = EditOptions(attr=[attribute], run=RunOptions(threads=1))
    (step,) = plan_steps(parse_request(options), options, silent)
    assert isinstance(step, PainterStep) and (step.wide, step.coloured) == (wide, coloured)
