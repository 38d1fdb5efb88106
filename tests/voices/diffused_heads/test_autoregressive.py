"""Autoregressive sampling: windows, state, schedules, and the frame samplers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import UsageError
from thcli.diffusion.noise import NoiseSource, noise_per_frame
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.autoregressive import (
    SamplerState,
    published_frame_sampler,
    published_schedule,
    sample_autoregressively,
    sliding_windows,
    small_frame_sampler,
    to_luma,
)
from thcli.voices.diffused_heads.network import DiffusedHeads, DiffusedHeadsConfig

TINY = DiffusedHeadsConfig(
    size=32,
    base_channels=32,
    channel_multipliers=(1, 2),
    blocks_per_level=1,
    attention_factors=(2,),
    head_channels=16,
    audio_width=12,
)
NOISE_SHAPE = (3, 32, 32)


def random_network(shape: DiffusedHeadsConfig) -> DiffusedHeads:
    torch.manual_seed(0)
    net = DiffusedHeads(shape).eval()
    for parameter in net.parameters():  # nothing is left at zero
        torch.nn.init.normal_(parameter, 0.0, 0.05)
    return net


@given(count=st.integers(0, 12), reach=st.integers(0, 3))
@settings(deadline=None)
def test_windows_repeat_the_first_and_the_last_row(count: int, reach: int) -> None:
    expected = [
        tuple(int(np.clip(i + k, 0, count - 1)) for k in range(-reach, reach + 1))
        for i in range(count)
    ]
    assert list(sliding_windows(iter(range(count)), reach)) == expected


def test_windows_read_no_further_ahead_than_their_reach() -> None:
    """Memory does not depend on the length of the speech."""
    read = []

    def rows() -> Iterator[int]:
        for i in range(100):
            read.append(i)
            yield i

    found = sliding_windows(rows(), 2)
    for _ in range(10):
        next(found)
    assert max(read) == 11


def test_the_state_keeps_previous_frames_oldest_first() -> None:
    identity, first, second, third = (torch.full((1, 3, 2, 2), float(i)) for i in range(4))
    state = SamplerState.initial(identity, 2).advance(first)
    assert torch.equal(torch.cat(state.previous), torch.cat([identity, first]))
    state = state.advance(second).advance(third)
    assert torch.equal(torch.cat(state.previous), torch.cat([second, third]))


@pytest.mark.parametrize("motion", [1, 3])
def test_sampling_can_be_resumed(motion: int) -> None:
    """Frames 2 and 3 from the state after frame 1 equal those of the whole run.

    The noise depends on the frame number alone.
    """
    net = random_network(replace(TINY, motion_channels=motion))
    sample_frame = published_frame_sampler(net, 10, grey=motion == 1)
    identity = torch.rand(1, *NOISE_SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    audio = torch.randn(4, 1, 5, 12, generator=torch.Generator().manual_seed(2))

    def noise(frame: int) -> NoiseSource:
        return noise_per_frame(5, [frame], NOISE_SHAPE)

    with torch.inference_mode():
        state = SamplerState.initial(identity, 2)
        whole = list(sample_autoregressively(sample_frame, identity, audio, noise, state))
        state = state.advance(whole[0]).advance(whole[1])
        rest = list(
            sample_autoregressively(
                sample_frame, identity, audio[2:], lambda n: noise(n + 2), state
            )
        )
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], rest, strict=True))
    assert max(float(frame.abs().max()) for frame in whole) <= 1
    assert not torch.equal(whole[0], whole[1])


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        published_schedule(5)


def test_untrained_dh_s_reproduces_the_portrait() -> None:
    """The network diffuses the difference to the portrait."""
    net = DiffusedHeads(replace(TINY, learn_variance=False, published_sinusoid=False)).eval()
    identity = torch.rand(1, *NOISE_SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        frames = list(
            sample_autoregressively(
                small_frame_sampler(net, 6),
                identity,
                torch.zeros(2, 1, 5, 12),
                lambda n: noise_per_frame(0, [n], NOISE_SHAPE),
                SamplerState.initial(identity, 2),
            )
        )
    for frame in frames:
        torch.testing.assert_close(frame, identity)


@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_differences_and_images_are_inverse(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    identity, image = (torch.rand(2, 3, 4, 4, generator=generator) * 2 - 1 for _ in range(2))
    torch.testing.assert_close(
        small.from_difference(small.to_difference(image, identity), identity), image
    )
    both = small.to_difference(torch.cat([image, identity], 1), identity)
    assert torch.equal(both[:, 3:], torch.zeros_like(identity)) and both.shape == (2, 6, 4, 4)


def test_luma_is_that_of_torchvision() -> None:
    grey = to_luma(torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1))
    assert float(grey) == pytest.approx(0.2989 - 0.587 + 0.057)


def test_sampling_schedule_has_the_requested_noise() -> None:
    schedule = small.sampling_schedule(12)
    assert len(schedule) == 12
    noisiest = float(np.sqrt(1 / schedule.alpha_bar[-1] - 1))
    assert noisiest == pytest.approx(small.NOISIEST, rel=0.2)
