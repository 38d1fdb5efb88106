"""The bound of learned variances."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.diffusion import process
from thcli.diffusion.likelihood import between, bound, likelihood
from thcli.diffusion.schedule import cosine

SCHEDULE = cosine(1000)


def normal(seed: int) -> torch.Tensor:
    return torch.randn(
        2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@given(
    mean=st.floats(-2, 2), log=st.floats(-3, 3), other=st.floats(-2, 2), other_log=st.floats(-3, 3)
)
@settings(deadline=None)
def test_divergence_is_torchs(mean: float, log: float, other: float, other_log: float) -> None:
    ours = between(*(torch.tensor(v, dtype=torch.float64) for v in (mean, log, other, other_log)))
    first, second = (
        torch.distributions.Normal(m, math.exp(v / 2)) for m, v in ((mean, log), (other, other_log))
    )
    assert float(ours) == pytest.approx(
        float(torch.distributions.kl_divergence(first, second)), rel=1e-4, abs=1e-6
    )


@given(mean=st.floats(-1.2, 1.2), log_scale=st.floats(-4, 0))
@settings(deadline=None)
def test_all_levels_together_are_certain(mean: float, log_scale: float) -> None:
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    shares = likelihood(
        levels, torch.full_like(levels, mean), torch.full_like(levels, log_scale)
    ).exp()
    assert float(shares.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("index", [1, 400, 999])
def test_a_perfect_network_is_at_the_bound(index: int) -> None:
    """True noise and the posterior's own variance: no distance; more variance: more."""
    x0, eps, at = normal(0).clamp(-1, 1), normal(1), torch.tensor([index, index])
    x = process.diffuse(SCHEDULE, x0, at, eps)
    perfect = bound(SCHEDULE, x0, x, at, eps, -torch.ones_like(eps))
    assert float(perfect.abs().max()) < 1e-6
    assert float(bound(SCHEDULE, x0, x, at, eps, torch.zeros_like(eps)).min()) > float(
        perfect.max()
    )


def test_only_the_variance_learns() -> None:
    x0, eps, share, at = (
        normal(0).clamp(-1, 1),
        normal(1).requires_grad_(),
        normal(2).requires_grad_(),
        torch.tensor([0, 500]),
    )
    x = process.diffuse(SCHEDULE, x0, at, normal(3))
    bound(SCHEDULE, x0, x, at, eps, share).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    assert (
        eps.grad is None
        and share.grad is not None
        and bool((share.grad.flatten(1).abs().sum(1) > 0).all())
    )
