"""The variational bound that learned variances are trained by (Nichol and Dhariwal 2021), in bits a number of the picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from thcli.diffusion import process
from thcli.diffusion.schedule import Schedule

_BIN = 1 / 255  # half the width of a level of 256, pictures in [-1, 1]
_EDGE, _LEAST = 0.999, 1e-12


def bound(
    schedule: Schedule, x0: Tensor, x: Tensor, index: Tensor, eps: Tensor, share: Tensor
) -> Tensor:
    """(B,) L_{t-1} of the bound at x_t: how far p(x_{t-1} | x_t) is from the true posterior, or at step 0 how unlikely x_0 is.

    eps and share (B, C, H, W): the two halves of the network's output. Only the variance learns from it: eps is taken as given.
    """
    guess = process.to_x0(schedule, x, index, eps.detach(), "eps").clamp(-1, 1)
    true_mean = process.posterior_mean(schedule, x0, x, index)
    true_log = process.at(schedule.log_posterior_variance, index, x).expand_as(x)
    mean = process.posterior_mean(schedule, guess, x, index)
    log_variance = process.learned_log_variance(schedule, index, share)
    apart = between(true_mean, true_log, mean, log_variance)
    last = -likelihood(x0, mean, 0.5 * log_variance)
    per_item = torch.where((index == 0).to(x.device).reshape(-1, *[1] * (x.dim() - 1)), last, apart)
    return per_item.flatten(1).mean(1) / math.log(2)


def between(mean: Tensor, log_variance: Tensor, other: Tensor, other_log: Tensor) -> Tensor:
    """The Kullback-Leibler divergence of two Gaussians, element by element, in nats."""
    ratio = log_variance - other_log
    return 0.5 * (-1 - ratio + ratio.exp() + (mean - other).square() * torch.exp(-other_log))


def likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """The logarithm of a Gaussian's share of the level of 256 that x lies in; beyond the last levels all that is left counts."""
    far = x - mean
    shrink = torch.exp(-log_scale)
    above, below = _cumulative(shrink * (far + _BIN)), _cumulative(shrink * (far - _BIN))
    inner = torch.log((above - below).clamp(min=_LEAST))
    lowest, highest = torch.log(above.clamp(min=_LEAST)), torch.log((1 - below).clamp(min=_LEAST))
    return torch.where(x < -_EDGE, lowest, torch.where(x > _EDGE, highest, inner))


def _cumulative(x: Tensor) -> Tensor:
    """The normal distribution's, by the tanh that the published codes use (not exactly erf)."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x.pow(3))))
