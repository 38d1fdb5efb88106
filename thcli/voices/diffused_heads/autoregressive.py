"""Frame after frame: each is painted from the identity frame, the frames before it and what is heard around it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from thcli.diffusion.noise import START, Noise
from thcli.diffusion.samplers import Denoiser, Sampler, guided, sample
from thcli.diffusion.schedule import Schedule, cosine, evenly
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.network import DiffusedHeads

Row = TypeVar("Row")
LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class State:
    """Where a film stands: the frames before, oldest first, (1, 3, S, S) each; all that a resume needs beside the frame's number."""

    before: tuple[Tensor, ...]

    @classmethod
    def beginning(cls, identity: Tensor, frames: int) -> State:
        """The identity frame stands for what came before the first."""
        return cls((identity,) * frames)

    def after(self, frame: Tensor) -> State:
        return State((*self.before[1:], frame))


Paint = Callable[
    [Tensor, tuple[Tensor, ...], Tensor, Noise], Tensor
]  # identity, frames before, heard (1, window, C), noise


def film(
    paint: Paint,
    identity: Tensor,
    windows: Iterable[Tensor],
    noise: Callable[[int], Noise],
    state: State,
) -> Iterator[Tensor]:
    """Pictures (1, 3, S, S) in [-1, 1], one for each window of sound. noise: of a frame's number, from 0."""
    for number, heard in enumerate(windows):
        frame = paint(identity, state.before, heard, noise(number))
        state = state.after(frame)
        yield frame


def around(rows: Iterable[Row], reach: int) -> Iterator[tuple[Row, ...]]:
    """Each row with `reach` rows on both sides; the first and the last one are repeated. Reads `reach` rows ahead, no more."""
    source = iter(rows)
    ahead = list(islice(source, reach + 1))
    if not ahead:
        return
    window = deque([ahead[0]] * reach + ahead, maxlen=2 * reach + 1)
    short = 2 * reach + 1 - len(window)
    window.extend([ahead[-1]] * short)
    last = ahead[-1]
    left = len(ahead)
    yield tuple(window)
    for row in source:
        last = row
        window.append(row)
        yield tuple(window)
    for _ in range(left - 1):
        window.append(last)
        yield tuple(window)


def published_schedule(steps: int) -> Schedule:
    """The thousand cosine steps of the checkpoints, in float32, of which `steps` are kept. Raises UsageError for too few."""
    return cosine(1000, kind="float32").respaced(evenly(steps, 1000))


def published_painter(network: DiffusedHeads, steps: int, sampler: Sampler = "ddpm") -> Paint:
    """As the published code paints: noise is predicted, x0 clipped, the variance learned, ancestral steps."""
    schedule = published_schedule(steps)

    def paint(identity: Tensor, before: tuple[Tensor, ...], heard: Tensor, noise: Noise) -> Tensor:
        motion = torch.cat(
            [greyed(frame) if network.shape.motion == 1 else frame for frame in before], 1
        )
        denoiser = Denoiser(lambda x, t: network(x, t, identity, motion, heard), schedule)
        return sample(sampler, denoiser, noise(START), noise)

    return paint


def small_painter(network: DiffusedHeads, steps: int, sampler: Sampler = "dpm++") -> Paint:
    """As dh-s paints; heard: codes."""
    schedule, mask = small.few_steps(steps), small.face_mask(network.shape.size)

    def paint(identity: Tensor, before: tuple[Tensor, ...], heard: Tensor, noise: Noise) -> Tensor:
        motion = small.HELD * small.differing(torch.cat(before, 1), identity)
        still = torch.zeros_like(heard)  # lips that touch, and all else as in the portrait
        model = guided(
            lambda x, t: network(x, t, identity, motion, heard),
            lambda x, t: network(x, t, identity, motion, still),
            small.STRESS,
        )
        denoiser = Denoiser(model, schedule, small.PREDICTS, clip=False)
        return small.painted(
            mask.to(identity.device) * sample(sampler, denoiser, noise(START), noise), identity
        )

    return paint


def greyed(picture: Tensor) -> Tensor:
    """(B, 3, S, S) -> (B, 1, S, S)."""
    weights = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * weights[:, None, None]).sum(1, keepdim=True)
