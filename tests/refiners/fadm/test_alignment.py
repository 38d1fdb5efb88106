"""What fadm-s makes of a frame and its source: moved, mixed, changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.refiners.fadm import small
from thcli.refiners.fadm.alignment import (
    EXTRA,
    MADE,
    SHY,
    MotionPrior,
    RealFrameClassifier,
    RefinerInput,
    RefinerOutput,
    moved,
    places,
)
from thcli.refiners.fadm.network import Diffusion

SIDE, PATCH = 32, 4
ALL = torch.ones(1)


def pictures(seed: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


@given(x=st.integers(-5, 5), y=st.integers(-5, 5))
@settings(deadline=None, max_examples=20)
def test_whole_pixels_are_read_exactly(x: int, y: int) -> None:
    one = pictures(0)
    way = torch.tensor([x, y]).float().reshape(1, 2, 1, 1).expand(1, 2, SIDE, SIDE)
    columns, rows = (
        (torch.arange(SIDE) + x).clamp(0, SIDE - 1),
        (torch.arange(SIDE) + y).clamp(0, SIDE - 1),
    )
    torch.testing.assert_close(moved(one, way), one[:, :, rows][..., columns], atol=1e-4, rtol=0)


def test_it_reads_as_opencv_does() -> None:
    """What `faces.flow` finds is what is read: the same convention."""
    draw = np.random.default_rng(0)
    small_one = draw.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    other = np.roll(small_one, (2, 3), (0, 1))
    way = optical_flow(small_one, other)
    wanted = warp_by_flow(way, other.astype(np.float32))
    read = moved(
        torch.from_numpy(other.transpose(2, 0, 1)[None]).float(),
        torch.from_numpy(way.transpose(2, 0, 1)[None]),
    )
    assert np.abs(read[0].permute(1, 2, 0).numpy() - wanted).mean() < 2


def test_nothing_said_is_the_coarse_frame_and_a_little_of_the_source() -> None:
    coarse, source = pictures(1), pictures(2)
    out, usual = (
        torch.zeros(1, 3 * PATCH**2 + MADE, SIDE // PATCH, SIDE // PATCH),
        torch.zeros(1, 2, SIDE // PATCH, SIDE // PATCH),
    )
    parts = RefinerOutput.of(out, usual, ALL, PATCH)
    made = parts.picture(RefinerInput.of(coarse, source, torch.zeros(1, 2, SIDE, SIDE), PATCH))
    little = float(torch.sigmoid(torch.tensor(SHY)))
    torch.testing.assert_close(made, (1 - little) * coarse + little * source, atol=1e-5, rtol=0)


def test_each_part_does_its_own() -> None:
    """A change is added, motions are in pixels of the picture, a share takes the source."""
    coarse, source = pictures(1), pictures(2)
    beside = RefinerInput.of(coarse, source, torch.zeros(1, 2, SIDE, SIDE), PATCH)
    n = SIDE // PATCH
    out, usual = torch.zeros(1, 3 * PATCH**2 + MADE, n, n), torch.zeros(1, 2, n, n)
    out[:, -1] = -50
    out[:, : 3 * PATCH**2] = 0.25
    torch.testing.assert_close(
        RefinerOutput.of(out, usual, ALL, PATCH).picture(beside), coarse + 0.25, atol=1e-5, rtol=0
    )
    out[:, : 3 * PATCH**2], out[:, -5], usual[:, 0] = (
        0,
        0.25,
        2.0,
    )  # a quarter of a place, and two pixels
    assert RefinerOutput.of(out, usual, ALL, PATCH).here[:, 0].numpy() == pytest.approx(3)
    made = RefinerOutput.of(out, usual, ALL, PATCH).picture(beside)
    torch.testing.assert_close(made[..., :-3], coarse[..., 3:], atol=1e-4, rtol=0)
    out[:, -1], out[:, -3] = 50, -0.5
    made = RefinerOutput.of(out, usual, ALL, PATCH).picture(beside)
    torch.testing.assert_close(made[..., 2:], source[..., :-2], atol=1e-4, rtol=0)


def test_a_real_frame_is_left_alone() -> None:
    """Where nothing shall be done nothing is, whatever the network says."""
    n = SIDE // PATCH
    out = torch.randn(1, 3 * PATCH**2 + MADE, n, n, generator=torch.Generator().manual_seed(0))
    beside = RefinerInput.of(pictures(1), pictures(2), torch.zeros(1, 2, SIDE, SIDE), PATCH)
    made = RefinerOutput.of(out, torch.ones(1, 2, n, n), torch.zeros(1), PATCH).picture(beside)
    torch.testing.assert_close(made, beside.coarse, atol=1e-5, rtol=0)


def test_in_the_face_less_is_done() -> None:
    """Far from it all of a motion and of the source's share, in its middle the most of the first and half of the second."""
    coarse, source = torch.zeros(1, 3, 96, 96), torch.ones(1, 3, 96, 96)
    coarse += torch.linspace(0, 0.5, 96)
    out, usual = torch.zeros(1, 3 * PATCH**2 + MADE, 24, 24), torch.full((1, 2, 24, 24), 2.0)
    beside = RefinerInput.of(coarse, source, torch.zeros(1, 2, 96, 96), PATCH)
    out[:, -1] = -50
    parts = RefinerOutput.of(out, usual, ALL, PATCH)
    shift = ((parts.careful(beside) - coarse) / (0.5 / 95))[0, 0]
    assert float(shift[10, 30]) == pytest.approx(2, abs=0.05) and float(
        shift[50, 48]
    ) == pytest.approx(1.6, abs=0.04)
    out[:, -1], usual[:] = 3.0, 0.0  # one half
    share = (
        (RefinerOutput.of(out, usual, ALL, PATCH).careful(beside) - coarse) / (source - coarse)
    )[0, 0]
    assert float(share[10, 30]) == pytest.approx(0.5, abs=0.02) and float(
        share[50, 48]
    ) == pytest.approx(0.25, abs=0.01)


def test_what_the_network_adds_is_trusted_in_part() -> None:
    out, usual = torch.zeros(1, 3 * PATCH**2 + MADE, 8, 8), torch.full((1, 2, 8, 8), 3.0)
    out[:, -5:-3] = 0.5
    assert RefinerOutput.of(out, usual, ALL, PATCH, 0.5).here.numpy() == pytest.approx(4)


def test_what_motion_does_not_explain_is_seen() -> None:
    source = pictures(3)
    way = torch.zeros(1, 2, SIDE, SIDE)
    way[:, 0] = 2
    coarse = moved(source, way)
    explained, not_yet = (RefinerInput.of(coarse, source, way * factor, PATCH) for factor in (1, 0))
    assert explained.seen.shape[1] == 6 * PATCH**2 + EXTRA
    for channel in (-4, -3):  # closely, roughly
        assert (
            float(explained.seen[:, channel].min())
            > 0.99
            > 0.5
            > float(not_yet.seen[:, channel].mean())
        )
    assert float(explained.apart.max()) < 1e-3 < float(not_yet.apart.mean())


def test_doubt_looks_at_noise_rather_than_brightness() -> None:
    """Its numbers change with what is unexplained, and not with a mirror."""
    torch.manual_seed(0)
    doubt = RealFrameClassifier()
    source, reference_crops = pictures(3), torch.zeros(1, 2, SIDE, SIDE)
    noisy = (source + 0.05 * torch.randn(source.shape)).clamp(0, 1)
    same, other = (
        float(doubt(RefinerInput.of(picture, source, reference_crops, PATCH)).detach())
        for picture in (source, noisy)
    )
    mirror = float(
        doubt(RefinerInput.of(noisy.flip(-1), source.flip(-1), reference_crops, PATCH)).detach()
    )
    assert abs(same - other) > 0.01 and mirror == pytest.approx(other, abs=1e-4)


def test_places_run_from_edge_to_edge() -> None:
    x, y = places(torch.zeros(1, 1, 3, 5))[0]
    assert x[0].tolist() == [-1, -0.5, 0, 0.5, 1] and y[:, 0].tolist() == [-1, 0, 1]


def test_much_motion_tells_no_more_than_enough() -> None:
    habit = MotionPrior(2)
    torch.nn.init.normal_(habit.map.weight, generator=torch.Generator().manual_seed(0))
    one = torch.full((1, 2, 48, 48), 9.0)
    few, more, most = (habit(one * times, torch.zeros(1, 2)).detach() for times in (0.01, 10, 20))
    assert float(few.abs().max()) < 0.2 * float(more.abs().max())
    torch.testing.assert_close(more, most, rtol=1e-3, atol=1e-4)


def test_pictures_of_another_size_are_told_in_their_own_pixels() -> None:
    habit = MotionPrior(2)
    torch.nn.init.normal_(habit.map.weight, generator=torch.Generator().manual_seed(0))
    little = habit(torch.full((1, 2, 96, 96), 1.0), torch.zeros(1, 2))
    large = habit(torch.full((1, 2, 192, 192), 2.0), torch.zeros(1, 2))
    torch.testing.assert_close(2 * little, large, rtol=1e-4, atol=1e-5)


def test_every_parameter_of_the_network_beside_can_learn() -> None:
    torch.manual_seed(0)
    network = Diffusion(replace(small.SHAPE, width=8, times=(1, 1), attributes=3)).train()
    read = network.look(pictures(1, 2), pictures(2, 2), torch.randn(2, 2, SIDE, SIDE))
    network(pictures(3, 2), torch.tensor([3, 70]), read, torch.randn(2, 3)).abs().sum().backward()
    assert [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ] == []


@pytest.mark.parametrize("sure", [True, False])
def test_what_is_told_is_not_doubted(sure: bool) -> None:
    torch.manual_seed(0)
    network = Diffusion(replace(small.SHAPE, width=8, times=(1, 1), attributes=3))
    beside = network.look(pictures(1), pictures(2), torch.zeros(1, 2, SIDE, SIDE), sure=sure).beside
    assert beside is not None
    wanted = torch.ones(1) if sure else torch.sigmoid(network.denoise_fn.doubt(beside))
    torch.testing.assert_close(beside.gain, wanted)
    assert (float(beside.gain.detach()) < 1) == (not sure)
