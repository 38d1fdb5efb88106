"""Deterministic diffusion of DVA on a thousand linear steps, or an even subset of them.

Inversion leaves the last step out and clips x0 as sampling does. Therefore x_T is not pure noise,
and an image is reconstructed only approximately.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from thcli.diffusion import process
from thcli.diffusion.samplers import (
    Denoiser,
    Sampler,
    invert_ddim,
    invert_dpmpp,
    sample_ddim,
    sample_dpmpp,
)
from thcli.diffusion.schedule import Schedule, linear_schedule, steps_by_snr, strided_steps
from thcli.editors.dva.network import NoiseEstimator

STEPS = 1000


@cache
def schedule(steps: int) -> Schedule:
    """Return the thousand steps, or an even subset ("ddimN").

    Raises UsageError for a number of steps that no stride gives.
    """
    return linear_schedule(STEPS).respace(strided_steps(steps, STEPS))


@cache
def schedule_by_snr(steps: int) -> Schedule:
    """Return at most `steps` of the thousand at even distances of log SNR, both ends included.

    Solvers of second order need this spacing.
    """
    whole = linear_schedule(STEPS)
    ends = [math.exp(-float(whole.log_snr[end])) for end in (-1, 0)]
    return whole.respace(steps_by_snr(whole, steps, *ends))


def condition_denoiser(network: NoiseEstimator, face: Tensor, table: Schedule | int) -> Denoiser:
    """Return a denoiser for z_face (B, 512).

    Args:
        network: noise estimator.
        face: z_face (B, 512).
        table: schedule, or a number of steps.
    """
    steps = schedule(table) if isinstance(table, int) else table
    return Denoiser(lambda x, t: network(x, t, face.expand(len(x), -1)), steps)


def to_latents(denoiser: Denoiser, x0: Tensor, sampler: Sampler = "ddim") -> Tensor:
    """Invert the diffused part x0 (B, 3, H, W) of images to x_T (B, 3, H, W)."""
    return invert_dpmpp(denoiser, x0) if sampler == "dpm++" else invert_ddim(denoiser, x0)


def from_latents(denoiser: Denoiser, latents: Tensor, sampler: Sampler = "ddim") -> Tensor:
    """Sample the diffused part (B, 3, H, W) of images from x_T (B, 3, H, W)."""
    return sample_dpmpp(denoiser, latents) if sampler == "dpm++" else sample_ddim(denoiser, latents)


def invert(network: NoiseEstimator, images: Tensor, face: Tensor, steps: int) -> Tensor:
    """Return x_T (B, 3, H, W) of images (B, 3, H, W) in [-1, 1] with z_face (B, 512)."""
    return to_latents(condition_denoiser(network, face, steps), images)


def render(
    network: NoiseEstimator, latents: Tensor, face: Tensor, steps: int, sampler: Sampler = "ddim"
) -> Tensor:
    """Return images (B, 3, H, W) in [-1, 1] of x_T (B, 3, H, W) and z_face (B, 512)."""
    return from_latents(condition_denoiser(network, face, steps), latents, sampler)


def trajectory(denoiser: Denoiser, latents: Tensor) -> list[Tensor]:
    """Return x_T and the result of each sampling step; the last one is the image."""
    kept = [latents]
    sample_ddim(denoiser, latents, callback=lambda _, x: kept.append(x))
    return kept


def step_each(denoiser: Denoiser, rows: Tensor) -> Tensor:
    """Take one sampling step from every row of a trajectory, in one call of the network.

    Rows are not chained.

    Args:
        denoiser: of the trajectory.
        rows: (S, 3, H, W) at the steps S - 1 ... 0, without the image.

    Returns:
        (S, 3, H, W) at the steps S - 2 ... image.
    """
    table = denoiser.schedule
    index = torch.arange(len(rows) - 1, -1, -1)
    timesteps = torch.from_numpy(table.timesteps)[index].to(rows.device)
    out = denoiser.model(rows, timesteps).to(rows.dtype)
    x0 = process.predict_x0(table, rows, index, out, denoiser.predicts)
    x0 = x0.clamp(-1, 1) if denoiser.clamp else x0
    noise = process.predict_noise(table, rows, index, x0)
    previous = process.gather(table.alpha_bar_prev, index, rows)
    return previous.sqrt() * x0 + (1 - previous).sqrt() * noise
