"""Training of fadm-s: pairs as the mesh engine draws them, how they are changed, the first update, a tiny run."""

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
from thcli.motion.model3d import EXPRESSION
from thcli.refiners.fadm import small
from thcli.refiners.fadm.alignment import SHY, MotionPrior
from thcli.refiners.fadm.attributes import COUNT
from thcli.refiners.fadm.network import Diffusion, shape_of
from thcli.train.core.fast_group_norm import quicken_norms
from thcli.train.core.run import recipe_of, train
from thcli.train.core.synthetic import made_clips
from thcli.train.core.task import noise_of
from thcli.train.fadm.augment import Item, augmented, flipped, mirrored, plain, worse
from thcli.train.fadm.data import CoarsePairs, filmed, padded, thinned, where_of
from thcli.train.fadm.pairs import Maker, spread
from thcli.train.fadm.train import FadmTask, accustom, begin, mean_over
from thcli.weights.tensors import load_tensors

SIZE = 96
OPTIONS = TrainOptions(size=SIZE, device="cpu", threads=1, narrow=16)
OWN = FadmTrainOptions(sources=1, drivers=3)


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of one picture that moves, large enough for the face to be followed."""
    folder = tmp_path_factory.mktemp("talking")
    made_clips(folder, 128)
    return folder


@pytest.fixture(scope="module")
def pairs(talking: Path) -> CoarsePairs:
    return CoarsePairs(talking, OPTIONS, OWN, 2)


def item(seed: int = 0) -> Item:
    draw = np.random.default_rng(seed)
    side = padded(SIZE)
    soft = [
        draw.integers(0, 256, (8, 8, 3), np.uint8)
        .repeat(side // 8 + 1, 0)
        .repeat(side // 8 + 1, 1)[:side, :side]
        for _ in range(4)
    ]
    inside = np.array([-0.5, -0.5, side - 0.5, side * 0.75], np.float32)
    coarse, truth, still, source = soft
    return Item(coarse, truth, still, source, inside, draw.normal(0, 0.1, COUNT).astype(np.float32))


def test_batches_follow_from_seed_and_step(pairs: CoarsePairs, talking: Path) -> None:
    again = CoarsePairs(talking, OPTIONS, OWN, 2)
    one, same, other = pairs.batch(3), again.batch(3), pairs.batch(4)
    assert {k: tuple(v.shape) for k, v in one.items()} == {
        "coarse": (2, 3, SIZE, SIZE),
        "truth": (2, 3, SIZE, SIZE),
        "source": (2, 3, SIZE, SIZE),
        "inside": (2, 1, SIZE, SIZE),
        "attributes": (2, COUNT),
        "motion": (2, 2, SIZE, SIZE),
        "off": (2, 2, SIZE, SIZE),
        "untouched": (2,),
    }
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["truth"], other["truth"])
    pictures = [one[k] for k in ("coarse", "truth", "source", "inside")]
    assert all(float(v.min()) >= 0 and float(v.max()) <= 1 for v in pictures)


def test_pairs_are_drawn_once_and_the_coarse_one_is_near_the_true_one(
    pairs: CoarsePairs, talking: Path
) -> None:
    kept = talking / f".fadm-{SIZE}" / "truth.npy"
    before = kept.stat().st_mtime_ns
    again = CoarsePairs(talking, OPTIONS, OWN, 2)
    assert kept.stat().st_mtime_ns == before and len(again) == len(pairs) == 6
    shown = pairs.fixed()
    moved = (shown["source"] - shown["truth"]).abs().mean((1, 2, 3))
    wrong = (shown["coarse"] - shown["truth"]).abs().mean((1, 2, 3))
    assert float(moved.min()) > 0 and float(wrong.mean()) < float(moved.mean())


def test_other_options_draw_anew(talking: Path, tmp_path: Path) -> None:
    own = replace(OWN, drivers=2, pairs=str(tmp_path), clips=1, only="one")
    assert (
        len(CoarsePairs(talking, OPTIONS, own, 2)) == 2
        and (tmp_path / f".fadm-{SIZE}" / "still.npy").is_file()
    )


def test_a_clip_that_is_too_short_is_refused(tmp_path: Path) -> None:
    made_clips(tmp_path, 128, frames=4)
    with pytest.raises(MediaError, match="too short"):
        Maker(RunOptions(device="cpu")).pairs(
            tmp_path / "one.mp4", None, 1, 2, np.random.default_rng(0)
        )


@given(seed=st.integers(0, 99), count=st.integers(1, 9), length=st.integers(9, 60))
@settings(deadline=None, max_examples=30)
def test_frames_are_spread_over_the_clip(seed: int, count: int, length: int) -> None:
    found, part = spread(np.arange(length), count, np.random.default_rng(seed)), length / count
    assert count / 2 <= len(found) <= count and (np.diff(found) > 0).all()
    assert 0 <= found[0] < part and length - part - 1 < found[-1] < length


def test_no_speaker_has_more_clips_than_asked_for() -> None:
    clips = [(Path(f"{who}{i}"), who) for who, count in (("a", 9), ("b", 2)) for i in range(count)]
    kept = thinned(clips, 3)
    assert [path.name for path, _ in kept] == ["a0", "a4", "a8", "b0", "b1"]


def test_what_was_never_filmed_is_known() -> None:
    """The frame's outline in the crop's pixels: there the border's last pixels begin to repeat."""
    mesh = np.random.default_rng(0).normal([100, 60, 0], 30, (468, 3))
    where = where_of(mesh, SIZE)
    x0, y0, x1, y1 = filmed(np.zeros((120, 200, 3), np.uint8), where)
    frame = np.linalg.inv(where.crop_from_frame) @ np.array([[x0, x1], [y0, y1], [1, 1]])
    np.testing.assert_allclose(frame[:2], [[-0.5, 199.5], [-0.5, 119.5]], atol=1e-3)


def test_as_it_is_a_pair_is_its_middle() -> None:
    one = item()
    out = plain(one, SIZE)
    edge = (padded(SIZE) - SIZE) // 2
    wanted = one.truth[edge : edge + SIZE, edge : edge + SIZE].transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_allclose(out["truth"], wanted, atol=1e-6)
    assert out["inside"][0, 0].min() == 1 and out["inside"][0, -1].max() == 0


@pytest.mark.parametrize("untouched", [0.0, 1.0])
def test_untouched_items_show_the_truth(untouched: float) -> None:
    own = replace(OWN, untouched=untouched, degraded=0.0)
    apart = []
    for seed in range(8):
        out = augmented(item(), SIZE, OPTIONS, own, np.random.default_rng(seed))
        assert float(out["untouched"]) == untouched
        apart.append(float(np.abs(out["coarse"] - out["truth"]).mean()))
    assert min(apart) == 0 if untouched else min(apart) > 0.1
    assert max(apart) < 0.05 or not untouched


def test_degrading_changes_the_coarse_frame_alone() -> None:
    own = replace(OWN, untouched=0.0, degraded=1.0)
    bare = replace(OPTIONS, flip=False, jitter=0.0)
    one = item()
    assert any(
        not np.array_equal(worse(one.coarse, np.random.default_rng(i)), one.coarse)
        for i in range(3)
    )
    bad = augmented(one, SIZE, bare, own, np.random.default_rng(1))
    assert set(np.unique(np.round(bad["truth"] * 255))) <= set(np.unique(one.truth)) | set(
        range(256)
    )
    assert float(np.abs(bad["coarse"] - bad["truth"]).mean()) > 0


@given(seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_mirroring_twice_changes_nothing(seed: int) -> None:
    numbers: Array32 = np.random.default_rng(seed).normal(0, 1, COUNT).astype(np.float32)
    there = mirrored(numbers)
    np.testing.assert_array_equal(mirrored(there), numbers)
    left, right = EXPRESSION.index("blink_left"), EXPRESSION.index("blink_right")
    assert (
        there[left] == numbers[right]
        and there[EXPRESSION.index("jaw")] == numbers[EXPRESSION.index("jaw")]
    )


@given(groups=st.sampled_from([1, 4, 8]), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=12)
def test_quick_norms_are_norms(groups: int, seed: int) -> None:
    """The same numbers and gradients as torch's."""
    torch.manual_seed(seed)
    plain_norm = nn.Sequential(nn.GroupNorm(groups, 8))
    for parameter in plain_norm.parameters():
        nn.init.normal_(parameter)
    quick = nn.Sequential(nn.GroupNorm(groups, 8))
    quick.load_state_dict(plain_norm.state_dict())
    quicken_norms(quick)
    assert type(quick[0]) is not nn.GroupNorm and list(quick.state_dict()) == list(
        plain_norm.state_dict()
    )
    found = []
    for net in (plain_norm, quick):
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


def test_it_begins_with_the_coarse_frame_and_a_little_of_the_source() -> None:
    network = Diffusion(replace(small.SHAPE, width=8))
    begin(network)
    coarse, source, x = (
        torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(i)) for i in range(3)
    )
    still = torch.zeros(2, 2, 64, 64)
    read = network.look(coarse, source, still, sure=True)
    assert read.beside is not None
    out = network.denoise_fn.parts(x, torch.tensor([0, 99]), read, torch.randn(2, COUNT)).picture(
        read.beside
    )
    little = torch.sigmoid(torch.tensor(SHY))
    torch.testing.assert_close(out, coarse + little * (source - coarse), atol=1e-5, rtol=0)


def test_what_is_usually_off_is_found_by_regression() -> None:
    """Pairs whose error is a part of the mean motion, and of a number of the face, and the same at every place."""
    draw = torch.Generator().manual_seed(0)

    class Pairs:
        def motions(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
            for _ in range(40):
                motion = torch.randn(8, 2, 1, 1, generator=draw).expand(-1, -1, 48, 48)
                attributes = 0.3 * torch.randn(8, COUNT, generator=draw)
                off = 0.5 * motion + 2 * attributes[:, :1, None, None] + 0.25
                yield motion, off, attributes

    habit = MotionPrior(COUNT)
    accustom(habit, Pairs())
    attributes = torch.zeros(2, COUNT)
    attributes[1, 0] = 0.3
    told = habit(torch.full((2, 2, 48, 48), 1.0), attributes).detach()
    assert told[0].numpy() == pytest.approx(0.75, abs=0.1) and told[1].numpy() == pytest.approx(
        1.35, abs=0.1
    )
    assert habit(torch.zeros(1, 2, 48, 48), attributes[:1]).detach().numpy() == pytest.approx(
        0.25, abs=0.06
    )


def test_mirrored_pairs_move_the_other_way() -> None:
    one = plain(item(), SIZE)
    other = flipped(one)
    np.testing.assert_array_equal(other["motion"][0], -one["motion"][0, :, ::-1])
    np.testing.assert_array_equal(other["off"][1], one["off"][1, :, ::-1])
    np.testing.assert_array_equal(other["truth"], one["truth"][..., ::-1])


def test_means_count_what_was_filmed() -> None:
    values, inside = torch.arange(8.0).reshape(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
    inside[..., :2] = 1
    assert mean_over(values, inside).tolist() == [(0 + 1 + 4 + 5) / 4]


def test_an_update_moves_every_part_of_the_network(pairs: CoarsePairs) -> None:
    recipe = recipe_of("fadm", OPTIONS, OWN)
    assert isinstance(recipe, FadmTask)
    recipe.train(True)
    last = recipe.diffusion.denoise_fn.final_conv.block[3]
    assert isinstance(last, nn.Conv2d)
    nn.init.normal_(last.weight, std=0.01)
    terms = recipe.losses("refine", pairs.batch(0), noise_of(0, 0), {})
    assert set(terms) == {"pixels", "edges", "looks", "colours", "motion", "doubt"}
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    still = [
        n
        for n, p in recipe.diffusion.named_parameters()
        if p.grad is None or not p.grad.isfinite().all()
    ]
    assert still == [] and all(p.grad is None for p in recipe.teacher.parameters())
    assert {k: tuple(v.shape) for k, v in recipe.pictures(pairs.fixed()).items()} == dict.fromkeys(
        ("source", "coarse", "refined", "truth"), (6, 3, SIZE, SIZE)
    )


@pytest.mark.parametrize(
    "wrong", [{"untouched": 1.5}, {"degraded": 0.9}, {"alone": 2.0}, {"drivers": 0}]
)
def test_options_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        FadmTrainOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.slow
def test_a_trial_learns_and_exports_what_the_refiner_loads(tmp_path: Path) -> None:
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
    assert (shape.beside, shape.patch, shape.attributes) == (True, 4, COUNT)
    load_state(Diffusion(shape), {key: value.float() for key, value in tensors.items()}, "here")
