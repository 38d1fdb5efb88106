"""Idle head motion: reproducible at any time, smaller in silence, with gaze on the viewer."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Array
from thcli.motion.idle_motion import FADE_IN, idle_head_motion, still_head_motion

SECONDS = np.arange(0, 120, 0.04)


def speech(seconds: Array) -> Array:
    return np.ones(len(seconds))


def silence(seconds: Array) -> Array:
    return np.zeros(len(seconds))


@pytest.mark.parametrize("part", [slice(0, 1), slice(700, 760), slice(5, 3000, 7)])
def test_motion_depends_on_seed_and_time_alone(part: slice) -> None:
    whole = idle_head_motion(SECONDS, 3, speech)
    some, other = idle_head_motion(SECONDS[part], 3, speech), idle_head_motion(SECONDS, 4, speech)
    for name in ("rotation", "zoom", "shift", "brow", "gaze"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[part])
        assert not np.allclose(getattr(other, name), getattr(whole, name))


def test_motion_begins_at_rest_and_is_smaller_in_silence() -> None:
    speaking, silent = (idle_head_motion(SECONDS, 3, activity) for activity in (speech, silence))
    assert not speaking.rotation[0].any() and not speaking.gaze[0].any() and speaking.zoom[0] == 1
    later = SECONDS > FADE_IN
    assert silent.shift[later].std() == pytest.approx(0.35 * speaking.shift[later].std(), rel=1e-6)


def test_irises_move_against_the_rotation_of_the_head() -> None:
    """A nose to the image's left (+y) or down (+x) moves the irises to the right or up."""
    motion = idle_head_motion(SECONDS, 3, speech)
    along = np.corrcoef(motion.rotation[:, 1], motion.gaze[:, 0])[0, 1]
    across = np.corrcoef(motion.rotation[:, 0], motion.gaze[:, 1])[0, 1]
    assert along > 0.3 and across < -0.3


def test_a_still_head_does_not_move() -> None:
    motion = still_head_motion(SECONDS)
    assert not motion.rotation.any() and not motion.shift.any() and not motion.gaze.any()
    assert (motion.zoom == 1).all() and not motion.brow.any()
