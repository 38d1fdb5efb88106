"""Processes and samplers with a model whose answer is known: data of one Gaussian, for which the flow of the noise is a formula."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

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
from thcli.diffusion.schedule import Schedule, by_snr, cosine, linear

WIDTH, MIDDLE = 0.6, 0.3  # standard deviation and mean of the data
FINE = linear(1000)


def gaussian(schedule: Schedule, predicts: Prediction = "eps", whole: Schedule = FINE) -> Denoiser:
    """The perfect network for data N(MIDDLE, WIDTH^2); it is told steps of `whole`."""

    def model(x: Tensor, timesteps: Tensor) -> Tensor:
        abar = torch.from_numpy(whole.abar).to(x.dtype)[timesteps].reshape(-1, 1, 1, 1)
        x0 = MIDDLE + abar.sqrt() * WIDTH**2 * (x - abar.sqrt() * MIDDLE) / (
            abar * WIDTH**2 + 1 - abar
        )
        fresh = (x - abar.sqrt() * x0) / (1 - abar).sqrt()
        return {"eps": fresh, "x0": x0, "v": abar.sqrt() * fresh - (1 - abar).sqrt() * x0}[predicts]

    return Denoiser(model, schedule, predicts, clip=False)


def flow(x: Tensor, high: float, low: float) -> Tensor:
    """Where the probability flow takes x from abar = high to abar = low."""

    def size(abar: float) -> float:
        return math.sqrt(abar * WIDTH**2 + 1 - abar)

    return math.sqrt(low) * MIDDLE + (x - math.sqrt(high) * MIDDLE) * size(low) / size(high)


def start(seed: int = 0, count: int = 2) -> Tensor:
    return torch.randn(
        count, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


@given(index=st.integers(0, 999), name=st.sampled_from(["linear", "cosine"]))
@settings(max_examples=20, deadline=None)
def test_noised_pictures_have_the_variance_of_the_schedule(index: int, name: str) -> None:
    schedule = {"linear": FINE, "cosine": cosine(1000)}[name]
    draw = torch.Generator().manual_seed(index)
    x0 = MIDDLE + WIDTH * torch.randn(1, 40_000, generator=draw, dtype=torch.float64)
    fresh = torch.randn(1, 40_000, generator=draw, dtype=torch.float64)
    noised = process.diffuse(schedule, x0, torch.tensor([index]), fresh)
    abar = schedule.abar[index]
    assert float(noised.var()) == pytest.approx(abar * WIDTH**2 + 1 - abar, rel=0.05)
    assert float(noised.mean()) == pytest.approx(math.sqrt(abar) * MIDDLE, abs=0.02)


@given(index=st.integers(0, 999), predicts=st.sampled_from(["eps", "v", "x0"]))
@settings(max_examples=30, deadline=None)
def test_predictions_say_the_same(index: int, predicts: Prediction) -> None:
    x0, fresh, at = start(1), start(2), torch.tensor([index, index])
    noised = process.diffuse(FINE, x0, at, fresh)
    target = process.target(FINE, x0, at, fresh, predicts)
    torch.testing.assert_close(process.to_x0(FINE, noised, at, target, predicts), x0)
    torch.testing.assert_close(process.to_noise(FINE, noised, at, x0), fresh)


def test_the_learned_variance_lies_between_its_ends() -> None:
    at, ones = torch.tensor([500]), torch.ones(1, 1, 2, 2, dtype=torch.float64)
    low, high = (
        float(process.learned_log_variance(FINE, at, sign * ones)[0, 0, 0, 0]) for sign in (-1, 1)
    )
    assert low == pytest.approx(FINE.log_posterior_variance[500]) and high == pytest.approx(
        math.log(FINE.betas[500])
    )


def errors(sampler: Callable[..., Tensor], counts: tuple[int, ...]) -> list[float]:
    """Of a path from sigma / alpha = 5 down to 0.2, in even steps of log SNR, against the formula."""
    whole, out = linear(20_000), []
    for count in counts:
        few = whole.respaced(by_snr(whole, count + 1, 5.0, 0.2))
        x = start()
        wanted = flow(x, float(few.abar[-1]), float(few.abar[0]))
        out.append(float((sampler(gaussian(few, whole=whole), x, stop=1) - wanted).abs().max()))
    return out


def test_dpm_solver_comes_to_the_limit_of_ddim_in_second_order() -> None:
    """Twice the steps: half the error with DDIM, a quarter with DPM-Solver++."""
    first, second = (
        errors(samplers.sample_ddim, (40, 80, 160)),
        errors(samplers.sample_dpmpp, (40, 80, 160)),
    )
    for coarse, fine in itertools.pairwise(first):
        assert 1.7 < coarse / fine < 2.4
    for coarse, fine in itertools.pairwise(second):
        assert coarse / fine > 3.2
    assert all(b < a / 3 for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("predicts", ["eps", "v", "x0"])
def test_inversion_then_sampling_gives_the_picture_back(predicts: Prediction) -> None:
    """The nearer the finer the steps."""
    x = MIDDLE + WIDTH * start(3)
    far = []
    for count in (50, 200, 800):
        denoiser = gaussian(
            FINE.respaced(torch.linspace(0, 999, count).round().long().tolist()), predicts
        )
        found = samplers.sample_ddim(denoiser, samplers.invert_ddim(denoiser, x))
        far.append(float((found - x).abs().max()))
    assert far[0] < 0.2 and far[2] < 0.02 and far[0] > far[1] > far[2]


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++"])
def test_samples_are_distributed_as_the_data(name: samplers.Sampler) -> None:
    few = FINE.respaced(torch.linspace(0, 999, 250).round().long().tolist())
    noise = noises.of_frames(3, range(40), (1, 16, 16))
    found = samplers.sample(
        name, gaussian(few), noise(noises.START).double(), lambda k: noise(k).double()
    )
    assert float(found.mean()) == pytest.approx(MIDDLE, abs=0.03)
    assert float(found.std()) == pytest.approx(WIDTH, rel=0.05)


@pytest.mark.parametrize("name", ["ddim", "ddpm", "dpm++"])
def test_the_batch_changes_nothing(name: samplers.Sampler) -> None:
    """Noise follows from seed and frame: frames 4..7 together are the frames one by one."""
    few = FINE.respaced([0, 100, 300, 600, 900])

    def made(frames: list[int]) -> Tensor:
        noise = noises.of_frames(7, frames, (1, 4, 4))
        return samplers.sample(name, gaussian(few), noise(noises.START), noise)

    together = made([4, 5, 6, 7])
    torch.testing.assert_close(
        together, torch.cat([made([frame]) for frame in (4, 5, 6, 7)]), rtol=0, atol=0
    )
    assert not torch.equal(together[0], together[1])


def test_noise_is_the_same_everywhere() -> None:
    """Known numbers: a change of them changes every picture that was ever made with a seed."""
    found = noises.frame_noise(1, 2, 3, (4,))
    torch.testing.assert_close(found, noises.frame_noise(1, 2, 3, (4,)), rtol=0, atol=0)
    assert [round(float(v), 4) for v in found] == KNOWN
    assert torch.equal(
        noises.shared_by_frames(5, 3, (2,))(9)[0], noises.shared_by_frames(5, 3, (2,))(9)[2]
    )


KNOWN = [-1.5864, -1.9971, 2.746, 0.1773]


def test_a_start_in_between_keeps_what_the_picture_shows() -> None:
    """SDEdit: the later the start, the more of the picture stays."""
    few = FINE.respaced(list(range(0, 1000, 20)))
    picture = MIDDLE + WIDTH * start(5)
    kept = []
    for k in (5, 20, 40):
        noised = process.diffuse(few, picture, torch.tensor([k, k]), start(6))
        found = samplers.sample_ddim(gaussian(few), noised, start=k)
        kept.append(float(torch.corrcoef(torch.stack([found.flatten(), picture.flatten()]))[0, 1]))
    assert kept[0] > 0.7 and kept[0] > kept[1] > kept[2]


def test_clipping_keeps_x0_and_its_noise_together() -> None:
    def loud(x: Tensor, timesteps: Tensor) -> Tensor:
        return -3 * torch.ones_like(x)

    found = Denoiser(loud, FINE)(start(), 300)
    assert float(found.x0.abs().max()) <= 1
    abar = float(FINE.abar[300])
    torch.testing.assert_close(abar**0.5 * found.x0 + (1 - abar) ** 0.5 * found.noise, start())


def test_guidance_goes_beyond_the_condition() -> None:
    def told(value: float) -> samplers.Model:
        return lambda x, t: torch.full_like(x, value)

    x, t = start(), torch.zeros(2, dtype=torch.long)
    assert float(samplers.guided(told(2.0), told(1.0), 3.0)(x, t)[0, 0, 0, 0]) == 4
    with_condition = told(2.0)
    assert samplers.guided(with_condition, told(1.0), 1.0) is with_condition


def test_unknown_samplers_are_named() -> None:
    with pytest.raises(UsageError, match="no sampler named 'euler'"):
        samplers.sample("euler", gaussian(FINE), start(), lambda k: start())  # type: ignore[arg-type]
