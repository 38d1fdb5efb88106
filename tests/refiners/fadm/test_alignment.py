"""Alignment of fadm-s: flows, features, composition, motion prior, real-frame classifier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thcli.core.imaging import optical_flow, warp_by_flow
from thcli.refiners.fadm import small
from thcli.refiners.fadm.alignment import (
    MOTION_CHANNELS,
    OUTPUT_CHANNELS,
    SHARE_BIAS,
    MotionPrior,
    RealFrameClassifier,
    RefinerInput,
    RefinerOutput,
    coordinate_channels,
    still_background,
    warp,
)
from thcli.refiners.fadm.network import Diffusion

SIDE, PATCH = 32, 4
CERTAIN = torch.ones(1)
COLOURS = slice(3 * PATCH**2)  # output channels of the colour change
FLOW_X, SOURCE_FLOW_X, SHARE = -5, -3, -1  # output channels
SHAPE = replace(small.SHAPE, width=8, multipliers=(1, 1), attributes=3)


def images(seed: int, count: int = 1) -> Tensor:
    return torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def no_flow(side: int = SIDE) -> Tensor:
    return torch.zeros(1, 2, side, side)


def no_output(side: int = SIDE) -> Tensor:
    return torch.zeros(1, 3 * PATCH**2 + OUTPUT_CHANNELS, side // PATCH, side // PATCH)


def inputs(coarse: Tensor, source: Tensor) -> RefinerInput:
    """Compute the features of frames without motion."""
    return RefinerInput.of(coarse, source, no_flow(coarse.shape[-1]), PATCH)


@given(x=st.integers(-5, 5), y=st.integers(-5, 5))
@settings(deadline=None, max_examples=20)
def test_whole_pixels_are_sampled_exactly(x: int, y: int) -> None:
    image = images(0)
    flow = torch.tensor([x, y]).float().reshape(1, 2, 1, 1).expand(1, 2, SIDE, SIDE)
    columns, rows = ((torch.arange(SIDE) + shift).clamp(0, SIDE - 1) for shift in (x, y))
    wanted = image[:, :, rows][..., columns]
    torch.testing.assert_close(warp(image, flow), wanted, atol=1e-4, rtol=0)


def test_warp_has_the_convention_of_optical_flow() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    other = np.roll(image, (2, 3), (0, 1))
    flow = optical_flow(image, other)
    wanted = warp_by_flow(flow, other.astype(np.float32))
    warped = warp(
        torch.from_numpy(other.transpose(2, 0, 1)[None]).float(),
        torch.from_numpy(flow.transpose(2, 0, 1)[None]),
    )
    assert np.abs(warped[0].permute(1, 2, 0).numpy() - wanted).mean() < 2


def test_a_zero_output_is_the_coarse_frame_with_a_small_share_of_the_source() -> None:
    coarse, source = images(1), images(2)
    output = RefinerOutput.of(no_output(), no_flow(SIDE // PATCH), CERTAIN, PATCH)
    share = float(torch.sigmoid(torch.tensor(SHARE_BIAS)))
    wanted = (1 - share) * coarse + share * source
    torch.testing.assert_close(output.image(inputs(coarse, source)), wanted, atol=1e-5, rtol=0)


def test_each_output_has_its_own_effect() -> None:
    """A change is added, flows are in pixels of the image, a share takes the source."""
    coarse, source = images(1), images(2)
    out, prior_flow = no_output(), no_flow(SIDE // PATCH)

    def refine() -> Tensor:
        output = RefinerOutput.of(out, prior_flow, CERTAIN, PATCH)
        return output.image(inputs(coarse, source))

    out[:, SHARE] = -50
    out[:, COLOURS] = 0.25
    torch.testing.assert_close(refine(), coarse + 0.25, atol=1e-5, rtol=0)
    # 0.25 patches and 2 pixels
    out[:, COLOURS], out[:, FLOW_X], prior_flow[:, 0] = 0, 0.25, 2.0
    flow = RefinerOutput.of(out, prior_flow, CERTAIN, PATCH).coarse_flow
    assert flow[:, 0].numpy() == pytest.approx(3)
    torch.testing.assert_close(refine()[..., :-3], coarse[..., 3:], atol=1e-4, rtol=0)
    out[:, SHARE], out[:, SOURCE_FLOW_X] = 50, -0.5
    torch.testing.assert_close(refine()[..., 2:], source[..., :-2], atol=1e-4, rtol=0)


def test_a_real_frame_is_left_unchanged() -> None:
    """Without confidence the output has no effect."""
    n = SIDE // PATCH
    out = torch.randn(no_output().shape, generator=torch.Generator().manual_seed(0))
    output = RefinerOutput.of(out, torch.ones(1, 2, n, n), torch.zeros(1), PATCH)
    coarse = images(1)
    refined = output.image(inputs(coarse, images(2)))
    torch.testing.assert_close(refined, coarse, atol=1e-5, rtol=0)


def test_flow_and_source_are_reduced_in_the_face() -> None:
    """Outside the face both count in full; in its middle the flow counts 0.8, the source 0.5."""
    coarse, source = torch.zeros(1, 3, 96, 96), torch.ones(1, 3, 96, 96)
    coarse += torch.linspace(0, 0.5, 96)
    out, prior_flow = no_output(96), torch.full((1, 2, 24, 24), 2.0)
    outside, middle = (10, 30), (50, 48)

    def difference() -> Tensor:
        output = RefinerOutput.of(out, prior_flow, CERTAIN, PATCH)
        return output.inference_image(inputs(coarse, source)) - coarse

    out[:, SHARE] = -50
    shift = (difference() / (0.5 / 95))[0, 0]
    assert float(shift[outside]) == pytest.approx(2, abs=0.05)
    assert float(shift[middle]) == pytest.approx(1.6, abs=0.04)
    out[:, SHARE], prior_flow[:] = -SHARE_BIAS, 0.0  # a share of 0.5
    share = (difference() / (source - coarse))[0, 0]
    assert float(share[outside]) == pytest.approx(0.5, abs=0.02)
    assert float(share[middle]) == pytest.approx(0.25, abs=0.01)


def test_the_residual_flow_has_a_weight() -> None:
    out, prior_flow = no_output(), torch.full((1, 2, SIDE // PATCH, SIDE // PATCH), 3.0)
    out[:, FLOW_X : FLOW_X + 2] = 0.5
    output = RefinerOutput.of(out, prior_flow, CERTAIN, PATCH, residual_weight=0.5)
    assert output.coarse_flow.numpy() == pytest.approx(4)


def test_features_say_how_well_the_flow_explains_the_frame() -> None:
    source, flow = images(3), no_flow()
    flow[:, 0] = 2
    coarse = warp(source, flow)
    right = RefinerInput.of(coarse, source, flow, PATCH)
    wrong = RefinerInput.of(coarse, source, no_flow(), PATCH)
    assert right.features.shape[1] == 6 * PATCH**2 + MOTION_CHANNELS
    for channel in (-4, -3):  # strict, loose
        assert float(right.features[:, channel].min()) > 0.99
        assert float(wrong.features[:, channel].mean()) < 0.5
    assert float(right.unexplained.max()) < 1e-3 < float(wrong.unexplained.mean())


def test_the_classifier_sees_noise_and_ignores_mirroring() -> None:
    torch.manual_seed(0)
    classify = RealFrameClassifier()
    source = images(3)
    noisy = (source + 0.05 * torch.randn(source.shape)).clamp(0, 1)

    def logit(coarse: Tensor, source: Tensor) -> float:
        return float(classify(inputs(coarse, source)).detach())

    assert abs(logit(source, source) - logit(noisy, source)) > 0.01
    mirrored = logit(noisy.flip(-1), source.flip(-1))
    assert mirrored == pytest.approx(logit(noisy, source), abs=1e-4)


def test_coordinates_run_from_edge_to_edge() -> None:
    x, y = coordinate_channels(torch.zeros(1, 1, 3, 5))[0]
    assert x[0].tolist() == [-1, -0.5, 0, 0.5, 1] and y[:, 0].tolist() == [-1, 0, 1]


@pytest.fixture
def prior() -> MotionPrior:
    prior = MotionPrior(2)
    torch.nn.init.normal_(prior.map.weight, generator=torch.Generator().manual_seed(0))
    return prior


def test_large_motion_saturates(prior: MotionPrior) -> None:
    motion = torch.full((1, 2, 48, 48), 9.0)
    few, more, most = (
        prior(motion * factor, torch.zeros(1, 2)).detach() for factor in (0.01, 10, 20)
    )
    assert float(few.abs().max()) < 0.2 * float(more.abs().max())
    torch.testing.assert_close(more, most, rtol=1e-3, atol=1e-4)


def test_the_prior_scales_with_the_image(prior: MotionPrior) -> None:
    small_flow = prior(torch.full((1, 2, 96, 96), 1.0), torch.zeros(1, 2))
    large_flow = prior(torch.full((1, 2, 192, 192), 2.0), torch.zeros(1, 2))
    torch.testing.assert_close(2 * small_flow, large_flow, rtol=1e-4, atol=1e-5)


def test_every_parameter_of_the_network_has_a_gradient() -> None:
    torch.manual_seed(0)
    network = Diffusion(SHAPE).train()
    features = network.encode_frame(images(1, 2), images(2, 2), torch.randn(2, 2, SIDE, SIDE))
    out = network(images(3, 2), torch.tensor([3, 70]), features, torch.randn(2, 3))
    out.abs().sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert [n for n, g in gradients.items() if g is None or not g.isfinite().all()] == []


@pytest.mark.parametrize("known_warped", [True, False])
def test_a_known_warped_frame_is_not_classified(known_warped: bool) -> None:
    torch.manual_seed(0)
    network = Diffusion(SHAPE)
    features = network.encode_frame(images(1), images(2), no_flow(), known_warped=known_warped)
    found = features.refiner_input
    assert found is not None
    classified = torch.sigmoid(network.denoise_fn.doubt(found))
    torch.testing.assert_close(found.confidence, torch.ones(1) if known_warped else classified)
    assert (float(found.confidence.detach()) < 1) == (not known_warped)


def test_a_camera_moves_the_background_on_all_sides() -> None:
    camera, head = torch.full((1, 2, SIDE, SIDE), 4.0), no_flow()
    head[..., SIDE // 4 :, : SIDE // 2] = 6.0  # a head and its hair leave one side
    found = [float(still_background(flow, images(0))) for flow in (camera, head, no_flow())]
    assert found == [0, 1, 1]


def test_a_plain_wall_on_one_side_does_not_hide_the_camera() -> None:
    camera, picture = torch.full((1, 2, SIDE, SIDE), 4.0), images(0)
    picture[..., SIDE // 2 :], camera[..., SIDE // 2 :] = 0.5, 0  # no flow is seen on a wall
    camera[:, :, : SIDE // 8] = 4.0
    assert float(still_background(camera, picture)) == 0


def test_hair_that_moves_before_a_plain_wall_is_no_camera() -> None:
    picture, motion = torch.full((1, 3, SIDE, SIDE), 0.5), no_flow()
    picture[:, :, : SIDE // 8], motion[:, :, : SIDE // 8] = images(0)[:, :, : SIDE // 8], 4.0
    assert float(still_background(motion, picture)) == 1
