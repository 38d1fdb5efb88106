"""Limits of turns, and what a driver that is seen from the side tells of its expression."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.motion import limits


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0.05, 2))
def test_limits_are_odd_monotone_bounded_and_exact_when_small(
    a: float, b: float, limit: float
) -> None:
    low, high = sorted((a, b))
    assert limits.soft_limit(low, limit) <= limits.soft_limit(high, limit)
    assert limits.soft_limit(-a, limit) == -limits.soft_limit(a, limit)
    assert abs(limits.soft_limit(a, limit)) <= limit
    assert (
        abs(limits.soft_limit(high, limit) - limits.soft_limit(low, limit)) <= high - low + 1e-12
    )  # the slope is at most 1
    if abs(a) <= limit / 2:
        assert limits.soft_limit(a, limit) == a


@given(st.floats(-1.2, 1.2))
def test_yaw_limits_of_a_turned_source(yaw: float) -> None:
    left, right = limits.yaw_limits(yaw)
    assert min(left, right) >= limits.MIN_YAW_AWAY and max(left, right) <= limits.MAX_YAW_AWAY
    near = limits.yaw_limits(yaw + 1e-6)
    assert abs(near[0] - left) < 1e-3 or abs(yaw) < 1e-5
    if 0.02 < yaw < np.radians(30):
        assert left < limits.MAX_YAW_AWAY
    away = left if yaw < 0 else right
    assert abs(yaw) + away <= max(limits.MAX_TOTAL_YAW, abs(yaw) + limits.MIN_YAW_AWAY) + 1e-9


@given(st.floats(-0.6, 0.6), st.floats(-1.5, 1.5))
def test_a_raised_or_lowered_head_goes_on_by_what_is_left(own: float, change: float) -> None:
    pitch = float(limits.limit_rotation(np.array([change, 0, 0]), np.array([own, 0, 0]))[0])
    assert abs(pitch) <= min(abs(change), limits.MAX_PITCH)
    most = max(limits.MAX_TOTAL_PITCH, abs(own) + limits.MIN_PITCH_AWAY)
    assert abs(own + pitch) <= most + 1e-9
    if own * change <= 0:
        assert pitch == limits.soft_limit(change, limits.MAX_PITCH)


def test_a_turned_source_turns_back_to_the_front_but_a_profile_does_not() -> None:
    back = np.radians([0.0, 25.0, 0.0])
    turned, side, profile = (
        limits.limit_rotation(back, np.radians([0, yaw, 0]))[1] for yaw in (-35, -45, -62)
    )
    assert np.degrees(turned) > 20 and np.degrees(side) <= 10 and np.degrees(profile) <= 6


@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9), st.floats(-0.6, 0.6))
def test_a_head_turns_little_further_away_than_its_driver(
    change: float, driver: float, own: float
) -> None:
    rotvec = np.array([[0.1, change, -0.2]])
    limited = limits.limit_overturn(rotvec, own, np.array([driver]))
    assert np.array_equal(limited[:, [0, 2]], rotvec[:, [0, 2]])
    before, after = abs(own + change), abs(own + float(limited[0, 1]))
    most = max(abs(driver), abs(own) + limits.OWN_TURN * abs(change))
    assert after <= max(most, 0) + limits.MAX_OVERTURN + 1e-9 and after <= before + 1e-9
    if before <= most:
        assert limited[0, 1] == change


@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_a_driver_that_turns_away_from_its_reference_tells_less_of_its_expression(
    yaw: float, reference: float
) -> None:
    share, further = limits.expression_share(np.array([yaw, 1.1 * yaw]), reference)
    assert limits.SIDE_SHARE <= further <= share <= 1
    if abs(yaw) <= max(abs(reference), limits.SIDE_VIEW[0]):
        assert share == 1
    assert limits.expression_share(np.array([1.2]), 0.0)[0] == pytest.approx(limits.SIDE_SHARE)
