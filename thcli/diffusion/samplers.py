"""Samplers as plain functions (denoiser, x, noise) -> x, with one signature for all.

Index k counts the steps of the denoiser's (respaced) schedule. Sampling runs from `start` down to
0 and returns x_0. A `start` below the last step begins with a noised image (SDEdit).
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
from thcli.diffusion.noise import NoiseSource
from thcli.diffusion.process import Prediction
from thcli.diffusion.schedule import Schedule

Model = Callable[[Tensor, Tensor], Tensor]
"""Network: x_t (B, ...), time steps (B,) int64 of its full schedule -> its output."""
StepCallback = Callable[[int, Tensor], None]
"""Receives the step k and x after each step."""
Sampler = Literal["ddim", "ddpm", "dpm++"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Prediction of a network at x_t.

    Attributes:
        x0: predicted clean image, clamped if the denoiser does so.
        noise: noise in x_t that belongs to x0.
        variance_output: further output channels (learned variance), or None.
    """

    x0: Tensor
    noise: Tensor
    variance_output: Tensor | None


@dataclass(frozen=True, slots=True)
class Denoiser:
    """A network with its noise schedule.

    Attributes:
        model: the network.
        schedule: schedule to sample on.
        predicts: quantity that the network predicts.
        clamp: limits x0 to [-1, 1]; the noise follows from the clamped x0 (as in guided diffusion
            and DVA).
    """

    model: Model
    schedule: Schedule
    predicts: Prediction = "eps"
    clamp: bool = True

    def __call__(self, x: Tensor, k: int) -> Estimate:
        """Return the estimate at step k of the schedule.

        An output with twice the channels of x carries the variance in its second half.
        """
        index = torch.full((len(x),), k, dtype=torch.long)
        timesteps = torch.full(
            (len(x),), int(self.schedule.timesteps[k]), dtype=torch.long, device=x.device
        )
        output = self.model(x, timesteps)
        if output.dtype in (torch.float16, torch.bfloat16):
            output = output.float()
        prediction, variance_output = (
            (output, None) if output.shape[1] == x.shape[1] else output.chunk(2, 1)
        )
        x0 = process.predict_x0(self.schedule, x, index, prediction, self.predicts)
        if not self.clamp and self.predicts == "eps":
            return Estimate(x0, prediction, variance_output)
        x0 = x0.clamp(-1, 1) if self.clamp else x0
        return Estimate(x0, process.predict_noise(self.schedule, x, index, x0), variance_output)


def ddim_step(
    schedule: Schedule,
    k: int,
    x: Tensor,
    estimate: Estimate,
    eta: float = 0.0,
    noise: Tensor | None = None,
) -> Tensor:
    """Return x at step k - 1 (Song et al. 2021, eq. 12).

    Args:
        schedule: noise schedule.
        k: current step.
        x: (B, ...) x_k.
        estimate: prediction at x_k.
        eta: 0 is deterministic, 1 as noisy as DDPM.
        noise: noise of the step, used with eta > 0 only.
    """
    alpha_bar, alpha_bar_prev = float(schedule.alpha_bar[k]), float(schedule.alpha_bar_prev[k])
    sigma = eta * ((1 - alpha_bar / alpha_bar_prev) * (1 - alpha_bar_prev) / (1 - alpha_bar)) ** 0.5
    x = alpha_bar_prev**0.5 * estimate.x0 + (1 - alpha_bar_prev - sigma**2) ** 0.5 * estimate.noise
    return x if noise is None or sigma == 0 else x + sigma * noise


def ddpm_mean(schedule: Schedule, k: int, x: Tensor, estimate: Estimate) -> tuple[Tensor, Tensor]:
    """Return mean and log variance of p(x_{k-1} | x_k).

    The variance is the network's where it predicts one, else beta~.
    """
    index = torch.full((len(x),), k, dtype=torch.long)
    mean = process.posterior_mean(schedule, estimate.x0, x, index)
    if estimate.variance_output is not None:
        return mean, process.learned_log_variance(schedule, index, estimate.variance_output)
    return mean, process.gather(schedule.log_posterior_variance, index, x).expand_as(x)


def sample_ddim(
    denoiser: Denoiser,
    x: Tensor,
    noise: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    start: int | None = None,
    stop: int = 0,
    callback: StepCallback | None = None,
) -> Tensor:
    """Sample with DDIM over the steps of the schedule.

    Args:
        denoiser: network and schedule.
        x: (B, ...) x at step `start`.
        noise: noise source, used with eta > 0 only.
        eta: see `ddim_step`.
        start: first step; None: the schedule's last one.
        stop: last step.
        callback: called after each step.
    """
    schedule = denoiser.schedule
    for k in range(_first_step(schedule, start), stop - 1, -1):
        step_noise = noise(k) if noise is not None and eta > 0 and k > 0 else None
        x = ddim_step(schedule, k, x, denoiser(x, k), eta, step_noise)
        if callback is not None:
            callback(k, x)
    return x


def sample_ddpm(
    denoiser: Denoiser,
    x: Tensor,
    noise: NoiseSource,
    *,
    start: int | None = None,
    stop: int = 0,
    callback: StepCallback | None = None,
) -> Tensor:
    """Sample ancestrally (Ho et al. 2020), with the learned variance where the network gives one.

    No noise is added at step 0. Arguments as in `sample_ddim`.
    """
    schedule = denoiser.schedule
    for k in range(_first_step(schedule, start), stop - 1, -1):
        mean, log_variance = ddpm_mean(schedule, k, x, denoiser(x, k))
        x = mean + noise(k) * torch.exp(0.5 * log_variance) if k > 0 else mean
        if callback is not None:
            callback(k, x)
    return x


def sample_dpmpp(
    denoiser: Denoiser,
    x: Tensor,
    noise: NoiseSource | None = None,
    *,
    start: int | None = None,
    stop: int = 0,
    callback: StepCallback | None = None,
) -> Tensor:
    """Sample with DPM-Solver++(2M) (Lu et al. 2022, algorithm 2), deterministic.

    The solver is of second order in log SNR at one network call a step.
    The step to x_0 is of first order because log SNR is infinite there.
    Arguments as in `sample_ddim`.
    """
    schedule = denoiser.schedule
    log_snr, alpha_bar = schedule.log_snr, schedule.alpha_bar.astype("float64")
    previous_x0: Tensor | None = None
    previous_step = 0.0
    for k in range(_first_step(schedule, start), stop - 1, -1):
        x0 = denoiser(x, k).x0
        if k == 0:
            x = x0
        else:
            step = float(log_snr[k - 1] - log_snr[k])
            ratio = 0.0 if previous_x0 is None else step / previous_step / 2
            extrapolated_x0 = x0 if previous_x0 is None else (1 + ratio) * x0 - ratio * previous_x0
            x_factor = float(((1 - alpha_bar[k - 1]) / (1 - alpha_bar[k])) ** 0.5)
            x0_factor = float(
                alpha_bar[k - 1] ** 0.5 * -torch.expm1(torch.tensor(-step, dtype=torch.float64))
            )
            x = x_factor * x + x0_factor * extrapolated_x0
            previous_x0, previous_step = x0, step
        if callback is not None:
            callback(k, x)
    return x


def invert_ddim(denoiser: Denoiser, x: Tensor, *, callback: StepCallback | None = None) -> Tensor:
    """Return x_T of an image: DDIM from step 0 up to the last step (len - 1 steps, as DVA).

    `sample_ddim` of the result approximates the image; the error falls with the step size.
    """
    schedule = denoiser.schedule
    for k in range(len(schedule) - 1):
        estimate, alpha_bar_next = denoiser(x, k), float(schedule.alpha_bar_next[k])
        x = alpha_bar_next**0.5 * estimate.x0 + (1 - alpha_bar_next) ** 0.5 * estimate.noise
        if callback is not None:
            callback(k, x)
    return x


def invert_dpmpp(denoiser: Denoiser, x: Tensor) -> Tensor:
    """Return x_T of an image by DPM-Solver++(2M) over the steps of `invert_ddim`.

    Every step but the first is of second order.
    """
    schedule = denoiser.schedule
    log_snr, alpha_bar = schedule.log_snr, schedule.alpha_bar.astype("float64")
    previous_x0: Tensor | None = None
    previous_step = 0.0
    for k in range(len(schedule) - 1):
        x0 = denoiser(x, k).x0
        step = float(log_snr[k + 1] - log_snr[k])
        ratio = 0.0 if previous_x0 is None else step / previous_step / 2
        extrapolated_x0 = x0 if previous_x0 is None else (1 + ratio) * x0 - ratio * previous_x0
        x_factor = float(((1 - alpha_bar[k + 1]) / (1 - alpha_bar[k])) ** 0.5)
        x = x_factor * x + float(alpha_bar[k + 1] ** 0.5 * -math.expm1(-step)) * extrapolated_x0
        previous_x0, previous_step = x0, step
    return x


def sample(
    name: Sampler,
    denoiser: Denoiser,
    x: Tensor,
    noise: NoiseSource,
    *,
    eta: float = 0.0,
    start: int | None = None,
) -> Tensor:
    """Run the sampler of that name.

    Args:
        name: "ddim", "ddpm" or "dpm++".
        denoiser: network and schedule.
        x: (B, ...) x at step `start`.
        noise: noise source.
        eta: noise level of ddim.
        start: first step; None: the schedule's last one.

    Raises:
        UsageError: no sampler has that name.
    """
    if name == "ddim":
        return sample_ddim(denoiser, x, noise, eta=eta, start=start)
    if name == "ddpm":
        return sample_ddpm(denoiser, x, noise, start=start)
    if name == "dpm++":
        return sample_dpmpp(denoiser, x, noise, start=start)
    raise UsageError(f"There is no sampler named {name!r}.", "There are: ddim, ddpm, dpm++.")


def apply_guidance(conditional: Model, unconditional: Model, scale: float) -> Model:
    """Return a model with classifier-free guidance (Ho and Salimans 2022).

    The output is unconditional + scale * (conditional - unconditional). A scale of 1 calls the
    conditional model alone.
    """
    if scale == 1:
        return conditional

    def model(x: Tensor, timesteps: Tensor) -> Tensor:
        baseline = unconditional(x, timesteps)
        return baseline + scale * (conditional(x, timesteps) - baseline)

    return model


def _first_step(schedule: Schedule, start: int | None) -> int:
    return len(schedule) - 1 if start is None else start
