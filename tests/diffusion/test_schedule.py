"""Schedules: what follows from betas, and which steps are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import UsageError
from thcli.diffusion.schedule import Schedule, by_snr, cosine, evenly, linear, strided

SCHEDULES = {
    "linear": linear(1000),
    "cosine": cosine(1000),
    "fadm": linear(100),
    "published": cosine(1000, kind="float32"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_less_and_less_of_the_picture_is_left(name: str) -> None:
    schedule = SCHEDULES[name]
    assert 0.99 < schedule.abar[0] < 1 and schedule.abar[-1] < 0.01
    assert (np.diff(schedule.abar) < 0).all() and (np.diff(schedule.log_snr) < 0).all()
    assert schedule.abar.dtype == schedule.betas.dtype


@given(kept=st.sets(st.integers(0, 999), min_size=2, max_size=40))
@settings(deadline=None, max_examples=25)
def test_respaced_steps_keep_their_abar(kept: set[int]) -> None:
    """To rounding; the network is told the old step."""
    whole, chosen = SCHEDULES["linear"], sorted(kept)
    few = whole.respaced(chosen)
    np.testing.assert_allclose(few.abar, whole.abar[chosen], rtol=1e-9)
    assert few.timesteps.tolist() == chosen


@given(count=st.integers(2, 1000))
@settings(deadline=None, max_examples=25)
def test_even_steps_hold_both_ends(count: int) -> None:
    kept = evenly(count, 1000)
    assert len(set(kept)) == count and kept[0] == 0 and kept[-1] == 999 and kept == sorted(kept)


def test_strides_are_those_of_ddim() -> None:
    """DVA's own examples."""
    assert strided(20, 1000) == list(range(0, 1000, 50)) and strided(5, 1000) == [
        0,
        200,
        400,
        600,
        800,
    ]
    assert strided(3, 1000) == [0, 334, 668]
    with pytest.raises(UsageError, match="No stride"):
        strided(334 + 200, 1000)


@pytest.mark.parametrize("count", [0, 1, 1001])
def test_impossible_numbers_of_steps_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match=r"within 2\.\.1000"):
        evenly(count, 1000)


def test_steps_that_would_give_no_number_are_refused() -> None:
    """In float32 the published cosine schedule has nothing left at 5 steps: the reference then paints NaN."""
    with pytest.raises(UsageError, match="too few"):
        SCHEDULES["published"].respaced(evenly(5, 1000))
    assert np.isfinite(SCHEDULES["published"].respaced(evenly(50, 1000)).x0_from_x).all()
    with pytest.raises(UsageError, match="more than 20"):
        linear(20)


@given(count=st.integers(3, 40))
@settings(deadline=None, max_examples=25)
def test_steps_by_snr_lie_evenly(count: int) -> None:
    whole = SCHEDULES["cosine"]
    few = whole.respaced(by_snr(whole, count, 20.0, 0.03))
    assert len(few) == count
    gaps = np.diff(-few.log_snr)
    assert few.log_snr[-1] == pytest.approx(-np.log(20), abs=0.2)
    assert gaps.min() > 0.5 * gaps.mean() and gaps.max() < 1.6 * gaps.mean()


def test_tables_are_the_posterior_of_two_gaussians() -> None:
    """Against the product of q(x_t | x_{t-1}) and q(x_{t-1} | x_0), by hand."""
    schedule = Schedule(np.array([0.1, 0.3]), np.arange(2))
    before, beta = 0.9, 0.3
    precision = (1 - beta) / beta + 1 / (1 - before)
    assert schedule.posterior_variance[1] == pytest.approx(1 / precision)
    assert schedule.mean_from_x[1] == pytest.approx(np.sqrt(1 - beta) / beta / precision)
    assert schedule.mean_from_x0[1] == pytest.approx(np.sqrt(before) / (1 - before) / precision)
    assert schedule.log_posterior_variance[0] == schedule.log_posterior_variance[1]
