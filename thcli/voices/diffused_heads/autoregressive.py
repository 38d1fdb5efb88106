"""Autoregressive sampling of frames from identity frame, previous frames and audio context."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from thcli.diffusion.noise import INITIAL_NOISE_STEP, NoiseSource
from thcli.diffusion.samplers import Denoiser, Sampler, apply_guidance, sample
from thcli.diffusion.schedule import Schedule, cosine_schedule, even_steps
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.network import DiffusedHeads

Row = TypeVar("Row")
LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class SamplerState:
    """State between frames, sufficient to resume together with the frame number.

    Attributes:
        previous: previous frames, oldest first, (1, 3, S, S) each in [-1, 1].
    """

    previous: tuple[Tensor, ...]

    @classmethod
    def initial(cls, identity: Tensor, frames: int) -> SamplerState:
        """Return the state before the first frame: the identity frame as each previous frame."""
        return cls((identity,) * frames)

    def advance(self, frame: Tensor) -> SamplerState:
        """Return the state after a frame."""
        return SamplerState((*self.previous[1:], frame))


FrameSampler = Callable[[Tensor, tuple[Tensor, ...], Tensor, NoiseSource], Tensor]
"""Samples a frame from identity, previous frames, audio context (1, window, C) and noise."""


def sample_autoregressively(
    sample_frame: FrameSampler,
    identity: Tensor,
    audio_windows: Iterable[Tensor],
    noise: Callable[[int], NoiseSource],
    state: SamplerState,
) -> Iterator[Tensor]:
    """Yield frames (1, 3, S, S) in [-1, 1], one per audio window.

    Args:
        sample_frame: sampler of a single frame.
        identity: (1, 3, S, S) identity frame.
        audio_windows: (1, window, C) each.
        noise: noise source of each frame number, from 0.
        state: state before the first frame.
    """
    for number, audio in enumerate(audio_windows):
        frame = sample_frame(identity, state.previous, audio, noise(number))
        state = state.advance(frame)
        yield frame


def sliding_windows(rows: Iterable[Row], reach: int) -> Iterator[tuple[Row, ...]]:
    """Yield each row with `reach` rows on both sides; the first and last row are repeated at the
    ends.

    At most `reach` rows are read ahead.
    """
    source = iter(rows)
    first_rows = list(islice(source, reach + 1))
    if not first_rows:
        return
    window = deque([first_rows[0]] * reach + first_rows, maxlen=2 * reach + 1)
    missing = 2 * reach + 1 - len(window)
    window.extend([first_rows[-1]] * missing)
    last = first_rows[-1]
    first_count = len(first_rows)
    yield tuple(window)
    for row in source:
        last = row
        window.append(row)
        yield tuple(window)
    for _ in range(first_count - 1):
        window.append(last)
        yield tuple(window)


def published_schedule(steps: int) -> Schedule:
    """Return the 1000 cosine steps of the checkpoints in float32, respaced to `steps`.

    Raises:
        UsageError: `steps` is too small.
    """
    return cosine_schedule(1000, dtype="float32").respace(even_steps(steps, 1000))


def published_frame_sampler(
    network: DiffusedHeads, steps: int, sampler: Sampler = "ddpm", *, grey: bool = False
) -> FrameSampler:
    """Return the sampler of the published code.

    It predicts noise with a learned variance, clamps x0 and takes ancestral steps.

    Args:
        network: the U-Net.
        steps: network evaluations per frame.
        sampler: ddpm as published, or another one.
        grey: the network takes one channel of each previous frame.
    """
    schedule = published_schedule(steps)

    def sample_frame(
        identity: Tensor, previous: tuple[Tensor, ...], audio: Tensor, noise: NoiseSource
    ) -> Tensor:
        motion = torch.cat(
            [to_luma(frame) if grey else frame for frame in previous],
            1,
        )
        denoiser = Denoiser(lambda x, t: network(x, t, identity, motion, audio), schedule)
        return sample(sampler, denoiser, noise(INITIAL_NOISE_STEP), noise)

    return sample_frame


def small_frame_sampler(
    network: DiffusedHeads, steps: int, sampler: Sampler = "dpm++"
) -> FrameSampler:
    """Return the sampler of dh-s, which is conditioned on articulation codes."""
    schedule, mask = small.sampling_schedule(steps), small.face_mask(network.config.size)

    def sample_frame(
        identity: Tensor, previous: tuple[Tensor, ...], audio: Tensor, noise: NoiseSource
    ) -> Tensor:
        motion = small.PREVIOUS_FRAME_WEIGHT * small.to_difference(torch.cat(previous, 1), identity)
        neutral_audio = torch.zeros_like(audio)  # closed lips, and the portrait's expression
        model = apply_guidance(
            lambda x, t: network(x, t, identity, motion, audio),
            lambda x, t: network(x, t, identity, motion, neutral_audio),
            small.GUIDANCE_SCALE,
        )
        denoiser = Denoiser(model, schedule, small.PREDICTS, clamp=False)
        return small.from_difference(
            mask.to(identity.device) * sample(sampler, denoiser, noise(INITIAL_NOISE_STEP), noise),
            identity,
        )

    return sample_frame


def to_luma(image: Tensor) -> Tensor:
    """Return the luma of images: (B, 3, S, S) -> (B, 1, S, S)."""
    weights = torch.tensor(LUMA, dtype=image.dtype, device=image.device)
    return (image * weights[:, None, None]).sum(1, keepdim=True)
