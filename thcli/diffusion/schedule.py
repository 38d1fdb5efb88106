"""Noise schedules: how much of a picture is left after each step, and every table that follows. Plain numpy.

    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) noise            abar = cumprod(1 - beta)

A schedule computes in the type of its betas: published models differ in whether theirs was float64 or float32.
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
    """betas: (n,) in (0, 1), float32 or float64.  timesteps: (n,) what the network is told of each step, rising."""

    betas: Floats
    timesteps: Ints

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def abar(self) -> Floats:
        """(n,) the share of the picture's variance that is left; torch's order of rounding: summed in double, kept in the betas' type."""
        alphas = (1 - self.betas).astype(self.betas.dtype)
        return np.cumprod(alphas, dtype=np.float64).astype(self.betas.dtype)

    @cached_property
    def abar_before(self) -> Floats:
        """(n,) `abar` one step nearer to the picture; 1 at the first."""
        return np.concatenate([np.ones(1, self.betas.dtype), self.abar[:-1]])

    @cached_property
    def abar_after(self) -> Floats:
        """(n,) `abar` one step nearer to noise; 0 at the last."""
        return np.concatenate([self.abar[1:], np.zeros(1, self.betas.dtype)])

    @cached_property
    def x0_from_x(self) -> Floats:
        """sqrt(1 / abar): the factor of x_t in x_0."""
        found: Floats = np.sqrt(1 / self.abar)
        return found

    @cached_property
    def x0_from_noise(self) -> Floats:
        """sqrt(1 / abar - 1): the factor of the noise in x_0, which is taken away."""
        found: Floats = np.sqrt(1 / self.abar - 1)
        return found

    @cached_property
    def mean_from_x0(self) -> Floats:
        """The factor of x_0 in the mean of q(x_{t-1} | x_t, x_0)."""
        return self.betas * np.sqrt(self.abar_before) / (1 - self.abar)

    @cached_property
    def mean_from_x(self) -> Floats:
        """The factor of x_t in the mean of q(x_{t-1} | x_t, x_0)."""
        return (1 - self.abar_before) * np.sqrt(1 - self.betas) / (1 - self.abar)

    @cached_property
    def posterior_variance(self) -> Floats:
        """beta~, the variance of q(x_{t-1} | x_t, x_0); 0 at the first step."""
        return self.betas * (1 - self.abar_before) / (1 - self.abar)

    @cached_property
    def log_posterior_variance(self) -> Floats:
        """log beta~ with the first step's (minus infinity) replaced by the second's, as improved diffusion has it."""
        found: Floats = np.log(
            np.concatenate([self.posterior_variance[1:2], self.posterior_variance[1:]])
        )
        return found

    @cached_property
    def log_snr(self) -> npt.NDArray[np.float64]:
        """log(sqrt(abar) / sqrt(1 - abar)), falling: the time in which DPM-Solver++ thinks."""
        abar = self.abar.astype(np.float64)
        return 0.5 * (np.log(abar) - np.log1p(-abar))

    def respaced(self, kept: Sequence[int] | Ints) -> Schedule:
        """The schedule that visits only these steps (rising), with the same abar there.

        Raises UsageError when two steps lie so far apart that nothing would be left in the betas' own precision.
        """
        chosen = np.asarray(kept, np.int64)
        abar = self.abar[chosen]
        before = np.concatenate([np.ones(1, abar.dtype), abar[:-1]])
        betas = (1 - abar / before).astype(abar.dtype)
        if len(chosen) < 1 or (np.diff(chosen) <= 0).any() or not (betas < 1).all():
            raise UsageError(
                f"{len(chosen)} sampling steps are too few for this noise schedule.",
                "Give more --steps.",
            )
        return Schedule(betas, self.timesteps[chosen])


def linear(steps: int, first: float = 1e-4, last: float = 0.02) -> Schedule:
    """Betas that rise evenly (Ho et al. 2020), float64; first and last are meant for 1000 steps and scaled to others."""
    scale = 1000 / steps
    if scale * last >= 1:
        raise UsageError(
            f"A linear noise schedule cannot have {steps} steps.",
            f"It takes more than {int(1000 * last)}.",
        )
    return _fresh(np.linspace(scale * first, scale * last, steps, dtype=np.float64))


def cosine(
    steps: int, offset: float = 0.008, largest: float = 0.999, kind: npt.DTypeLike = np.float64
) -> Schedule:
    """abar(t) = cos^2 ((t + offset) / (1 + offset) pi / 2) (Nichol and Dhariwal 2021); computed in double, kept as `kind`."""
    time = np.arange(steps + 1, dtype=np.float64) / steps
    abar = np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2
    return _fresh(np.minimum(1 - abar[1:] / abar[:-1], largest).astype(kind))


def evenly(count: int, steps: int) -> list[int]:
    """`count` of the indices 0..steps-1, both ends among them, as Diffused Heads and improved diffusion choose them (halves go to even).

    Raises UsageError for more than there are, or fewer than 2.
    """
    if not 2 <= count <= steps:
        raise UsageError(
            f"{count} sampling steps are not possible.", f"--steps must be within 2..{steps}."
        )
    stride, at, kept = (steps - 1) / (count - 1), 0.0, []
    for _ in range(count):
        kept.append(round(at))
        at += stride
    return kept


def strided(count: int, steps: int) -> list[int]:
    """0, s, 2s, … with the smallest stride s that gives exactly `count` (DDIM, "ddimN"). Raises UsageError when none does."""
    for stride in range(1, steps):
        if len(range(0, steps, stride)) == count:
            return list(range(0, steps, stride))
    raise UsageError(
        f"No stride divides {steps} steps into {count}.", "Give another number of --steps."
    )


def by_snr(schedule: Schedule, count: int, noisiest: float, cleanest: float) -> list[int]:
    """`count` steps at even distances of log SNR, from sigma / alpha = noisiest down to cleanest: what few-step solvers want.

    Steps that fall together count once.
    """
    wanted = np.linspace(-np.log(cleanest), -np.log(noisiest), count)
    falling = schedule.log_snr
    found = [int(np.abs(falling - value).argmin()) for value in wanted]
    return sorted(set(found))


def _fresh(betas: Floats) -> Schedule:
    return Schedule(betas, np.arange(len(betas), dtype=np.int64))
