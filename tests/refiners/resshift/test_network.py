"""Residual shifting: its schedule, its walk, and the refiner over it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from thcli.core.errors import NotFiniteError, UsageError
from thcli.core.options import RefineOptions, RunOptions
from thcli.refiners.resshift.network import (
    NOISE,
    SCALE,
    STEPS,
    Conditions,
    ShiftNetwork,
    advance,
    chosen_steps,
    first_state,
    shifts,
    walk,
)
from thcli.refiners.resshift.refiner import SIDE, ShiftRefiner
from thcli.refiners.shared.residual import ResidualInput, ResidualRefiner

RUN = RunOptions(device="cpu", threads=1, seed=3)


class Oracle(nn.Module):
    """Network that knows the true difference."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__()
        self.clean = clean
        self.states: list[Tensor] = []

    def forward(self, x: Tensor, step: Tensor, conditions: Tensor) -> Tensor:
        self.states.append(x)
        return self.clean


def view(value: float = 0.5) -> ResidualInput:
    image = np.full((SIDE, SIDE, 3), value, np.float32)
    image[::7] = 0
    return ResidualInput(image, image, image, np.ones((SIDE, SIDE), np.float32))


def test_the_schedule_rises_to_the_crop_with_detail() -> None:
    eta = shifts()
    assert len(eta) == STEPS and bool((eta.diff() > 0).all())
    assert 0 < float(eta[0]) < 0.02 and 0.99 < float(eta[-1]) < 1


@pytest.mark.parametrize("count", [1, 2, 3, 8, 25, STEPS - 1, STEPS, 4 * STEPS])
def test_steps_go_down_evenly_from_the_last(count: int) -> None:
    steps = chosen_steps(count)
    assert steps[0] == STEPS - 1 and len(set(steps)) == len(steps) == min(count, STEPS)
    assert steps == sorted(steps, reverse=True) and steps[-1] >= 0
    widths = -np.diff([*steps, -1])
    assert np.ptp(widths) <= 1


def test_a_state_moves_along_the_chain_with_its_noise() -> None:
    """A right prediction gives the chain's next state (eq. 2)."""
    eta, torch_noise = shifts(), torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(2, 3, 8, 8, generator=torch_noise) for _ in range(2))

    def state(step: int) -> Tensor:
        return (1 - eta[step]) * clean + NOISE * eta[step].sqrt() * noise

    torch.testing.assert_close(advance(state(40), clean, eta, 40, 7), state(7))


def test_a_walk_ends_with_the_prediction_of_its_last_step() -> None:
    clean, noise = torch.full((1, 3, 8, 8), -0.3), torch.ones(1, 3, 8, 8)
    oracle = Oracle(clean)
    found = walk(oracle, noise, torch.zeros(1), shifts(), chosen_steps(4))
    torch.testing.assert_close(found, clean)
    assert len(oracle.states) == 4
    torch.testing.assert_close(oracle.states[0], first_state(noise, shifts(), STEPS - 1))
    distances = [float((x - clean).abs().mean()) for x in oracle.states]
    assert distances == sorted(distances, reverse=True)


def test_a_new_network_adds_nothing() -> None:
    image, seen = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    conditions = Conditions(image, image, image, seen).channels()
    out = ShiftNetwork((8, 8, 16))(torch.randn(1, 3, 16, 16), torch.tensor([3]), conditions)
    assert out.shape == image.shape and not out.any()


def fake(run: RunOptions = RUN) -> ShiftRefiner:
    """Return a refiner whose network returns a part of its state."""
    refiner = ShiftRefiner(ShiftNetwork((8, 8, 16)), run)

    class Echo(nn.Module):
        def forward(self, x: Tensor, step: Tensor, conditions: Tensor) -> Tensor:
            return x / 2

    refiner.network = Echo()  # type: ignore[assignment]  # a stand-in
    return refiner


def test_noise_is_of_the_seed_and_shared_or_of_the_frame() -> None:
    def found(number: int, seed: int = 3, **options: str) -> list[float]:
        chosen = replace(RefineOptions(), **options)  # type: ignore[arg-type]  # its fields
        made = fake(replace(RUN, seed=seed)).predict_residual(view(), number, chosen)
        assert made.shape == (SIDE, SIDE, 3) and made.dtype == np.float32
        return list(map(float, made.ravel()[:50]))

    assert found(0) == found(5) and found(0) != found(0, seed=4)
    assert found(0, noise="frame") != found(5, noise="frame")


def test_it_is_a_refiner_that_runs_last_and_counts_its_steps() -> None:
    refiner = fake()
    assert isinstance(refiner, ResidualRefiner)
    assert refiner.network_calls(RefineOptions()) == 1
    assert refiner.network_calls(RefineOptions(steps=9)) == 9
    assert refiner.network_calls(RefineOptions(steps=1)) == 1
    with pytest.raises(UsageError, match="51 sampling steps"):
        refiner.network_calls(RefineOptions(steps=STEPS + 1))
    few, many = (refiner.predict_residual(view(), 0, RefineOptions(steps=n)) for n in (2, 9))
    assert np.abs(few).max() < 255 / SCALE * NOISE * 5 and not np.array_equal(few, many)


def test_nan_is_an_error() -> None:
    refiner = fake()
    broken = Oracle(torch.full((1, 3, SIDE, SIDE), torch.nan))
    refiner.network = broken  # type: ignore[assignment]  # a stand-in
    with pytest.raises(NotFiniteError):
        refiner.predict_residual(view(), 0, RefineOptions())
