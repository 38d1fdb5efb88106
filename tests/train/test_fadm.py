"""Training of fadm-s: rendered pairs, augmentation, initial state, losses and a smoke run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from thcli.core.errors import MediaError, UsageError
from thcli.core.options import FadmTrainOptions, RunOptions, TrainOptions
from thcli.core.types import Array32
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.motion.model3d import EXPRESSION_NAMES
from thcli.refiners.fadm import small
from thcli.refiners.fadm.alignment import SHARE_BIAS, MotionPrior
from thcli.refiners.fadm.attributes import ATTRIBUTE_COUNT
from thcli.refiners.fadm.network import Diffusion, shape_of
from thcli.train.core.fast_group_norm import replace_group_norms
from thcli.train.core.run import create_task, train
from thcli.train.core.synthetic import write_synthetic_clips
from thcli.train.core.task import step_generator
from thcli.train.fadm.augment import (
    StoredPair,
    augment_pair,
    degrade,
    mirror_attributes,
    mirror_pair,
    prepare_pair,
)
from thcli.train.fadm.data import (
    CoarsePairs,
    frame_bounds,
    padded_size,
    refiner_crop,
)
from thcli.train.fadm.pairs import PairRenderer, spread_frames
from thcli.train.fadm.train import FadmTask, fit_motion_prior, init_network, masked_mean
from thcli.weights.tensors import load_tensors

SIZE = 96
OPTIONS = TrainOptions(size=SIZE, device="cpu", threads=1, narrow=16)
OWN = FadmTrainOptions(sources=1, drivers=3)


@pytest.fixture(scope="module")
def pairs(talking: Path) -> CoarsePairs:
    return CoarsePairs(talking, OPTIONS, OWN, 2)


def item(seed: int = 0) -> StoredPair:
    rng = np.random.default_rng(seed)
    side = padded_size(SIZE)
    soft = [
        rng.integers(0, 256, (8, 8, 3), np.uint8)
        .repeat(side // 8 + 1, 0)
        .repeat(side // 8 + 1, 1)[:side, :side]
        for _ in range(4)
    ]
    inside = np.array([-0.5, -0.5, side - 0.5, side * 0.75], np.float32)
    coarse, truth, still, source = soft
    return StoredPair(
        coarse, truth, still, source, inside, rng.normal(0, 0.1, ATTRIBUTE_COUNT).astype(np.float32)
    )


def test_batches_follow_from_seed_and_step(pairs: CoarsePairs, talking: Path) -> None:
    again = CoarsePairs(talking, OPTIONS, OWN, 2)
    one, same, other = pairs.batch(3), again.batch(3), pairs.batch(4)
    assert {k: tuple(v.shape) for k, v in one.items()} == {
        "coarse": (2, 3, SIZE, SIZE),
        "truth": (2, 3, SIZE, SIZE),
        "source": (2, 3, SIZE, SIZE),
        "inside": (2, 1, SIZE, SIZE),
        "attributes": (2, ATTRIBUTE_COUNT),
        "source_flow": (2, 2, SIZE, SIZE),
        "residual_flow": (2, 2, SIZE, SIZE),
        "untouched": (2,),
    }
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["truth"], other["truth"])
    images = [one[k] for k in ("coarse", "truth", "source", "inside")]
    assert all(float(v.min()) >= 0 and float(v.max()) <= 1 for v in images)


def test_pairs_are_rendered_once_and_coarse_frames_are_close_to_true_ones(
    pairs: CoarsePairs, talking: Path
) -> None:
    selected = talking / f".fadm-{SIZE}" / "truth.npy"
    before = selected.stat().st_mtime_ns
    again = CoarsePairs(talking, OPTIONS, OWN, 2)
    assert selected.stat().st_mtime_ns == before and len(again) == len(pairs) == 6
    shown = pairs.sample_batch()
    moved = (shown["source"] - shown["truth"]).abs().mean((1, 2, 3))
    wrong = (shown["coarse"] - shown["truth"]).abs().mean((1, 2, 3))
    assert float(moved.min()) > 0 and float(wrong.mean()) < float(moved.mean())


def test_other_options_render_new_pairs(talking: Path, tmp_path: Path) -> None:
    own = replace(OWN, drivers=2, pairs=str(tmp_path), clips=1, only="one")
    assert (
        len(CoarsePairs(talking, OPTIONS, own, 2)) == 2
        and (tmp_path / f".fadm-{SIZE}" / "still.npy").is_file()
    )


def test_held_out_speakers_are_not_trained_on(talking: Path, tmp_path: Path) -> None:
    own = replace(OWN, pairs=str(tmp_path), hold_out="two")
    data = CoarsePairs(talking, OPTIONS, own, 2)
    assert len(data) == 3 and set(data.pairs.clip) == {0}


def test_a_clip_that_is_too_short_is_refused(tmp_path: Path) -> None:
    write_synthetic_clips(tmp_path, 128, frames=4)
    with pytest.raises(MediaError, match="too short"):
        PairRenderer(RunOptions(device="cpu")).render_pairs(
            tmp_path / "one.mp4", None, 1, 2, np.random.default_rng(0)
        )


@given(seed=st.integers(0, 99), count=st.integers(1, 9), length=st.integers(9, 60))
@settings(deadline=None, max_examples=30)
def test_frames_are_spread_over_the_clip(seed: int, count: int, length: int) -> None:
    found, part = (
        spread_frames(np.arange(length), count, np.random.default_rng(seed)),
        length / count,
    )
    assert count / 2 <= len(found) <= count and (np.diff(found) > 0).all()
    assert 0 <= found[0] < part and length - part - 1 < found[-1] < length


def test_frame_bounds_are_the_frames_outline_in_crop_pixels() -> None:
    mesh = np.random.default_rng(0).normal([100, 60, 0], 30, (468, 3))
    where = refiner_crop(mesh, SIZE)
    x0, y0, x1, y1 = frame_bounds(np.zeros((120, 200, 3), np.uint8), where)
    frame = np.linalg.inv(where.crop_from_frame) @ np.array([[x0, x1], [y0, y1], [1, 1]])
    np.testing.assert_allclose(frame[:2], [[-0.5, 199.5], [-0.5, 119.5]], atol=1e-3)


def test_a_pair_without_augmentation_is_its_centre() -> None:
    one = item()
    out = prepare_pair(one, SIZE)
    edge = (padded_size(SIZE) - SIZE) // 2
    wanted = one.truth[edge : edge + SIZE, edge : edge + SIZE].transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(out["truth"], wanted, atol=1e-6)
    assert out["inside"][0, 0].min() == 1 and out["inside"][0, -1].max() == 0


@pytest.mark.parametrize("untouched", [0.0, 1.0])
def test_untouched_items_have_the_true_frame(untouched: float) -> None:
    own = replace(OWN, untouched=untouched, degraded=0.0)
    apart = []
    for seed in range(8):
        out = augment_pair(item(), SIZE, OPTIONS, own, np.random.default_rng(seed))
        assert float(out["untouched"]) == untouched
        apart.append(float(np.abs(out["coarse"] - out["truth"]).mean()))
    assert min(apart) == 0 if untouched else min(apart) > 0.1
    assert max(apart) < 0.05 or not untouched


def test_degradation_changes_the_coarse_frame_only() -> None:
    own = replace(OWN, untouched=0.0, degraded=1.0)
    bare = replace(OPTIONS, flip=False, jitter=0.0)
    one = item()
    assert any(
        not np.array_equal(degrade(one.coarse, np.random.default_rng(i)), one.coarse)
        for i in range(3)
    )
    bad = augment_pair(one, SIZE, bare, own, np.random.default_rng(1))
    assert set(np.unique(np.round(bad["truth"] * 255))) <= set(np.unique(one.truth)) | set(
        range(256)
    )
    assert float(np.abs(bad["coarse"] - bad["truth"]).mean()) > 0


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_mirroring_twice_changes_nothing(seed: int) -> None:
    numbers: Array32 = np.random.default_rng(seed).normal(0, 1, ATTRIBUTE_COUNT).astype(np.float32)
    there = mirror_attributes(numbers)
    np.testing.assert_array_equal(mirror_attributes(there), numbers)
    left, right = EXPRESSION_NAMES.index("blink_left"), EXPRESSION_NAMES.index("blink_right")
    assert (
        there[left] == numbers[right]
        and there[EXPRESSION_NAMES.index("jaw")] == numbers[EXPRESSION_NAMES.index("jaw")]
    )


@given(groups=st.sampled_from([1, 4, 8]), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=12)
def test_fast_group_norm_equals_group_norm(groups: int, seed: int) -> None:
    """Compare outputs and gradients with torch's."""
    torch.manual_seed(seed)
    reference = nn.Sequential(nn.GroupNorm(groups, 8))
    for parameter in reference.parameters():
        nn.init.normal_(parameter)
    fast = nn.Sequential(nn.GroupNorm(groups, 8))
    fast.load_state_dict(reference.state_dict())
    replace_group_norms(fast)
    assert type(fast[0]) is not nn.GroupNorm and list(fast.state_dict()) == list(
        reference.state_dict()
    )
    found = []
    for net in (reference, fast):
        x = (
            torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(seed)) * 2 + 1
        ).requires_grad_()
        y = net(x)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        assert x.grad is not None
        found.append([y.detach(), x.grad, *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        assert a is not None and b is not None
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_initial_output_is_the_coarse_frame_with_a_little_of_the_source() -> None:
    network = Diffusion(replace(small.SHAPE, width=8))
    init_network(network)
    coarse, source, x = (
        torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(3)
    )
    still = torch.zeros(2, 2, 64, 64)
    read = network.encode_frame(coarse, source, still, known_warped=True)
    assert read.refiner_input is not None
    out = network.denoise_fn.predict_output(
        x, torch.tensor([0, 99]), read, torch.randn(2, ATTRIBUTE_COUNT)
    ).image(read.refiner_input)
    little = torch.sigmoid(torch.tensor(SHARE_BIAS))
    torch.testing.assert_close(out, coarse + little * (source - coarse), atol=1e-5, rtol=0)


def test_the_motion_prior_is_fitted_by_regression() -> None:
    """Fit a residual flow that is linear in the mean flow and in an attribute."""
    rng = torch.Generator().manual_seed(0)

    class Pairs:
        def flows(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
            for _ in range(40):
                source_flow = torch.randn(8, 2, 1, 1, generator=rng).expand(-1, -1, 48, 48)
                attributes = 0.3 * torch.randn(8, ATTRIBUTE_COUNT, generator=rng)
                residual_flow = 0.5 * source_flow + 2 * attributes[:, :1, None, None] + 0.25
                yield source_flow, residual_flow, attributes

    prior = MotionPrior(ATTRIBUTE_COUNT)
    fit_motion_prior(prior, Pairs())
    attributes = torch.zeros(2, ATTRIBUTE_COUNT)
    attributes[1, 0] = 0.3
    moving = prior(torch.full((2, 2, 48, 48), 1.0), attributes).detach().numpy()
    assert moving[0] == pytest.approx(0.75, abs=0.1)
    assert moving[1] == pytest.approx(1.35, abs=0.1)
    resting = prior(torch.zeros(1, 2, 48, 48), attributes[:1]).detach().numpy()
    assert resting == pytest.approx(0.25, abs=0.06)


def test_mirroring_a_pair_negates_the_horizontal_flow() -> None:
    one = prepare_pair(item(), SIZE)
    other = mirror_pair(one)
    np.testing.assert_array_equal(other["source_flow"][0], -one["source_flow"][0, :, ::-1])
    np.testing.assert_array_equal(other["residual_flow"][1], one["residual_flow"][1, :, ::-1])
    np.testing.assert_array_equal(other["truth"], one["truth"][..., ::-1])


def test_masked_means_exclude_pixels_outside_the_mask() -> None:
    values, inside = torch.arange(8.0).reshape(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    inside[..., :2] = 1
    assert masked_mean(values, inside).tolist() == [(0 + 1 + 4 + 5) / 4]


def test_gradients_reach_every_parameter(pairs: CoarsePairs) -> None:
    task = create_task("fadm", OPTIONS, OWN)
    assert isinstance(task, FadmTask)
    task.train(True)
    last = task.diffusion.denoise_fn.final_conv.block[3]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.01)
    terms = task.losses("refine", pairs.batch(0), step_generator(0, 0), {})
    assert set(terms) == {"pixels", "edges", "looks", "colours", "motion", "doubt"}
    total = torch.stack(list(terms.values())).sum()
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    still = [
        n
        for n, p in task.diffusion.named_parameters()
        if p.grad is None or not p.grad.isfinite().all()
    ]
    assert still == [] and all(p.grad is None for p in task.teacher.parameters())
    assert {
        k: tuple(v.shape) for k, v in task.sample_images(pairs.sample_batch()).items()
    } == dict.fromkeys(("source", "coarse", "refined", "truth"), (6, 3, SIZE, SIZE))


@pytest.mark.parametrize(
    "wrong", [{"untouched": 1.5}, {"degraded": 0.9}, {"alone": 2.0}, {"drivers": 0}]
)
def test_options_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        FadmTrainOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.slow
def test_a_smoke_run_exports_weights_that_the_refiner_loads(tmp_path: Path) -> None:
    options = TrainOptions(smoke=True, steps=2, device="cpu", threads=1)
    report = train("fadm", None, tmp_path / "run", options, FadmTrainOptions(sources=1, drivers=2))
    made = Path(report["output"])
    assert report["steps"] == 2 and made.name == "fadm-s.safetensors"
    tensors = {key.removeprefix("diffusion."): value for key, value in load_tensors(made).items()}
    assert (
        tensors["betas"].dtype == torch.float32
        and tensors["denoise_fn.downs.0.weight"].dtype == torch.float16
    )
    shape = shape_of(tensors, "here")
    assert (shape.sees_images, shape.patch, shape.attributes) == (True, 4, ATTRIBUTE_COUNT)
    load_state(Diffusion(shape), {key: value.float() for key, value in tensors.items()}, "here")
