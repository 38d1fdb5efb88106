"""Jumps of a camera or torso that the head does not share."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Array
from thcli.motion.picture import jumps

COUNT = 60
SECONDS = np.arange(COUNT) / 25
ONE_SHOT = np.zeros(COUNT, np.intp)
AWAY = np.array([-0.04, 0.01, 0.05, -0.02])


def step_at(frame: int, row: Array = AWAY) -> Array:
    out = np.zeros((COUNT, 4))
    out[frame:] = row
    return out


def swaying_head() -> Array:
    out = np.zeros((COUNT, 4))
    out[:, 2:] = 0.05 * np.stack([np.sin(SECONDS), np.cos(SECONDS)], -1)
    return out


def longest_step(rows: Array) -> float:
    return float(np.hypot(*np.diff(rows, axis=0)[:, 2:].T).max())


def pan(speed: float) -> Array:
    rows = np.zeros((COUNT, 4))
    rows[:, 2] = speed * np.arange(COUNT)
    return rows


def test_a_camera_that_starts_without_the_head_rests() -> None:
    rested = jumps.without_false_starts(step_at(27), swaying_head(), ONE_SHOT)
    assert not rested.any()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_camera_that_starts_with_the_head_is_kept(frames: int) -> None:
    camera = step_at(27) * np.clip((np.arange(COUNT) - 26) / frames, 0, 1)[:, None]
    head = swaying_head() + camera
    assert np.array_equal(jumps.without_false_starts(camera, head, ONE_SHOT), camera)


def test_a_camera_that_zooms_in_on_the_head_is_kept() -> None:
    camera = np.zeros((COUNT, 4))
    camera[20:, 0] = np.linspace(0.03, 0.6, COUNT - 20)
    assert np.array_equal(jumps.without_false_starts(camera, camera, ONE_SHOT), camera)


def test_a_camera_that_starts_while_no_head_is_seen_is_kept() -> None:
    head = np.full((COUNT, 4), np.nan)
    assert np.array_equal(jumps.without_false_starts(step_at(27), head, ONE_SHOT), step_at(27))


def test_a_camera_that_moves_slowly_at_first_is_kept() -> None:
    camera = pan(0.004)
    camera[:10] = 0
    camera[10:] -= camera[10] - 0.004
    still = np.zeros((COUNT, 4))
    assert np.array_equal(jumps.without_false_starts(camera, still, ONE_SHOT), camera)


def test_a_camera_that_rests_again_may_start_again() -> None:
    camera, head = step_at(10), np.zeros((COUNT, 4))
    camera[20:30] = 0
    camera[30:, 2] = np.linspace(0.004, 0.124, 30)
    head[30:] = camera[30:]
    kept = jumps.without_false_starts(camera, head, ONE_SHOT)
    assert not kept[:30].any()
    assert np.array_equal(kept[30:], camera[30:])


def test_a_jump_comes_gradually() -> None:
    eased = jumps.ease_jumps(step_at(20), np.zeros((COUNT, 4)), SECONDS, ONE_SHOT)
    assert longest_step(eased) < 0.15 * longest_step(step_at(20))
    assert not eased[:21].any()
    assert np.allclose(eased[33:], step_at(20)[33:])


def test_a_jump_that_the_head_shares_is_kept() -> None:
    motion = step_at(20)
    assert np.array_equal(jumps.ease_jumps(motion, motion, SECONDS, ONE_SHOT), motion)


@pytest.mark.parametrize("length", [1, 2])
def test_a_jump_that_is_taken_back_is_left_out(length: int) -> None:
    motion = pan(0.001)
    spoilt = motion.copy()
    spoilt[30 : 30 + length] += AWAY
    eased = jumps.ease_jumps(spoilt, np.zeros((COUNT, 4)), SECONDS, ONE_SHOT)
    assert np.abs(eased - motion).max() < 0.003


@pytest.mark.parametrize("speed", [0.001, 0.02])
def test_a_steady_pan_is_kept_whatever_the_head_does(speed: float) -> None:
    motion = pan(speed)
    assert np.allclose(
        jumps.ease_jumps(motion, np.zeros((COUNT, 4)), SECONDS, ONE_SHOT), motion, atol=1e-12
    )


def test_shots_are_told_apart() -> None:
    motion, shot = step_at(30), np.repeat([0, 1], 30)
    still = np.zeros((COUNT, 4))
    assert np.array_equal(jumps.ease_jumps(motion, still, SECONDS, shot), motion)
    assert np.array_equal(jumps.without_false_starts(motion, still, shot), motion)


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_short_clips_have_no_jumps(count: int) -> None:
    motion = np.zeros((count, 4))
    arguments = np.zeros((count, 4)), SECONDS[:count], ONE_SHOT[:count]
    assert jumps.ease_jumps(motion, *arguments).shape == (count, 4)
    assert jumps.without_false_starts(motion, arguments[0], arguments[2]).shape == (count, 4)


def test_jumps_while_no_head_is_seen_are_kept() -> None:
    head, motion = np.full((COUNT, 4), np.nan), step_at(20)
    motion[40] += AWAY
    assert np.array_equal(jumps.ease_jumps(motion, head, SECONDS, ONE_SHOT), motion)


def test_the_camera_of_another_shot_is_left_when_one_starts_wrongly() -> None:
    camera, shot = step_at(10), np.repeat([0, 1], 30)
    kept = jumps.without_false_starts(camera, np.zeros((COUNT, 4)), shot)
    assert not kept[:30].any()
    assert np.array_equal(kept[30:], camera[30:])
