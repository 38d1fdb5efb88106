"""Noise schedules: derived tables and selection of steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import UsageError
from thcli.diffusion.schedule import (
    Schedule,
    cosine_schedule,
    even_steps,
    linear_schedule,
    steps_by_snr,
    strided_steps,
)

SCHEDULES = {
    "linear": linear_schedule(1000),
    "cosine": cosine_schedule(1000),
    "fadm": linear_schedule(100),
    "published": cosine_schedule(1000, dtype="float32"),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_alpha_bar_falls(name: str) -> None:
    schedule = SCHEDULES[name]
    assert 0.99 < schedule.alpha_bar[0] < 1 and schedule.alpha_bar[-1] < 0.01
    assert (np.diff(schedule.alpha_bar) < 0).all() and (np.diff(schedule.log_snr) < 0).all()
    assert schedule.alpha_bar.dtype == schedule.betas.dtype


@given(kept=st.sets(st.integers(0, 999), min_size=2, max_size=40))
@settings(deadline=None, max_examples=25)
def test_respaced_steps_keep_their_abar(kept: set[int]) -> None:
    """alpha_bar is equal to rounding and the time steps are those of the full schedule."""
    full, steps = SCHEDULES["linear"], sorted(kept)
    respaced = full.respace(steps)
    np.testing.assert_allclose(respaced.alpha_bar, full.alpha_bar[steps], rtol=1e-9)
    assert respaced.timesteps.tolist() == steps


@given(count=st.integers(2, 1000))
@settings(deadline=None, max_examples=25)
def test_even_steps_include_both_ends(count: int) -> None:
    steps = even_steps(count, 1000)
    assert (
        len(set(steps)) == count and steps[0] == 0 and steps[-1] == 999 and steps == sorted(steps)
    )


def test_strides_are_those_of_ddim() -> None:
    """Compare with the examples of DVA."""
    assert strided_steps(20, 1000) == list(range(0, 1000, 50)) and strided_steps(5, 1000) == [
        0,
        200,
        400,
        600,
        800,
    ]
    assert strided_steps(3, 1000) == [0, 334, 668]
    with pytest.raises(UsageError, match="No stride"):
        strided_steps(334 + 200, 1000)


@pytest.mark.parametrize("count", [0, 1, 1001])
def test_step_counts_out_of_range_are_rejected(count: int) -> None:
    with pytest.raises(UsageError, match=r"within 2\.\.1000"):
        even_steps(count, 1000)


def test_schedules_that_underflow_are_rejected() -> None:
    """In float32 the published cosine schedule rounds to 0 at 5 steps; the reference gives NaN."""
    with pytest.raises(UsageError, match="too few"):
        SCHEDULES["published"].respace(even_steps(5, 1000))
    assert np.isfinite(SCHEDULES["published"].respace(even_steps(50, 1000)).x0_from_x).all()
    with pytest.raises(UsageError, match="more than 20"):
        linear_schedule(20)


@given(count=st.integers(3, 40))
@settings(deadline=None, max_examples=25)
def test_steps_by_snr_are_evenly_spaced(count: int) -> None:
    full = SCHEDULES["cosine"]
    respaced = full.respace(steps_by_snr(full, count, 20.0, 0.03))
    assert len(respaced) == count
    gaps = np.diff(-respaced.log_snr)
    assert respaced.log_snr[-1] == pytest.approx(-np.log(20), abs=0.2)
    assert gaps.min() > 0.5 * gaps.mean() and gaps.max() < 1.6 * gaps.mean()


def test_neighbours_of_alpha_bar() -> None:
    """Before the first step is the image (1), after the last one pure noise (0)."""
    schedule = Schedule(np.array([0.1, 0.2, 0.5]), np.arange(3))
    np.testing.assert_allclose(schedule.alpha_bar, [0.9, 0.72, 0.36])
    np.testing.assert_allclose(schedule.alpha_bar_prev, [1, 0.9, 0.72])
    np.testing.assert_allclose(schedule.alpha_bar_next, [0.72, 0.36, 0])


def test_tables_are_the_posterior_of_two_gaussians() -> None:
    """Compare with the product of q(x_t | x_{t-1}) and q(x_{t-1} | x_0), computed by hand."""
    schedule = Schedule(np.array([0.1, 0.3]), np.arange(2))
    alpha_bar_prev, beta = 0.9, 0.3
    precision = (1 - beta) / beta + 1 / (1 - alpha_bar_prev)
    assert schedule.posterior_variance[1] == pytest.approx(1 / precision)
    assert schedule.mean_from_x[1] == pytest.approx(np.sqrt(1 - beta) / beta / precision)
    assert schedule.mean_from_x0[1] == pytest.approx(
        np.sqrt(alpha_bar_prev) / (1 - alpha_bar_prev) / precision
    )
    assert schedule.log_posterior_variance[0] == schedule.log_posterior_variance[1]
