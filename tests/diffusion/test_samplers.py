"""Processes and samplers on Gaussian data, for which the probability flow has a closed form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.diffusion import noise as noises
from thcli.diffusion import process, samplers
from thcli.diffusion.process import Prediction
from thcli.diffusion.samplers import Denoiser
from thcli.diffusion.schedule import Schedule, cosine_schedule, linear_schedule, steps_by_snr

STD, MEAN = 0.6, 0.3  # of the data
FULL_SCHEDULE = linear_schedule(1000)


def gaussian_denoiser(
    schedule: Schedule, predicts: Prediction = "eps", full: Schedule = FULL_SCHEDULE
) -> Denoiser:
    """Return the optimal denoiser of N(MEAN, STD^2) data, with a network on the steps of `full`."""

    def model(x: Tensor, timesteps: Tensor) -> Tensor:
        alpha_bar = torch.from_numpy(full.alpha_bar).to(x.dtype)[timesteps].reshape(-1, 1, 1, 1)
        x0 = MEAN + alpha_bar.sqrt() * STD**2 * (x - alpha_bar.sqrt() * MEAN) / (
            alpha_bar * STD**2 + 1 - alpha_bar
        )
        eps = (x - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        return {
            "eps": eps,
            "x0": x0,
            "v": alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0,
        }[predicts]

    return Denoiser(model, schedule, predicts, clamp=False)


def probability_flow(x: Tensor, high: float, low: float) -> Tensor:
    """Move x along the probability flow from alpha_bar = high to alpha_bar = low."""

    def std(alpha_bar: float) -> float:
        return math.sqrt(alpha_bar * STD**2 + 1 - alpha_bar)

    return math.sqrt(low) * MEAN + (x - math.sqrt(high) * MEAN) * std(low) / std(high)


def initial_noise(seed: int = 0, count: int = 2) -> Tensor:
    return torch.randn(
        count, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@given(index=st.integers(0, 999), name=st.sampled_from(["linear", "cosine"]))
@settings(max_examples=20, deadline=None)
def test_noised_images_have_the_variance_of_the_schedule(index: int, name: str) -> None:
    schedule = {"linear": FULL_SCHEDULE, "cosine": cosine_schedule(1000)}[name]
    generator = torch.Generator().manual_seed(index)
    x0 = MEAN + STD * torch.randn(1, 40_000, generator=generator, dtype=torch.float64)
    noise = torch.randn(1, 40_000, generator=generator, dtype=torch.float64)
    noised = process.diffuse(schedule, x0, torch.tensor([index]), noise)
    alpha_bar = schedule.alpha_bar[index]
    assert float(noised.var()) == pytest.approx(alpha_bar * STD**2 + 1 - alpha_bar, rel=0.05)
    assert float(noised.mean()) == pytest.approx(math.sqrt(alpha_bar) * MEAN, abs=0.02)


@given(step=st.integers(0, 999), predicts=st.sampled_from(["eps", "v", "x0"]))
@settings(max_examples=30, deadline=None)
def test_predictions_are_equivalent(step: int, predicts: Prediction) -> None:
    x0, noise, index = initial_noise(1), initial_noise(2), torch.tensor([step, step])
    noised = process.diffuse(FULL_SCHEDULE, x0, index, noise)
    target = process.training_target(FULL_SCHEDULE, x0, index, noise, predicts)
    torch.testing.assert_close(
        process.predict_x0(FULL_SCHEDULE, noised, index, target, predicts), x0
    )
    torch.testing.assert_close(process.predict_noise(FULL_SCHEDULE, noised, index, x0), noise)


def test_the_learned_variance_lies_between_its_ends() -> None:
    index, ones = torch.tensor([500]), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    low, high = (
        float(process.learned_log_variance(FULL_SCHEDULE, index, sign * ones)[0, 0, 0, 0])
        for sign in (-1, 1)
    )
    assert low == pytest.approx(
        FULL_SCHEDULE.log_posterior_variance[500]
    ) and high == pytest.approx(math.log(FULL_SCHEDULE.betas[500]))


def solver_errors(sampler: Callable[..., Tensor], counts: tuple[int, ...]) -> list[float]:
    """Return the largest error over sigma / alpha = 5 .. 0.2 for each step count."""
    full, errors = linear_schedule(20_000), []
    for count in counts:
        schedule = full.respace(steps_by_snr(full, count + 1, 5.0, 0.2))
        x = initial_noise()
        expected = probability_flow(x, float(schedule.alpha_bar[-1]), float(schedule.alpha_bar[0]))
        found = sampler(gaussian_denoiser(schedule, full=full), x, stop=1)
        errors.append(float((found - expected).abs().max()))
    return errors


def test_ddim_follows_a_schedule_of_three_steps_by_hand() -> None:
    """Song et al. 2021, eq. 12, at alpha_bar = 0.36, 0.72, 0.9 and 1 (the last step gives x_0)."""
    schedule = Schedule(np.array([0.1, 0.2, 0.5]), np.arange(3))
    eps, x, expected = 0.5, 1.2, []
    for alpha_bar, alpha_bar_prev in ((0.36, 0.72), (0.72, 0.9), (0.9, 1.0)):
        x0 = (x - math.sqrt(1 - alpha_bar) * eps) / math.sqrt(alpha_bar)
        x = math.sqrt(alpha_bar_prev) * x0 + math.sqrt(1 - alpha_bar_prev) * eps
        expected.append(x)

    def constant_noise(x: Tensor, timesteps: Tensor) -> Tensor:
        return torch.full_like(x, eps)

    visited: list[float] = []
    found = samplers.sample_ddim(
        Denoiser(constant_noise, schedule, clamp=False),
        torch.full((1, 1, 1, 1), 1.2, dtype=torch.float64),
        callback=lambda _, x: visited.append(float(x)),
    )
    assert visited == pytest.approx(expected, abs=1e-12)
    assert float(found) == pytest.approx(x0, abs=1e-12)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++"])
def test_the_last_step_returns_the_predicted_image(name: samplers.Sampler) -> None:
    """alpha_bar is 1 after the last step: no noise of the prediction is left."""

    def constant_image(x: Tensor, timesteps: Tensor) -> Tensor:
        return torch.full_like(x, 0.25)

    denoiser = Denoiser(constant_image, FULL_SCHEDULE.respace([0, 400, 900]), "x0")
    noise = noises.noise_per_frame(0, [0, 1], (1, 4, 4))
    found = samplers.sample(name, denoiser, initial_noise(), lambda k: noise(k).double())
    torch.testing.assert_close(found, torch.full_like(found, 0.25), rtol=0, atol=1e-12)


def test_dpm_solver_comes_to_the_limit_of_ddim_in_second_order() -> None:
    """Doubling the steps halves the error of DDIM and quarters that of DPM-Solver++."""
    first, second = (
        solver_errors(samplers.sample_ddim, (40, 80, 160)),
        solver_errors(samplers.sample_dpmpp, (40, 80, 160)),
    )
    for coarse, fine in itertools.pairwise(first):
        assert 1.7 < coarse / fine < 2.4
    for coarse, fine in itertools.pairwise(second):
        assert coarse / fine > 3.2
    assert all(b < a / 3 for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("predicts", ["eps", "v", "x0"])
def test_inversion_then_sampling_reconstructs_the_image(predicts: Prediction) -> None:
    """The error falls with the number of steps."""
    x = MEAN + STD * initial_noise(3)
    errors = []
    for count in (50, 200, 800):
        denoiser = gaussian_denoiser(
            FULL_SCHEDULE.respace(torch.linspace(0, 999, count).round().long().tolist()), predicts
        )
        reconstructed = samplers.sample_ddim(denoiser, samplers.invert_ddim(denoiser, x))
        errors.append(float((reconstructed - x).abs().max()))
    assert errors[0] < 0.2 and errors[2] < 0.02 and errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++"])
def test_samples_are_distributed_as_the_data(name: samplers.Sampler) -> None:
    schedule = FULL_SCHEDULE.respace(torch.linspace(0, 999, 250).round().long().tolist())
    noise = noises.noise_per_frame(3, range(40), (1, 16, 16))
    samples = samplers.sample(
        name,
        gaussian_denoiser(schedule),
        noise(noises.INITIAL_NOISE_STEP).double(),
        lambda k: noise(k).double(),
    )
    assert float(samples.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(samples.std()) == pytest.approx(STD, rel=0.05)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++"])
def test_samples_do_not_depend_on_the_batch(name: samplers.Sampler) -> None:
    """Noise depends on seed and frame: a batch of frames 4..7 equals the frames one by one."""
    schedule = FULL_SCHEDULE.respace([0, 100, 300, 600, 900])

    def sample_frames(frames: list[int]) -> Tensor:
        noise = noises.noise_per_frame(7, frames, (1, 4, 4))
        return samplers.sample(
            name, gaussian_denoiser(schedule), noise(noises.INITIAL_NOISE_STEP), noise
        )

    together = sample_frames([4, 5, 6, 7])
    torch.testing.assert_close(
        together, torch.cat([sample_frames([frame]) for frame in (4, 5, 6, 7)]), rtol=0, atol=0
    )
    assert not torch.equal(together[0], together[1])


def test_noise_is_the_same_everywhere() -> None:
    """A change of these numbers changes every image rendered with a seed."""
    noise = noises.frame_noise(1, 2, 3, (4,))
    torch.testing.assert_close(noise, noises.frame_noise(1, 2, 3, (4,)), rtol=0, atol=0)
    assert [round(float(v), 4) for v in noise] == KNOWN_NOISE
    assert torch.equal(
        noises.noise_shared_by_frames(5, 3, (2,))(9)[0],
        noises.noise_shared_by_frames(5, 3, (2,))(9)[2],
    )


KNOWN_NOISE = [-1.5864, -1.9971, 2.746, 0.1773]


def test_a_later_start_keeps_more_of_the_image() -> None:
    """SDEdit: a start nearer to the image keeps more of it."""
    schedule = FULL_SCHEDULE.respace(list(range(0, 1000, 20)))
    image = MEAN + STD * initial_noise(5)
    correlations = []
    for k in (5, 20, 40):
        noised = process.diffuse(schedule, image, torch.tensor([k, k]), initial_noise(6))
        edited = samplers.sample_ddim(gaussian_denoiser(schedule), noised, start=k)
        correlations.append(
            float(torch.corrcoef(torch.stack([edited.flatten(), image.flatten()]))[0, 1])
        )
    assert correlations[0] > 0.7 and correlations[0] > correlations[1] > correlations[2]


def test_clipping_keeps_x0_and_its_noise_together() -> None:
    def large_noise(x: Tensor, timesteps: Tensor) -> Tensor:
        return -3 * torch.ones_like(x)

    estimate = Denoiser(large_noise, FULL_SCHEDULE)(initial_noise(), 300)
    assert float(estimate.x0.abs().max()) <= 1
    alpha_bar = float(FULL_SCHEDULE.alpha_bar[300])
    torch.testing.assert_close(
        alpha_bar**0.5 * estimate.x0 + (1 - alpha_bar) ** 0.5 * estimate.noise, initial_noise()
    )


def test_guidance_extrapolates_beyond_the_condition() -> None:
    def constant_model(value: float) -> samplers.Model:
        return lambda x, t: torch.full_like(x, value)

    x, t = initial_noise(), torch.zeros(2, dtype=torch.long)
    assert (
        float(
            samplers.apply_guidance(constant_model(2.0), constant_model(1.0), 3.0)(x, t)[0, 0, 0, 0]
        )
        == 4
    )
    conditional = constant_model(2.0)
    assert samplers.apply_guidance(conditional, constant_model(1.0), 1.0) is conditional


def test_unknown_samplers_are_named() -> None:
    denoiser, noise = gaussian_denoiser(FULL_SCHEDULE), initial_noise()
    with pytest.raises(UsageError, match="no sampler named 'euler'"):
        samplers.sample("euler", denoiser, noise, lambda k: noise)  # type: ignore[arg-type]
