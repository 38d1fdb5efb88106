"""FADM: published layout, conditions, samplers and options; images do not depend on the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.refiners.fadm.narrow import (
    FACE,
    FEW,
    NARROW,
    RUN,
    SIDE,
    MeanColours,
    crops,
    network,
    refiner,
)
from thcli.core.errors import UsageError
from thcli.core.options import RefineOptions
from thcli.core.protocols import Refiner
from thcli.core.types import Image
from thcli.diffusion.schedule import linear_schedule
from thcli.refiners.fadm.agcn import ConditionFeatures, ConditionImages, gain_shares, level_gains
from thcli.refiners.fadm.alignment import RESIDUAL_WEIGHT, warp
from thcli.refiners.fadm.network import Diffusion, NetworkShape
from thcli.refiners.fadm.refiner import PUBLISHED, FadmRefiner, SamplingSettings, select_steps


@pytest.fixture(scope="module")
def fadm() -> FadmRefiner:
    return refiner()


def refined(
    fadm: FadmRefiner, coarse: Sequence[Image], options: RefineOptions = FEW, first: int = 0
) -> list[Image]:
    source, driving = (
        fadm.encode_source(crops(1, 9)[0], FACE),
        fadm.extract_attributes(coarse, [None] * len(coarse)),
    )
    return fadm.refine(coarse, source, driving, range(first, first + len(coarse)), options)


def test_is_a_refiner(fadm: FadmRefiner) -> None:
    checked: Refiner = fadm
    assert isinstance(checked, Refiner)
    assert (checked.crop_size, checked.template, checked.mask) == (SIDE, "square", None)


def test_images_follow_the_coarse_frame_and_the_attributes(fadm: FadmRefiner) -> None:
    coarse = crops(2)
    frames = refined(fadm, coarse)
    assert [(p.shape, p.dtype) for p in frames] == [((SIDE, SIDE, 3), np.dtype(np.uint8))] * 2
    assert not np.array_equal(frames[0], frames[1])
    driving = fadm.extract_attributes(coarse, [None, None])
    source = fadm.encode_source(crops(1, 9)[0], FACE)
    assert driving.shape == (2, 12) and source.attributes.shape == (12,)
    other = fadm.refine(coarse, source, driving + 1, range(2), FEW)
    assert not np.array_equal(frames[0], other[0])


@pytest.mark.parametrize("noise", ["shared", "frame"])
def test_neither_batch_nor_window_changes_anything(
    fadm: FadmRefiner, noise: Literal["shared", "frame"]
) -> None:
    options = replace(FEW, noise=noise)
    coarse = crops(3)
    whole = refined(fadm, coarse, options)
    parts = refined(fadm, coarse[:1], options) + refined(fadm, coarse[1:], options, first=1)
    other = refined(refiner(replace(RUN, batch_size=2)), coarse, options)
    assert all(
        np.array_equal(a, b) and np.array_equal(a, c)
        for a, b, c in zip(whole, parts, other, strict=True)
    )


def test_larger_batches_compute_the_same(fadm: FadmRefiner) -> None:
    """Several frames at once, as on a GPU, are equal up to rounding."""
    coarse = crops(3)
    fadm_of_three = refiner()
    fadm_of_three.batch = 3
    for a, b in zip(refined(fadm, coarse), refined(fadm_of_three, coarse), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_noise_follows_the_seed_and_frame(fadm: FadmRefiner) -> None:
    """Shared noise keeps a static clip static; else each frame has its own, in any window."""
    coarse = crops(1) * 2
    shared, own = (
        refined(fadm, coarse, replace(FEW, noise=noise)) for noise in ("shared", "frame")
    )
    assert np.array_equal(shared[0], shared[1]) and not np.array_equal(own[0], own[1])
    assert not np.array_equal(refined(refiner(replace(RUN, seed=4)), coarse)[0], shared[0])


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
def test_every_sampler_takes_as_many_steps_as_are_asked_for(
    sampler: Literal["ddim", "ddpm", "dpm++"],
) -> None:
    fadm, seen = refiner(), []
    fadm.network.register_forward_hook(lambda module, inputs, out: seen.append(int(inputs[1][0])))
    frames = refined(fadm, crops(1), replace(RefineOptions(steps=4), sampler=sampler))
    assert seen == [99, 66, 33, 0] and frames[0].std() > 0


def test_published_steps_are_all_of_the_schedule(fadm: FadmRefiner) -> None:
    schedule = select_steps(fadm.schedule, PUBLISHED)
    assert schedule.timesteps.tolist() == list(range(100))
    np.testing.assert_allclose(schedule.betas, linear_schedule(100).betas, rtol=1e-5)
    assert (
        PUBLISHED.with_options(RefineOptions())
        == PUBLISHED
        == SamplingSettings(100, "ddim", 1.0, 1.0)
    )


def test_fresh_noise_is_the_options_choice(fadm: FadmRefiner) -> None:
    none, much = (refined(fadm, crops(1), replace(FEW, eta=eta)) for eta in (0.0, 1.0))
    assert not np.array_equal(none[0], much[0])
    assert np.array_equal(much[0], refined(fadm, crops(1))[0])


@given(strength=st.floats(0.001, 1), steps=st.integers(2, 100))
@settings(max_examples=30, deadline=None)
def test_a_low_strength_starts_late(fadm: FadmRefiner, strength: float, steps: int) -> None:
    """Too many steps for the strength are reduced, or refused when the user asked for them."""
    most = max(1, round(99 * strength)) + 1
    settings = SamplingSettings(steps, "ddim", 0.0, strength)
    schedule = select_steps(fadm.schedule, settings, given=False)
    assert (
        len(schedule) == min(steps, most)
        and schedule.timesteps[0] == 0
        and schedule.timesteps[-1] == most - 1
    )
    if steps > most:
        with pytest.raises(UsageError, match=rf"within 2\.\.{most}"):
            select_steps(fadm.schedule, settings)


class PerfectNetwork(Diffusion):
    """A network that knows that every frame is grey: the noise follows."""

    def forward(self, x: Tensor, timesteps: Tensor, features: object, attributes: Tensor) -> Tensor:
        alpha_bar = (
            torch.from_numpy(self.schedule.alpha_bar).float()[timesteps].reshape(-1, 1, 1, 1)
        )
        return (x - alpha_bar.sqrt() * 0.5) / (1 - alpha_bar).sqrt()


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_predicted_frame_is_the_result(
    sampler: Literal["ddim", "ddpm", "dpm++"], strength: float
) -> None:
    fadm = FadmRefiner(PerfectNetwork(NARROW), MeanColours(), RUN, PUBLISHED, SIDE)
    options = RefineOptions(steps=10, sampler=sampler, strength=strength)
    frames = refined(fadm, crops(1), options)
    assert np.abs(frames[0].astype(int) - 128).max() <= 1


class RecordingNetwork(Diffusion):
    """A network that records its inputs."""

    def __init__(self, shape: NetworkShape = NARROW) -> None:
        super().__init__(shape)
        self.load_state_dict(network(shape).state_dict())
        self.eval().requires_grad_(False)
        self.noisy: list[Tensor] = []
        self.given_attributes: list[Tensor] = []
        self.frames: list[tuple[Tensor, Tensor, Tensor]] = []

    def encode_frame(
        self, coarse: Tensor, source: Tensor, motion: Tensor, *, known_warped: bool = False
    ) -> ConditionFeatures:
        self.frames.append((coarse, source, motion))
        return super().encode_frame(coarse, source, motion, known_warped=known_warped)

    def forward(
        self, x: Tensor, timesteps: Tensor, features: ConditionFeatures, attributes: Tensor
    ) -> Tensor:
        self.noisy.append(x)
        self.given_attributes.append(attributes)
        return super().forward(x, timesteps, features, attributes)


def recorded(options: RefineOptions) -> RecordingNetwork:
    """Refine one crop with a recording network."""
    recording = RecordingNetwork()
    refined(FadmRefiner(recording, MeanColours(), RUN, PUBLISHED, SIDE), crops(1), options)
    return recording


def test_sampling_starts_at_the_noised_coarse_frame() -> None:
    """At full strength it starts at the noise alone."""
    start = recorded(replace(FEW, strength=0.4)).noisy[0]
    noise = recorded(replace(FEW, strength=1.0)).noisy[0]
    coarse = torch.from_numpy(crops(1)[0]).permute(2, 0, 1)[None].float() / 255
    alpha_bar = float(linear_schedule(100).alpha_bar[round(0.4 * 99)])
    wanted = alpha_bar**0.5 * coarse + (1 - alpha_bar) ** 0.5 * noise
    torch.testing.assert_close(start, wanted, atol=1e-4, rtol=0)


def test_attributes_are_source_minus_driving(fadm: FadmRefiner) -> None:
    source = fadm.encode_source(crops(1, 9)[0], FACE).attributes
    driving = fadm.extract_attributes(crops(1), [None])
    wanted = torch.from_numpy(source - driving)
    assert torch.equal(recorded(FEW).given_attributes[0], wanted) and bool(wanted.abs().max() > 0)


def test_the_flow_leads_from_the_coarse_crop_to_its_reference() -> None:
    shape = replace(NARROW, sees_images=True, patch=2)
    recording = RecordingNetwork(shape)
    fadm = FadmRefiner(recording, MeanColours(), RUN, PUBLISHED, 64)
    small = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    coarse = np.asarray(small.repeat(8, 0).repeat(8, 1))
    reference = np.roll(coarse, 3, 1)
    source, driving = fadm.encode_source(coarse, FACE), fadm.extract_attributes([coarse], [None])
    fadm.refine([coarse], source, driving, [0], FEW, [reference])
    (found, other, motion), *_ = recording.frames
    left = float((found - warp(other, motion)).abs().mean())
    assert left < 0.3 * float((found - other).abs().mean())


def test_inference_limits_the_flow_and_the_changes_in_the_face() -> None:
    shape = replace(NARROW, sees_images=True, patch=2)
    net = network(shape).denoise_fn
    draw = torch.Generator().manual_seed(0)
    coarse, source, x = (torch.rand(1, 3, SIDE, SIDE, generator=draw) for _ in range(3))
    flow = torch.randn(1, 2, SIDE, SIDE, generator=draw)
    features = network(shape).encode_frame(coarse, source, flow)
    inputs = (x, torch.tensor([30]), features, torch.randn(1, 12, generator=draw))
    assert features.refiner_input is not None
    weighted = net.predict_output(*inputs, RESIDUAL_WEIGHT)
    wanted = weighted.inference_image(features.refiner_input)
    torch.testing.assert_close(net(*inputs), wanted)
    whole = net.predict_output(*inputs).inference_image(features.refiner_input)
    assert float((whole - wanted).abs().max()) > 1e-3
    assert float((weighted.image(features.refiner_input) - wanted).abs().max()) > 1e-3


def test_conditions_are_the_upper_left_pixels() -> None:
    coarse = torch.arange(2 * 3 * 16 * 16).float().reshape(2, 3, 16, 16)
    found = ConditionImages.of(coarse)
    assert [level.shape[-1] for level in found.levels] == [2, 4, 8]
    assert found.driving is found.generated
    for level, step in zip(found.levels, (8, 4, 2), strict=True):
        wanted = torch.nn.functional.interpolate(coarse, (16 // step, 16 // step))
        assert torch.equal(level, wanted)
    assert torch.equal(found.generated[:, :, :8, :8], coarse[:, :, :1, :1].expand(-1, -1, 8, 8))
    assert not torch.equal(ConditionImages.of(coarse, coarse + 1).driving, found.driving)


def test_colours_of_the_same_frame_are_alike() -> None:
    net = network()
    coarse, other = (
        torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(i)) for i in (1, 2)
    )
    assert float(net.encode_conditions(ConditionImages.of(coarse)).colour_loss) == 0
    assert float(net.encode_conditions(ConditionImages.of(coarse, coarse)).colour_loss) == 0
    assert float(net.encode_conditions(ConditionImages.of(coarse, other)).colour_loss) > 0


@given(w=st.floats(-1, 1.5))
@settings(deadline=None, max_examples=20)
def test_the_lowest_level_takes_one_gain_and_the_highest_the_other(w: float) -> None:
    low, high = (float(gain) for gain in level_gains(torch.tensor(w)))
    assert low == pytest.approx(np.exp(w - 0.3), rel=1e-5)
    assert low * high == pytest.approx(1, rel=1e-5)
    assert [gain_shares(level) for level in range(3)] == [(1, 0), (0.5, 0.5), (0, 1)]


def test_it_can_be_trained() -> None:
    """Every parameter has a gradient; no tensor that it needs is changed in place."""
    net = network().train().requires_grad_(True)
    coarse, real = torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 3, SIDE, SIDE)
    features = net.encode_conditions(ConditionImages.of(coarse, real))
    out = net(torch.randn(2, 3, SIDE, SIDE), torch.tensor([3, 70]), features, torch.randn(2, 12))
    (out.abs().sum() + features.colour_loss).backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert [n for n, g in gradients.items() if g is None or not g.isfinite().all()] == []


def test_half_precision_is_close(fadm: FadmRefiner) -> None:
    half = refiner(replace(RUN, precision="bf16"))
    options = RefineOptions(steps=4, strength=0.2, eta=0.0)
    frames = refined(half, crops(1), options)[0].astype(int)
    assert np.abs(frames - refined(fadm, crops(1), options)[0]).mean() < 8


def test_more_steps_than_there_are_is_refused(fadm: FadmRefiner) -> None:
    with pytest.raises(UsageError, match=r"within 2\.\.100"):
        refined(fadm, crops(1), RefineOptions(steps=101))
