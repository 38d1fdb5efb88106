"""Noising, and what a network's output says of the picture: eps, v and x0 are three words for the same."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from thcli.diffusion.schedule import Floats, Schedule

Prediction = Literal["eps", "v", "x0"]


def at(table: Floats, index: Tensor, like: Tensor) -> Tensor:
    """table[index] for index (B,), shaped to multiply `like` (B, ...), in like's type (float32 for a half one)."""
    kind = like.dtype if like.dtype == torch.float64 else torch.float32
    values = torch.from_numpy(table).to(like.device, kind)[index.to(like.device)]
    return values.reshape(-1, *[1] * (like.dim() - 1))


def roots(schedule: Schedule, index: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar) and sqrt(1 - abar) at index (B,), shaped to multiply `like`."""
    abar = at(schedule.abar, index, like)
    return abar.sqrt(), (1 - abar).sqrt()


def diffuse(schedule: Schedule, x0: Tensor, index: Tensor, noise: Tensor) -> Tensor:
    """A sample of q(x_t | x_0): x0 and noise (B, ...), index (B,) of the schedule's steps."""
    alpha, sigma = roots(schedule, index, x0)
    return alpha * x0 + sigma * noise


def target(
    schedule: Schedule, x0: Tensor, index: Tensor, noise: Tensor, predicts: Prediction
) -> Tensor:
    """What a network that predicts eps, v or x0 should give. v = sqrt(abar) eps - sqrt(1 - abar) x0 (Salimans and Ho 2022)."""
    if predicts == "v":
        alpha, sigma = roots(schedule, index, x0)
        return alpha * noise - sigma * x0
    return noise if predicts == "eps" else x0


def to_x0(
    schedule: Schedule, x: Tensor, index: Tensor, out: Tensor, predicts: Prediction
) -> Tensor:
    """The picture that an output (B, ...) at x_t stands for."""
    if predicts == "v":
        alpha, sigma = roots(schedule, index, x)
        return alpha * x - sigma * out
    if predicts == "x0":
        return out
    return at(schedule.x0_from_x, index, x) * x - at(schedule.x0_from_noise, index, x) * out


def to_noise(schedule: Schedule, x: Tensor, index: Tensor, x0: Tensor) -> Tensor:
    """The noise that x_t holds if x0 is its picture."""
    return (at(schedule.x0_from_x, index, x) * x - x0) / at(schedule.x0_from_noise, index, x)


def posterior_mean(schedule: Schedule, x0: Tensor, x: Tensor, index: Tensor) -> Tensor:
    """The mean of q(x_{t-1} | x_t, x_0)."""
    return at(schedule.mean_from_x0, index, x) * x0 + at(schedule.mean_from_x, index, x) * x


def learned_log_variance(schedule: Schedule, index: Tensor, share: Tensor) -> Tensor:
    """log variance between log beta~ (share -1) and log beta (share 1): the second half of a network's output, not clamped."""
    nu = (share + 1) / 2
    low, high = (
        at(schedule.log_posterior_variance, index, share),
        torch.log(at(schedule.betas, index, share)),
    )
    return nu * high + (1 - nu) * low
