"""Noise that depends on (seed, frame, step) alone: batching and resuming keep the output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

INITIAL_NOISE_STEP = 2**20  # step number of x_T; larger than any sampling step

NoiseSource = Callable[[int], Tensor]
"""Maps the index of a step in the sampler's schedule to noise of the batch's shape."""


def frame_noise(seed: int, frame: int, step: int, shape: Sequence[int]) -> Tensor:
    """Return standard normal float32 noise of one frame, the same on every machine and device."""
    generator = np.random.default_rng(np.random.SeedSequence([seed, frame, step]))
    return torch.from_numpy(generator.standard_normal(tuple(shape), np.float32))


def noise_per_frame(
    seed: int, frames: Sequence[int], shape: Sequence[int], device: torch.device | str = "cpu"
) -> NoiseSource:
    """Return a noise source with independent noise for each frame of a batch.

    `noise(INITIAL_NOISE_STEP)` gives x_T.

    Args:
        seed: seed of the run.
        frames: frame numbers of the batch.
        shape: shape of one frame.
        device: device of the noise.
    """

    def noise(step: int) -> Tensor:
        return torch.stack([frame_noise(seed, frame, step, shape) for frame in frames]).to(device)

    return noise


def noise_shared_by_frames(
    seed: int, count: int, shape: Sequence[int], device: torch.device | str = "cpu"
) -> NoiseSource:
    """Return a noise source with the same noise for every frame of a batch.

    Shared noise keeps the frames of a clip alike.
    """

    def noise(step: int) -> Tensor:
        return frame_noise(seed, 0, step, shape).to(device).expand(count, *shape)

    return noise
