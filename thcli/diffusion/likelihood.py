"""Variational bound for learned variances (Nichol and Dhariwal 2021), in bits per number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thcli.diffusion import process
from thcli.diffusion.schedule import Schedule

_HALF_BIN = 1 / 255  # half the width of one of 256 levels in [-1, 1]
_EDGE = 0.999  # beyond this magnitude a value is in the first or last level
_MIN_PROBABILITY = 1e-12


def variational_bound(
    schedule: Schedule, x0: Tensor, x: Tensor, index: Tensor, eps: Tensor, variance_output: Tensor
) -> Tensor:
    """Return L_{t-1} of the variational bound at x_t in bits per dimension.

    For t > 0 this is the divergence of p(x_{t-1} | x_t) from the true posterior.
    At step 0 it is the negative log-likelihood of x_0.
    Only the variance receives gradients; eps is detached.

    Args:
        schedule: noise schedule.
        x0, x: (B, C, H, W) clean images in [-1, 1] and their noised versions.
        index: (B,) steps of the schedule.
        eps, variance_output: (B, C, H, W) the two halves of the network's output.

    Returns:
        (B,) one value per item.
    """
    predicted_x0 = process.predict_x0(schedule, x, index, eps.detach(), "eps").clamp(-1, 1)
    true_mean = process.posterior_mean(schedule, x0, x, index)
    true_log_variance = process.gather(schedule.log_posterior_variance, index, x).expand_as(x)
    mean = process.posterior_mean(schedule, predicted_x0, x, index)
    log_variance = process.learned_log_variance(schedule, index, variance_output)
    kl = gaussian_kl(true_mean, true_log_variance, mean, log_variance)
    reconstruction = -discretized_log_likelihood(x0, mean, 0.5 * log_variance)
    at_step_0 = (index == 0).to(x.device).reshape(-1, *[1] * (x.dim() - 1))
    per_item = torch.where(at_step_0, reconstruction, kl)
    return per_item.flatten(1).mean(1) / math.log(2)


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    """Return the elementwise Kullback-Leibler divergence of two Gaussians in nats."""
    ratio = log_variance - other_log_variance
    return 0.5 * (
        -1 - ratio + ratio.exp() + (mean - other_mean).square() * torch.exp(-other_log_variance)
    )


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Return the log-probability that a Gaussian assigns to the 8-bit level of x.

    The first and the last level extend to infinity.
    """
    offset = x - mean
    inverse_scale = torch.exp(-log_scale)
    above = _normal_cdf(inverse_scale * (offset + _HALF_BIN))
    below = _normal_cdf(inverse_scale * (offset - _HALF_BIN))
    inner = torch.log((above - below).clamp(min=_MIN_PROBABILITY))
    lowest = torch.log(above.clamp(min=_MIN_PROBABILITY))
    highest = torch.log((1 - below).clamp(min=_MIN_PROBABILITY))
    return torch.where(x < -_EDGE, lowest, torch.where(x > _EDGE, highest, inner))


def _normal_cdf(x: Tensor) -> Tensor:
    """Approximate the standard normal CDF by tanh, as the published code does (not exactly erf)."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))
