"""Samplers as plain functions: (denoiser, x, noise) -> x. One signature, so that a model can take any of them.

Index k counts the steps of the denoiser's (respaced) schedule; sampling goes from `start` down to 0, and leaves with the picture
itself. `start` below the last step begins with a noised picture instead of noise (SDEdit).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from thcli.core.errors import UsageError
from thcli.diffusion import process
from thcli.diffusion.noise import Noise
from thcli.diffusion.process import Prediction
from thcli.diffusion.schedule import Schedule

Model = Callable[
    [Tensor, Tensor], Tensor
]  # x_t (B, ...), timesteps (B,) int64 as the network knows them -> its output
Seen = Callable[[int, Tensor], None]  # told x after each step
Sampler = Literal["ddim", "ddpm", "dpm++"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a network says of x_t. x0 (clipped if asked for) and the noise that belongs to it.  rest: the output's further channels, or None."""

    x0: Tensor
    noise: Tensor
    rest: Tensor | None


@dataclass(frozen=True, slots=True)
class Denoiser:
    """A network on a schedule. clip: x0 is kept in [-1, 1], and the noise follows from the clipped one (as guided diffusion and DVA)."""

    model: Model
    schedule: Schedule
    predicts: Prediction = "eps"
    clip: bool = True

    def __call__(self, x: Tensor, k: int) -> Estimate:
        """At step k of the schedule. Outputs with twice x's channels carry a variance in their second half."""
        index = torch.full((len(x),), k, dtype=torch.long)
        told = torch.full(
            (len(x),), int(self.schedule.timesteps[k]), dtype=torch.long, device=x.device
        )
        out = self.model(x, told)
        if out.dtype in (torch.float16, torch.bfloat16):
            out = out.float()
        main, rest = (out, None) if out.shape[1] == x.shape[1] else out.chunk(2, 1)
        x0 = process.to_x0(self.schedule, x, index, main, self.predicts)
        if not self.clip and self.predicts == "eps":
            return Estimate(x0, main, rest)
        x0 = x0.clamp(-1, 1) if self.clip else x0
        return Estimate(x0, process.to_noise(self.schedule, x, index, x0), rest)


def ddim_step(
    schedule: Schedule,
    k: int,
    x: Tensor,
    seen: Estimate,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """x at step k - 1 (Song et al. 2021, eq. 12); eta 0 is deterministic, 1 as noisy as DDPM."""
    abar, before = float(schedule.abar[k]), float(schedule.abar_before[k])
    spread = eta * ((1 - abar / before) * (1 - before) / (1 - abar)) ** 0.5
    x = before**0.5 * seen.x0 + (1 - before - spread**2) ** 0.5 * seen.noise
    return x if noise is None or spread == 0 else x + spread * noise


def ddpm_mean(schedule: Schedule, k: int, x: Tensor, seen: Estimate) -> tuple[Tensor, Tensor]:
    """Mean and log variance of p(x_{k-1} | x_k): the variance is the network's where it gives one, else beta~."""
    index = torch.full((len(x),), k, dtype=torch.long)
    mean = process.posterior_mean(schedule, seen.x0, x, index)
    if seen.rest is not None:
        return mean, process.learned_log_variance(schedule, index, seen.rest)
    return mean, process.at(schedule.log_posterior_variance, index, x).expand_as(x)


def sample_ddim(
    denoiser: Denoiser,
    x: Tensor,
    noise: Noise | None = None,
    *,
    eta: float = 0.0,
    start: int | None = None,
    stop: int = 0,
    seen: Seen | None = None,
) -> Tensor:
    """DDIM over all steps of the schedule; noise is asked for only with an eta.  stop: the last step that is taken."""
    schedule = denoiser.schedule
    for k in range(_first(schedule, start), stop - 1, -1):
        fresh = noise(k) if noise is not None and eta > 0 and k > 0 else None
        x = ddim_step(schedule, k, x, denoiser(x, k), eta, fresh)
        if seen is not None:
            seen(k, x)
    return x


def sample_ddpm(
    denoiser: Denoiser,
    x: Tensor,
    noise: Noise,
    *,
    start: int | None = None,
    stop: int = 0,
    seen: Seen | None = None,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020), with the learned variance where the network gives one; no noise at step 0."""
    schedule = denoiser.schedule
    for k in range(_first(schedule, start), stop - 1, -1):
        mean, log_variance = ddpm_mean(schedule, k, x, denoiser(x, k))
        x = mean + noise(k) * torch.exp(0.5 * log_variance) if k > 0 else mean
        if seen is not None:
            seen(k, x)
    return x


def sample_dpmpp(
    denoiser: Denoiser,
    x: Tensor,
    noise: Noise | None = None,
    *,
    start: int | None = None,
    stop: int = 0,
    seen: Seen | None = None,
) -> Tensor:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): second order in log SNR at one network call a step, deterministic.

    The step that ends at the picture itself is of first order, as there log SNR is infinite.
    """
    schedule = denoiser.schedule
    log_snr, abar = schedule.log_snr, schedule.abar.astype("float64")
    old: Tensor | None = None
    old_step = 0.0
    for k in range(_first(schedule, start), stop - 1, -1):
        x0 = denoiser(x, k).x0
        if k == 0:
            x = x0
        else:
            step = float(log_snr[k - 1] - log_snr[k])
            ratio = 0.0 if old is None else step / old_step / 2
            better = x0 if old is None else (1 + ratio) * x0 - ratio * old
            shrink = float(((1 - abar[k - 1]) / (1 - abar[k])) ** 0.5)
            gain = float(
                abar[k - 1] ** 0.5 * -torch.expm1(torch.tensor(-step, dtype=torch.float64))
            )
            x = shrink * x + gain * better
            old, old_step = x0, step
        if seen is not None:
            seen(k, x)
    return x


def invert_ddim(denoiser: Denoiser, x: Tensor, *, seen: Seen | None = None) -> Tensor:
    """x_T of a picture: DDIM run upwards, from step 0 to the schedule's last one (len - 1 steps, as DVA's).

    `sample_ddim` of the result gives the picture back, the nearer the smaller the steps.
    """
    schedule = denoiser.schedule
    for k in range(len(schedule) - 1):
        found, after = denoiser(x, k), float(schedule.abar_after[k])
        x = after**0.5 * found.x0 + (1 - after) ** 0.5 * found.noise
        if seen is not None:
            seen(k, x)
    return x


def invert_dpmpp(denoiser: Denoiser, x: Tensor) -> Tensor:
    """x_T of a picture: DPM-Solver++(2M) run upwards, over the steps of `invert_ddim`, of second order but for the first step."""
    schedule = denoiser.schedule
    log_snr, abar = schedule.log_snr, schedule.abar.astype("float64")
    old: Tensor | None = None
    old_step = 0.0
    for k in range(len(schedule) - 1):
        x0 = denoiser(x, k).x0
        step = float(log_snr[k + 1] - log_snr[k])
        ratio = 0.0 if old is None else step / old_step / 2
        better = x0 if old is None else (1 + ratio) * x0 - ratio * old
        grow = float(((1 - abar[k + 1]) / (1 - abar[k])) ** 0.5)
        x = grow * x + float(abar[k + 1] ** 0.5 * -math.expm1(-step)) * better
        old, old_step = x0, step
    return x


def sample(
    name: Sampler,
    denoiser: Denoiser,
    x: Tensor,
    noise: Noise,
    *,
    eta: float = 0.0,
    start: int | None = None,
) -> Tensor:
    """The sampler of that name; eta: of ddim. Raises UsageError for one that does not exist."""
    if name == "ddim":
        return sample_ddim(denoiser, x, noise, eta=eta, start=start)
    if name == "ddpm":
        return sample_ddpm(denoiser, x, noise, start=start)
    if name == "dpm++":
        return sample_dpmpp(denoiser, x, noise, start=start)
    raise UsageError(f"There is no sampler named {name!r}.", "There are: ddim, ddpm, dpm++.")


def guided(with_condition: Model, without: Model, scale: float) -> Model:
    """Classifier-free guidance (Ho and Salimans 2022): without + scale (with - without). Scale 1 is the condition alone, one call."""
    if scale == 1:
        return with_condition

    def model(x: Tensor, timesteps: Tensor) -> Tensor:
        plain = without(x, timesteps)
        return plain + scale * (with_condition(x, timesteps) - plain)

    return model


def _first(schedule: Schedule, start: int | None) -> int:
    return len(schedule) - 1 if start is None else start
