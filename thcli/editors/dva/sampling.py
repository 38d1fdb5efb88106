"""DVA's diffusion: a thousand linear steps, of which evenly many are taken; deterministic both ways.

Going up leaves the last step out and clips x0 as going down does, so x_T is not pure noise and a picture comes back only nearly.
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
from thcli.diffusion.schedule import Schedule, by_snr, linear, strided
from thcli.editors.dva.network import NoiseEstimator

STEPS = 1000


@cache
def schedule(steps: int) -> Schedule:
    """The thousand steps, or every so many of them ("ddimN"). Raises UsageError for a number that no stride gives."""
    return linear(STEPS).respaced(strided(steps, STEPS))


@cache
def schedule_by_noise(steps: int) -> Schedule:
    """At most so many of the thousand, the first and the last among them, at even distances of log SNR: what walkers of second order want."""
    whole = linear(STEPS)
    ends = [math.exp(-float(whole.log_snr[end])) for end in (-1, 0)]
    return whole.respaced(by_snr(whole, steps, *ends))


def denoiser(network: NoiseEstimator, face: Tensor, table: Schedule | int) -> Denoiser:
    """The network on these steps, or on so many, for pictures that show these faces: z_face (B, 512)."""
    steps = schedule(table) if isinstance(table, int) else table
    return Denoiser(lambda x, t: network(x, t, face.expand(len(x), -1)), steps)


def up(walker: Denoiser, clean: Tensor, sampler: Sampler = "ddim") -> Tensor:
    """x_T (B, 3, H, W) of what is clean."""
    return invert_dpmpp(walker, clean) if sampler == "dpm++" else invert_ddim(walker, clean)


def down(walker: Denoiser, latents: Tensor, sampler: Sampler = "ddim") -> Tensor:
    """What is clean of x_T (B, 3, H, W)."""
    return sample_dpmpp(walker, latents) if sampler == "dpm++" else sample_ddim(walker, latents)


def invert(network: NoiseEstimator, pictures: Tensor, face: Tensor, steps: int) -> Tensor:
    """x_T (B, 3, H, W) of pictures (B, 3, H, W) in [-1, 1]: all of them that z_face (B, 512) does not say."""
    return invert_ddim(denoiser(network, face, steps), pictures)


def render(
    network: NoiseEstimator, latents: Tensor, face: Tensor, steps: int, sampler: Sampler = "ddim"
) -> Tensor:
    """Pictures (B, 3, H, W) in [-1, 1] of x_T (B, 3, H, W) and z_face (B, 512)."""
    walk = sample_dpmpp if sampler == "dpm++" else sample_ddim
    return walk(denoiser(network, face, steps), latents)


def trail(walker: Denoiser, latents: Tensor) -> list[Tensor]:
    """x_T and what each step down makes of it; the last one is the picture."""
    kept = [latents]
    sample_ddim(walker, latents, seen=lambda _, x: kept.append(x))
    return kept


def one_step_each(walker: Denoiser, rows: Tensor) -> Tensor:
    """One step down from every row of a trail (its picture left out), each at its own step, in one call of the network.

    rows: (S, 3, H, W) at the steps S - 1 ... 0 -> (S, 3, H, W) at S - 2 ... picture. Nothing is chained.
    """
    table = walker.schedule
    index = torch.arange(len(rows) - 1, -1, -1)
    told = torch.from_numpy(table.timesteps)[index].to(rows.device)
    out = walker.model(rows, told).to(rows.dtype)
    x0 = process.to_x0(table, rows, index, out, walker.predicts)
    x0 = x0.clamp(-1, 1) if walker.clip else x0
    noise = process.to_noise(table, rows, index, x0)
    before = process.at(table.abar_before, index, rows)
    return before.sqrt() * x0 + (1 - before).sqrt() * noise
