"""Forward process, posterior, and conversions between the predictions eps, v and x0."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from thcli.diffusion.schedule import Floats, Schedule

Prediction = Literal["eps", "v", "x0"]


def gather(table: Floats, index: Tensor, like: Tensor) -> Tensor:
    """Return table[index], shaped to multiply `like`.

    Args:
        table: (n,) values per step.
        index: (B,) steps.
        like: (B, ...) tensor that gives device and dtype (float32 for half precision).

    Returns:
        (B, 1, ...) values.
    """
    dtype = like.dtype if like.dtype == torch.float64 else torch.float32
    values = torch.from_numpy(table).to(like.device, dtype)[index.to(like.device)]
    return values.reshape(-1, *[1] * (like.dim() - 1))


def signal_and_noise_scales(
    schedule: Schedule, index: Tensor, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return sqrt(alpha_bar) and sqrt(1 - alpha_bar) at index (B,), shaped to multiply `like`."""
    alpha_bar = gather(schedule.alpha_bar, index, like)
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def diffuse(schedule: Schedule, x0: Tensor, index: Tensor, noise: Tensor) -> Tensor:
    """Draw a sample of q(x_t | x_0): x0 and noise (B, ...), index (B,) steps of the schedule."""
    alpha, sigma = signal_and_noise_scales(schedule, index, x0)
    return alpha * x0 + sigma * noise


def training_target(
    schedule: Schedule, x0: Tensor, index: Tensor, noise: Tensor, predicts: Prediction
) -> Tensor:
    """Return the value that a network with this prediction type is trained to give.

    v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans and Ho 2022).
    """
    if predicts == "v":
        alpha, sigma = signal_and_noise_scales(schedule, index, x0)
        return alpha * noise - sigma * x0
    return noise if predicts == "eps" else x0


def predict_x0(
    schedule: Schedule, x: Tensor, index: Tensor, output: Tensor, predicts: Prediction
) -> Tensor:
    """Return the x0 that a network output (B, ...) at x_t implies."""
    if predicts == "v":
        alpha, sigma = signal_and_noise_scales(schedule, index, x)
        return alpha * x - sigma * output
    if predicts == "x0":
        return output
    from_x, from_noise = (
        gather(table, index, x) for table in (schedule.x0_from_x, schedule.x0_from_noise)
    )
    return from_x * x - from_noise * output


def predict_noise(schedule: Schedule, x: Tensor, index: Tensor, x0: Tensor) -> Tensor:
    """Return the noise in x_t, given its x0."""
    from_x, from_noise = (
        gather(table, index, x) for table in (schedule.x0_from_x, schedule.x0_from_noise)
    )
    return (from_x * x - x0) / from_noise


def posterior_mean(schedule: Schedule, x0: Tensor, x: Tensor, index: Tensor) -> Tensor:
    """Return the mean of q(x_{t-1} | x_t, x_0)."""
    return gather(schedule.mean_from_x0, index, x) * x0 + gather(schedule.mean_from_x, index, x) * x


def learned_log_variance(schedule: Schedule, index: Tensor, variance_output: Tensor) -> Tensor:
    """Interpolate the log variance between log beta~ (output -1) and log beta (output 1).

    variance_output is the second half of a network's output; it is not clamped.
    """
    fraction = (variance_output + 1) / 2
    low = gather(schedule.log_posterior_variance, index, variance_output)
    high = torch.log(gather(schedule.betas, index, variance_output))
    return fraction * high + (1 - fraction) * low
