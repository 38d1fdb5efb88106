"""Variational bound of learned variances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.diffusion import process
from thcli.diffusion.likelihood import discretized_log_likelihood, gaussian_kl, variational_bound
from thcli.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule(1000)


def normal(seed: int) -> torch.Tensor:
    return torch.randn(
        2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@given(
    mean=st.floats(-2, 2), log=st.floats(-3, 3), other=st.floats(-2, 2), other_log=st.floats(-3, 3)
)
@settings(deadline=None)
def test_kl_equals_that_of_torch(mean: float, log: float, other: float, other_log: float) -> None:
    kl = gaussian_kl(*(torch.tensor(v, dtype=torch.float64) for v in (mean, log, other, other_log)))
    first, second = (
        torch.distributions.Normal(m, math.exp(v / 2)) for m, v in ((mean, log), (other, other_log))
    )
    assert float(kl) == pytest.approx(
        float(torch.distributions.kl_divergence(first, second)), rel=1e-4, abs=1e-6
    )


@given(mean=st.floats(-1.2, 1.2), log_scale=st.floats(-4, 0))
@settings(deadline=None)
def test_probabilities_of_all_levels_sum_to_one(mean: float, log_scale: float) -> None:
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    probabilities = discretized_log_likelihood(
        levels, torch.full_like(levels, mean), torch.full_like(levels, log_scale)
    ).exp()
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("index", [1, 400, 999])
def test_the_bound_of_a_perfect_network_is_zero(index: int) -> None:
    """True noise and the posterior's variance give a divergence of 0; more variance adds to it."""
    x0, eps, indices = normal(0).clamp(-1, 1), normal(1), torch.tensor([index, index])
    x = process.diffuse(SCHEDULE, x0, indices, eps)
    perfect = variational_bound(SCHEDULE, x0, x, indices, eps, -torch.ones_like(eps))
    assert float(perfect.abs().max()) < 1e-6
    assert float(
        variational_bound(SCHEDULE, x0, x, indices, eps, torch.zeros_like(eps)).min()
    ) > float(perfect.max())


def test_only_the_variance_gets_gradients() -> None:
    x0, eps, variance_output, index = (
        normal(0).clamp(-1, 1),
        normal(1).requires_grad_(),
        normal(2).requires_grad_(),
        torch.tensor([0, 500]),
    )
    x = process.diffuse(SCHEDULE, x0, index, normal(3))
    loss = variational_bound(SCHEDULE, x0, x, index, eps, variance_output).sum()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert (
        eps.grad is None
        and variance_output.grad is not None
        and bool((variance_output.grad.flatten(1).abs().sum(1) > 0).all())
    )
