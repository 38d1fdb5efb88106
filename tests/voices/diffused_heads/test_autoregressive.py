"""The film: windows of sound, frames that follow from those before, the same whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import UsageError
from thcli.diffusion.noise import Noise, of_frames
from thcli.voices.diffused_heads import small
from thcli.voices.diffused_heads.autoregressive import (
    State,
    around,
    film,
    greyed,
    published_painter,
    published_schedule,
    small_painter,
)
from thcli.voices.diffused_heads.network import DiffusedHeads, Shape

TINY = Shape(size=32, width=32, times=(1, 2), blocks=1, attention=(2,), head=16, heard=12)
NOISE_SHAPE = (3, 32, 32)


def filled(shape: Shape) -> DiffusedHeads:
    torch.manual_seed(0)
    net = DiffusedHeads(shape).eval()
    for parameter in net.parameters():  # nothing is left at zero
        torch.nn.init.normal_(parameter, 0.0, 0.05)
    return net


@given(count=st.integers(0, 12), reach=st.integers(0, 3))
@settings(deadline=None)
def test_windows_repeat_the_first_and_the_last(count: int, reach: int) -> None:
    wanted = [
        tuple(int(np.clip(i + k, 0, count - 1)) for k in range(-reach, reach + 1))
        for i in range(count)
    ]
    assert list(around(iter(range(count)), reach)) == wanted


def test_windows_read_no_further_ahead_than_they_reach() -> None:
    """So a long speech takes no memory."""
    read = []

    def rows() -> Iterator[int]:
        for i in range(100):
            read.append(i)
            yield i

    found = around(rows(), 2)
    for _ in range(10):
        next(found)
    assert max(read) == 11


@pytest.mark.parametrize("motion", [1, 3])
def test_a_film_can_be_taken_up_again(motion: int) -> None:
    """Frames 2 and 3 from the state after frame 1 are those of the whole film: noise follows from the frame's number."""
    net = filled(replace(TINY, motion=motion))
    paint = published_painter(net, 30)
    identity = torch.rand(1, *NOISE_SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    heard = torch.randn(4, 1, 5, 12, generator=torch.Generator().manual_seed(2))

    def noise(frame: int) -> Noise:
        return of_frames(5, [frame], NOISE_SHAPE)

    with torch.inference_mode():
        state = State.beginning(identity, 2)
        whole = list(film(paint, identity, heard, noise, state))
        state = state.after(whole[0]).after(whole[1])
        rest = list(film(paint, identity, heard[2:], lambda n: noise(n + 2), state))
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], rest, strict=True))
    assert max(float(frame.abs().max()) for frame in whole) <= 1
    assert not torch.equal(whole[0], whole[1])


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        published_schedule(5)


def test_untrained_dh_s_gives_the_portrait_back() -> None:
    """What is diffused is the difference to it."""
    net = DiffusedHeads(replace(TINY, variance=False, steep=False)).eval()
    identity = torch.rand(1, *NOISE_SHAPE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        frames = list(
            film(
                small_painter(net, 6),
                identity,
                torch.zeros(2, 1, 5, 12),
                lambda n: of_frames(0, [n], NOISE_SHAPE),
                State.beginning(identity, 2),
            )
        )
    for frame in frames:
        torch.testing.assert_close(frame, identity)


@given(seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_differences_and_pictures_are_inverse(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    identity, picture = (torch.rand(2, 3, 4, 4, generator=draw) * 2 - 1 for _ in range(2))
    torch.testing.assert_close(small.painted(small.differing(picture, identity), identity), picture)
    both = small.differing(torch.cat([picture, identity], 1), identity)
    assert torch.equal(both[:, 3:], torch.zeros_like(identity)) and both.shape == (2, 6, 4, 4)


def test_grey_is_torchvisions() -> None:
    grey = greyed(torch.tensor([1.0, -1.0, 0.5]).reshape(1, 3, 1, 1))
    assert float(grey) == pytest.approx(0.2989 - 0.587 + 0.057)


def test_few_steps_lie_within_what_was_asked() -> None:
    few = small.few_steps(12)
    assert len(few) == 12
    noisiest = float(np.sqrt(1 / few.abar[-1] - 1))
    assert noisiest == pytest.approx(small.NOISIEST, rel=0.2)
