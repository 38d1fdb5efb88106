"""Where noise comes from: (seed, frame, step) alone, so that neither batches nor a resume change a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

START = 2**20  # stands for the step of x_T; real steps are fewer

Noise = Callable[
    [int], Tensor
]  # index of a step in the sampler's schedule -> noise of the batch's shape


def frame_noise(seed: int, frame: int, step: int, shape: Sequence[int]) -> Tensor:
    """Standard normal float32 of that shape; the same on every machine and device."""
    draw = np.random.default_rng(np.random.SeedSequence([seed, frame, step]))
    return torch.from_numpy(draw.standard_normal(tuple(shape), np.float32))


def of_frames(
    seed: int, frames: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
) -> Noise:
    """The noise of a batch of frames: a function of the step; shape: of one frame. `noise(START)` is x_T."""

    def noise(step: int) -> Tensor:
        return torch.stack([frame_noise(seed, frame, step, shape) for frame in frames]).to(device)

    return noise


def shared_by_frames(
    seed: int, count: int, shape: Sequence[int], device: torch.device | str = "cpu"
) -> Noise:
    """The same noise for every frame of a batch: what keeps single frames of a clip alike."""

    def noise(step: int) -> Tensor:
        return frame_noise(seed, 0, step, shape).to(device).expand(count, *shape)

    return noise
