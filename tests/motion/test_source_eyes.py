"""Eyes of a source that are shut, lowered, winking or misread, and how far they open."""

from __future__ import annotations

import numpy as np
import pytest

from tests.motion.retargeting import facing, opening_rules, with_eyes
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array
from thcli.motion import canonical, openings
from thcli.motion.canonical import PosedShape, neutral
from thcli.motion.sliders import load_slider_shapes


def test_shut_eyes_that_are_read_differently_open_alike() -> None:
    """One eye alone opened, and the face winked; an eye that does wink is judged by itself."""
    shut = openings.judge_eyes(facing(with_eyes(0.059, 0.081)))
    assert shut == pytest.approx([0.07, 0.07], abs=0.003)
    wink = with_eyes(0.03, 0.2)
    assert np.array_equal(openings.judge_eyes(facing(wink)), canonical.eye_openings(wink))


@pytest.mark.parametrize(("far", "shuts"), [(0.13, True), (0.2, False)])
def test_the_far_eye_of_a_turned_source_is_as_shut_as_the_near_one(far: float, shuts: bool) -> None:
    """Of a laughing face that was turned, lashes opened to a dark slit; one that winks winks."""
    shape, turn = with_eyes(far, 0.04), matrix_from_rotvec(np.radians([0.0, 30.0, 0.0]))
    judged = openings.judge_eyes(facing(shape, turn))
    assert judged[1] == pytest.approx(canonical.eye_openings(shape)[1], abs=0.005)
    assert (judged[0] < 0.06) == shuts
    opened = opened_eyes(facing(shape, turn), 0.22)
    if shuts:
        assert opened[0] == pytest.approx(opened[1], abs=0.01) and opened[0] > 0.18


def opened_eyes(source: PosedShape, driver: float, usual: float = 0.22) -> Array:
    """Return the openings (2,) of a source's eyes under those of a driver, open by `usual`."""
    opening, added = opening_rules(source, usual).eye_openings(np.full((1, 2), driver), np.ones(1))
    of_neutral = canonical.eye_openings(neutral()).mean()
    return np.asarray((opening * canonical.eye_openings(source.shape) + added * of_neutral)[0])


@pytest.mark.parametrize("lowered", [0.07, 0.085, 0.0999])
def test_lowered_lids_open_and_shut_with_the_drivers(lowered: float) -> None:
    """A source that looks down stayed so; its own eyes are hardly seen."""
    source = facing(with_eyes(lowered, lowered))
    assert (opened_eyes(source, 0.22) > 0.2).all()
    shut = opened_eyes(source, 0.05)
    assert (shut >= -1e-9).all() and (shut <= 0.05 + 1e-9).all()


def test_eyes_that_a_laugh_shuts_open_less_than_sleeping_ones() -> None:
    shut = with_eyes(0.04, 0.04)
    laughing = shut + 1.5 * load_slider_shapes().smile
    calm, merry = opened_eyes(facing(shut), 0.22), opened_eyes(facing(laughing), 0.22)
    assert (merry < 0.8 * calm).all() and (merry > 0.1).all()


@pytest.mark.parametrize(("pitch", "share"), [(-25.0, 0.8), (5.0, 0.8), (25.0, 1.0)])
def test_eyes_of_a_lowered_head_look_down_and_open_whole(pitch: float, share: float) -> None:
    """Of a woman who smiled at her hands, half of the lids stayed shut under wide eyes."""
    head = matrix_from_rotvec(np.radians([pitch, 0.0, 0.0]))
    smile = 1.5 * load_slider_shapes().smile
    calm, merry = (
        opened_eyes(facing(with_eyes(0.07, 0.07) + change, head), 0.22) for change in (0, smile)
    )
    assert ((merry / calm > 0.9) == (share == 1)).all() and (merry / calm < share + 0.05).all()


def test_a_shut_eye_beside_an_open_one_opens_as_far_as_that() -> None:
    """The shut eye of a carved face, which is narrow, opened to the gap of an ordinary one."""
    opened = opened_eyes(facing(with_eyes(0.03, 0.15)), 0.2, usual=0.2)
    assert opened == pytest.approx([0.15, 0.15], abs=0.02)
