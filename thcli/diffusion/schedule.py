"""Noise schedules and the tables that follow from them, in plain NumPy.

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise    alpha_bar = cumprod(1 - beta)

A schedule computes in the dtype of its betas: published models use float64 or float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from thcli.core.errors import UsageError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Schedule:
    """Noise schedule.

    Attributes:
        betas: (n,) noise variances in (0, 1), float32 or float64.
        timesteps: (n,) ascending time steps that the network is given.
    """

    betas: Floats
    timesteps: Ints

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_bar(self) -> Floats:
        """Return the (n,) share of the image's variance that remains.

        Rounded as by torch: the product is taken in float64 and stored in the betas' dtype.
        """
        alphas = (1 - self.betas).astype(self.betas.dtype)
        return np.cumprod(alphas, dtype=np.float64).astype(self.betas.dtype)

    @cached_property
    def alpha_bar_prev(self) -> Floats:
        """Return the (n,) alpha_bar one step nearer to the image; 1 at the first step."""
        return np.concatenate([np.ones(1, self.betas.dtype), self.alpha_bar[:-1]])

    @cached_property
    def alpha_bar_next(self) -> Floats:
        """Return the (n,) alpha_bar one step nearer to noise; 0 at the last step."""
        return np.concatenate([self.alpha_bar[1:], np.zeros(1, self.betas.dtype)])

    @cached_property
    def x0_from_x(self) -> Floats:
        """Return sqrt(1 / alpha_bar), the factor of x_t in x_0."""
        found: Floats = np.sqrt(1 / self.alpha_bar)
        return found

    @cached_property
    def x0_from_noise(self) -> Floats:
        """Return sqrt(1 / alpha_bar - 1), the factor of the noise that is subtracted in x_0."""
        found: Floats = np.sqrt(1 / self.alpha_bar - 1)
        return found

    @cached_property
    def mean_from_x0(self) -> Floats:
        """Return the factor of x_0 in the mean of q(x_{t-1} | x_t, x_0)."""
        return self.betas * np.sqrt(self.alpha_bar_prev) / (1 - self.alpha_bar)

    @cached_property
    def mean_from_x(self) -> Floats:
        """Return the factor of x_t in the mean of q(x_{t-1} | x_t, x_0)."""
        return (1 - self.alpha_bar_prev) * np.sqrt(1 - self.betas) / (1 - self.alpha_bar)

    @cached_property
    def posterior_variance(self) -> Floats:
        """Return beta~, the variance of q(x_{t-1} | x_t, x_0); 0 at the first step."""
        return self.betas * (1 - self.alpha_bar_prev) / (1 - self.alpha_bar)

    @cached_property
    def log_posterior_variance(self) -> Floats:
        """Return log beta~; the first step (minus infinity) takes the second step's value.

        Improved diffusion does the same.
        """
        found: Floats = np.log(
            np.concatenate([self.posterior_variance[1:2], self.posterior_variance[1:]])
        )
        return found

    @cached_property
    def log_snr(self) -> npt.NDArray[np.float64]:
        """Return log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)), the time variable of DPM-Solver++."""
        alpha_bar = self.alpha_bar.astype(np.float64)
        return 0.5 * (np.log(alpha_bar) - np.log1p(-alpha_bar))

    def respace(self, steps: Sequence[int] | Ints) -> Schedule:
        """Return the schedule of the given steps (ascending), with the same alpha_bar there.

        Raises:
            UsageError: a beta of the new schedule rounds to 1 in the betas' precision.
        """
        indices = np.asarray(steps, np.int64)
        alpha_bar = self.alpha_bar[indices]
        alpha_bar_prev = np.concatenate([np.ones(1, alpha_bar.dtype), alpha_bar[:-1]])
        betas = (1 - alpha_bar / alpha_bar_prev).astype(alpha_bar.dtype)
        if len(indices) < 1 or (np.diff(indices) <= 0).any() or not (betas < 1).all():
            raise UsageError(
                f"{len(indices)} sampling steps are too few for this noise schedule.",
                "Increase --steps.",
            )
        return Schedule(betas, self.timesteps[indices])


def linear_schedule(steps: int, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """Return linearly increasing betas (Ho et al. 2020), float64.

    first and last are for 1000 steps and are scaled to other step counts.

    Raises:
        UsageError: the last beta would reach 1.
    """
    scale = 1000 / steps
    if scale * last >= 1:
        raise UsageError(
            f"A linear noise schedule of {steps} steps has a beta of 1 or more.",
            f"Use more than {int(1000 * last)} steps.",
        )
    return _schedule_from_betas(np.linspace(scale * first, scale * last, steps, dtype=np.float64))


def cosine_schedule(
    steps: int, offset: float = 0.008, max_beta: float = 0.999, dtype: npt.DTypeLike = np.float64
) -> Schedule:
    """Return the schedule alpha_bar(t) = cos^2((t + offset) / (1 + offset) pi / 2), t in [0, 1].

    Nichol and Dhariwal 2021. Computed in float64, stored as `dtype`; betas are at most `max_beta`.
    """
    time = np.arange(steps + 1, dtype=np.float64) / steps
    alpha_bar = np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2
    return _schedule_from_betas(
        np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta).astype(dtype)
    )


def even_steps(count: int, steps: int) -> list[int]:
    """Return `count` evenly spaced indices of 0..steps-1, both ends included.

    Rounds half to even, as Diffused Heads and improved diffusion do.

    Raises:
        UsageError: count is below 2 or above `steps`.
    """
    if not 2 <= count <= steps:
        raise UsageError(
            f"{count} sampling steps are out of range.", f"--steps must be within 2..{steps}."
        )
    stride, position, chosen = (steps - 1) / (count - 1), 0.0, []
    for _ in range(count):
        chosen.append(round(position))
        position += stride
    return chosen


def strided_steps(count: int, steps: int) -> list[int]:
    """Return 0, s, 2s, ... with the smallest stride s that gives `count` steps (DDIM, "ddimN").

    Raises:
        UsageError: no stride gives that count.
    """
    for stride in range(1, steps):
        if len(range(0, steps, stride)) == count:
            return list(range(0, steps, stride))
    raise UsageError(
        f"No stride divides {steps} steps into {count}.", "Choose another number of --steps."
    )


def steps_by_snr(schedule: Schedule, count: int, noisiest: float, cleanest: float) -> list[int]:
    """Return steps at even distances of log SNR, the spacing that few-step solvers need.

    Steps that coincide count once.

    Args:
        schedule: the full schedule.
        count: steps before duplicates are removed.
        noisiest, cleanest: sigma / alpha of the first and of the last sampled step.

    Returns:
        Step indices, ascending.
    """
    targets = np.linspace(-np.log(cleanest), -np.log(noisiest), count)
    log_snr = schedule.log_snr
    nearest = [int(np.abs(log_snr - value).argmin()) for value in targets]
    return sorted(set(nearest))


def _schedule_from_betas(betas: Floats) -> Schedule:
    return Schedule(betas, np.arange(len(betas), dtype=np.int64))
