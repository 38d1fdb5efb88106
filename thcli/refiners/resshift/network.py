"""Residual shifting: its schedule, its network and its sampler.

Source: Yue et al. 2023 (ResShift), eq. 1, 2 and 7. The chain goes from the crop with detail, plus
noise, to the true crop. Here it is that of the difference from the crop with detail:

    x_t = (1 - eta_t) x_0 + kappa sqrt(eta_t) noise

differs from ResShift: pixels instead of latents, weaker noise (4.5 levels of 255 at the end), and
steps without new noise, so that all frames of a clip share one noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS = 50  # of the schedule
SCALE = 20.0  # units of the chain for a difference of 1
NOISE = 0.35  # kappa, units of the chain
_FIRST, _POWER = 0.04 / NOISE, 0.7  # of the schedule: sqrt(eta) at its beginning; its bend
_LAST = 0.999  # sqrt(eta) at its end
_PATCH = 2  # pixels of the side of a patch, which becomes channels
_IMAGE = 3 * _PATCH**2
_CHANNELS = 4 * _IMAGE + _PATCH**2  # state, crop with detail, source, coarse crop; visibility
_FREQUENCIES, _EMBEDDING, _GROUPS = 16, 64, 8
_CONTRAST = 8.0  # of the differences of source and coarse crop from the crop with detail


@dataclass(frozen=True, slots=True)
class Conditions:
    """Inputs of the network beside the state.

    detailed, coarse, source: (B, 3, S, S) in 0..1.
    visibility: (B, 1, S, S) in 0..1.
    """

    detailed: Tensor
    coarse: Tensor
    source: Tensor
    visibility: Tensor

    def channels(self) -> Tensor:
        """Return all of them as patches, (B, C, S / 2, S / 2)."""
        differences = [(one - self.detailed) * _CONTRAST for one in (self.source, self.coarse)]
        views = [self.detailed * 2 - 1, *differences, self.visibility]
        return torch.cat([F.pixel_unshuffle(view, _PATCH) for view in views], 1)


def shifts() -> Tensor:
    """Return eta of each step, (STEPS,) float32; 0 is nearest to the true crop."""
    share = (torch.arange(STEPS) / (STEPS - 1)) ** _POWER
    return (_FIRST * (_LAST / _FIRST) ** share) ** 2


def chosen_steps(count: int) -> list[int]:
    """Return `count` evenly spaced steps of the schedule, at most STEPS, from the last one down."""
    count = min(count, STEPS)
    return [round(STEPS * (1 - number / count)) - 1 for number in range(count)]


def _set_to_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """Residual block that the step modulates."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(_GROUPS, inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(_EMBEDDING, 2 * outputs)
        self.second_norm = nn.GroupNorm(_GROUPS, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        _set_to_zero(self.second)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        scale, shift = self.modulation(step)[:, :, None, None].chunk(2, 1)
        inner = self.first(F.silu(self.first_norm(x)))
        inner = self.second_norm(inner) * (1 + scale) + shift
        out: Tensor = self.skip(x) + self.second(F.silu(inner))
        return out


class ShiftNetwork(nn.Module):
    """U-Net that predicts x_0, the difference of the true crop from the one with detail.

    widths: channels of its resolutions, from half the side down.
    """

    def __init__(self, widths: Sequence[int] = (32, 48, 96)) -> None:
        super().__init__()
        self.embedding = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, _EMBEDDING),
            nn.SiLU(),
            nn.Linear(_EMBEDDING, _EMBEDDING),
            nn.SiLU(),
        )
        self.enter = nn.Conv2d(_CHANNELS, widths[0], 3, padding=1)
        before = [widths[0], *widths[:-1]]
        pairs = list(zip(before, widths, strict=True))
        self.down = nn.ModuleList(ResidualBlock(a, b) for a, b in pairs)
        self.shrink = nn.ModuleList(nn.Conv2d(w, w, 3, 2, 1) for w in widths[:-1])
        self.middle = ResidualBlock(widths[-1], widths[-1])
        self.up = nn.ModuleList(ResidualBlock(2 * w, w) for w in reversed(widths))
        self.grow = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in reversed(pairs[1:]))
        self.last_norm = nn.GroupNorm(_GROUPS, widths[0])
        self.leave = nn.Conv2d(widths[0], _IMAGE, 3, padding=1)
        _set_to_zero(self.leave)

    def forward(self, x: Tensor, step: Tensor, conditions: Tensor) -> Tensor:
        """Predict x_0, (B, 3, S, S) units of the chain.

        Args:
            x: (B, 3, S, S) state.
            step: (B,) number of the step in the schedule.
            conditions: result of `Conditions.channels`.
        """
        decay = -math.log(1000.0) / _FREQUENCIES
        frequencies = torch.exp(torch.arange(_FREQUENCIES, device=x.device) * decay)
        angles = step[:, None].float() * frequencies
        embedded = self.embedding(torch.cat([angles.sin(), angles.cos()], 1))
        x = self.enter(torch.cat([F.pixel_unshuffle(x, _PATCH), conditions], 1))
        kept = []
        for level, block in enumerate(self.down):
            x = block(x, embedded)
            kept.append(x)
            if level < len(self.shrink):
                x = self.shrink[level](x)
        x = self.middle(x, embedded)
        for level, block in enumerate(self.up):
            x = block(torch.cat([x, kept.pop()], 1), embedded)
            if level < len(self.grow):
                x = self.grow[level](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.leave(F.silu(self.last_norm(x))), _PATCH)


def first_state(noise: Tensor, eta: Tensor, step: int) -> Tensor:
    """Return the state at the first step: the crop with detail, and noise."""
    return NOISE * eta[step].sqrt() * noise


def advance(x: Tensor, clean: Tensor, eta: Tensor, step: int, following: int) -> Tensor:
    """Move a state from one step to another with the noise that it has.

    Args:
        x: (B, 3, S, S) state.
        clean: predicted x_0.
        eta: from `shifts`.
        step, following: numbers of the steps.
    """
    now, later = eta[step], eta[following]
    noise = (x - (1 - now) * clean) / (NOISE * now.sqrt())
    return (1 - later) * clean + NOISE * later.sqrt() * noise


def walk(
    network: nn.Module, noise: Tensor, conditions: Tensor, eta: Tensor, steps: Sequence[int]
) -> Tensor:
    """Return the prediction of x_0 at the last of the steps, (B, 3, S, S) units of the chain."""
    x = first_state(noise, eta, steps[0])
    following = [*steps[1:], None]
    for step, after in zip(steps, following, strict=True):
        numbers = torch.full((len(x),), step, device=x.device)
        clean: Tensor = network(x, numbers, conditions)
        if after is not None:
            x = advance(x, clean, eta, step, after)
    return clean
