"""FADM: the published layout, conditions, samplers and options, the same pictures whatever the batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.faces.model3d.made_models import flame_tensors
from tests.golden import fill
from thcli import weights
from thcli.core.errors import DeviceError, UsageError, WeightsError
from thcli.core.options import RefineOptions, RunOptions
from thcli.core.protocols import Refiner
from thcli.core.types import Array32, Face, Image
from thcli.diffusion.schedule import linear
from thcli.refiners.backends import REFINERS
from thcli.refiners.fadm.agcn import Conditions, gains, shares
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, Shape, shape_of, tables
from thcli.refiners.fadm.refiner import PUBLISHED, Fadm, Recipe

RUN = RunOptions(device="cpu", threads=1, seed=3)
NARROW = Shape(width=32, times=(1, 1), blocks=1, attention=(2,), inner=8, attributes=12)
SIDE = 32
FACE = Face(np.array([8, 8, 24, 24], np.float32), 1.0)
FEW = RefineOptions(steps=3)


class Reader:
    """Means of twelve squares: small numbers that follow the picture."""

    def attributes(self, pictures: Tensor) -> Array32:
        return np.asarray(
            torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1).numpy(), np.float32
        )


def network(shape: Shape = NARROW) -> Diffusion:
    """As if trained: every number does something, and the tables are true."""
    own = Diffusion(shape)
    filled = fill.state(
        own.state_dict(), 0, keep=lambda key: not key.startswith("denoise_fn.") or "inv_freq" in key
    )
    own.load_state_dict(filled)
    return own.eval().requires_grad_(False)


def refiner(run: RunOptions = RUN, recipe: Recipe = PUBLISHED) -> Fadm:
    return Fadm(network(), Reader(), run, recipe, SIDE)


@pytest.fixture(scope="module")
def fadm() -> Fadm:
    return refiner()


def crops(count: int, seed: int = 0) -> list[Image]:
    small = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return list(small.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2))


def refined(
    fadm: Fadm, coarse: Sequence[Image], options: RefineOptions = FEW, first: int = 0
) -> list[Image]:
    source, driving = (
        fadm.encode_source(crops(1, 9)[0], FACE),
        fadm.attributes(coarse, [None] * len(coarse)),
    )
    return fadm.refine(coarse, source, driving, range(first, first + len(coarse)), options)


def test_the_official_layout_is_ours(shared: Path) -> None:
    """Every key and shape of the public file, and of its golden sister."""
    groups = json.loads((shared / "specs" / "FADM.keys.json").read_text())
    for shape, parts in (
        (OFFICIAL, [groups[g] for g in ("schedule", "unet", "agcn")]),
        (Shape(width=32, blocks=1), groups["golden"].values()),
    ):
        with torch.device("meta"):
            unet = Diffusion(shape).denoise_fn
        wanted = {key: tuple(facts[0]) for part in parts for key, facts in part.items()}
        ours = {
            f"diffusion.denoise_fn.{key}": tuple(value.shape)
            for key, value in unet.state_dict().items()
        }
        ours |= {
            f"diffusion.{name}": table.shape for name, table in tables(linear(shape.steps)).items()
        }
        assert ours == wanted


@pytest.mark.parametrize(
    "shape",
    [
        NARROW,
        Shape(width=32, blocks=1, steps=50),
        replace(NARROW, blocks=2, attention=()),
        replace(NARROW, beside=True, patch=2),
    ],
)
def test_tensors_tell_how_large_their_network_is(shape: Shape) -> None:
    assert shape_of(Diffusion(shape).state_dict(), "here") == shape


def test_other_tensors_are_refused() -> None:
    whole = Diffusion(NARROW).state_dict()
    for lost in (
        "betas",
        "denoise_fn.downs.0.weight",
        "denoise_fn.final_conv.block.3.bias",
        "denoise_fn.downs.1.res_block.block1.block.3.bias",
    ):
        with pytest.raises(WeightsError, match="no diffusion network of FADM"):
            shape_of({key: value for key, value in whole.items() if key != lost}, "here")


def test_is_a_refiner(fadm: Fadm) -> None:
    checked: Refiner = fadm
    assert isinstance(checked, Refiner)
    assert (checked.crop_size, checked.template, checked.mask) == (SIDE, "square", None)


def test_pictures_follow_the_coarse_frame_and_the_attributes(fadm: Fadm) -> None:
    coarse = crops(2)
    made = refined(fadm, coarse)
    assert [(p.shape, p.dtype) for p in made] == [((SIDE, SIDE, 3), np.dtype(np.uint8))] * 2
    assert not np.array_equal(made[0], made[1])
    driving = fadm.attributes(coarse, [None, None])
    source = fadm.encode_source(crops(1, 9)[0], FACE)
    assert driving.shape == (2, 12) and source.attributes.shape == (12,)
    other = fadm.refine(coarse, source, driving + 1, range(2), FEW)
    assert not np.array_equal(made[0], other[0])


@pytest.mark.parametrize("noise", ["shared", "frame"])
def test_neither_batch_nor_window_changes_anything(fadm: Fadm, noise: str) -> None:
    options = replace(FEW, noise=noise)  # type: ignore[arg-type]  # its literals
    coarse = crops(3)
    whole = refined(fadm, coarse, options)
    parts = refined(fadm, coarse[:1], options) + refined(fadm, coarse[1:], options, first=1)
    other = refined(refiner(replace(RUN, batch_size=2)), coarse, options)
    assert all(
        np.array_equal(a, b) and np.array_equal(a, c)
        for a, b, c in zip(whole, parts, other, strict=True)
    )


def test_larger_batches_compute_the_same(fadm: Fadm) -> None:
    """What a GPU does: several frames at once, equal but for rounding."""
    coarse = crops(3)
    fadm_of_three = refiner()
    fadm_of_three.batch = 3
    for a, b in zip(refined(fadm, coarse), refined(fadm_of_three, coarse), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_noise_follows_the_seed_and_frame(fadm: Fadm) -> None:
    """Shared: a still clip stays still; else each frame has its own, wherever a window begins."""
    reference_crops = crops(1) * 2
    shared, own = (
        refined(fadm, reference_crops, replace(FEW, noise=noise)) for noise in ("shared", "frame")
    )
    assert np.array_equal(shared[0], shared[1]) and not np.array_equal(own[0], own[1])
    assert not np.array_equal(refined(refiner(replace(RUN, seed=4)), reference_crops)[0], shared[0])


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
def test_every_sampler_takes_as_many_steps_as_are_asked_for(sampler: str) -> None:
    fadm, seen = refiner(), []
    fadm.network.register_forward_hook(lambda module, inputs, out: seen.append(int(inputs[1][0])))
    made = refined(fadm, crops(1), RefineOptions(steps=4, sampler=sampler))  # type: ignore[arg-type]  # its literals
    assert seen == [99, 66, 33, 0] and made[0].std() > 0


def test_published_steps_are_all_of_the_schedule(fadm: Fadm) -> None:
    schedule = fadm.steps(PUBLISHED)
    assert schedule.timesteps.tolist() == list(range(100))
    np.testing.assert_allclose(schedule.betas, linear(100).betas, rtol=1e-5)
    assert PUBLISHED.under(RefineOptions()) == PUBLISHED == Recipe(100, "ddim", 1.0, 1.0)


def test_fresh_noise_is_the_options_choice(fadm: Fadm) -> None:
    none, much = (refined(fadm, crops(1), replace(FEW, eta=eta)) for eta in (0.0, 1.0))
    assert not np.array_equal(none[0], much[0])
    assert np.array_equal(much[0], refined(fadm, crops(1))[0])


@given(strength=st.floats(0.001, 1), steps=st.integers(2, 100))
@settings(max_examples=30, deadline=None)
def test_a_weak_start_is_a_late_one(fadm: Fadm, strength: float, steps: int) -> None:
    """It takes no more steps than there are below it, and refuses what was asked for beyond that."""
    most = max(1, round(99 * strength)) + 1
    recipe = Recipe(steps, "ddim", 0.0, strength)
    schedule = fadm.steps(recipe, given=False)
    assert (
        len(schedule) == min(steps, most)
        and schedule.timesteps[0] == 0
        and schedule.timesteps[-1] == most - 1
    )
    if steps > most:
        with pytest.raises(UsageError, match=rf"within 2\.\.{most}"):
            fadm.steps(recipe)


class Perfect(Diffusion):
    """Knows that every picture is grey: the noise follows."""

    def forward(self, x: Tensor, timesteps: Tensor, read: object, attributes: Tensor) -> Tensor:
        abar = torch.from_numpy(self.schedule.abar).float()[timesteps].reshape(-1, 1, 1, 1)
        return (x - abar.sqrt() * 0.5) / (1 - abar).sqrt()


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpm++"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_the_network_s_word_is_what_comes_out(sampler: str, strength: float) -> None:
    fadm = Fadm(Perfect(NARROW), Reader(), RUN, PUBLISHED, SIDE)
    made = refined(fadm, crops(1), RefineOptions(steps=10, sampler=sampler, strength=strength))  # type: ignore[arg-type]  # its literals
    assert np.abs(made[0].astype(int) - 128).max() <= 1


def test_conditions_are_the_upper_left_pixels() -> None:
    coarse = torch.arange(2 * 3 * 16 * 16).float().reshape(2, 3, 16, 16)
    found = Conditions.of(coarse)
    assert [level.shape[-1] for level in found.levels] == [
        2,
        4,
        8,
    ] and found.driving is found.generated
    for level, step in zip(found.levels, (8, 4, 2), strict=True):
        wanted = torch.nn.functional.interpolate(coarse, (16 // step, 16 // step))
        assert torch.equal(level, wanted)
    assert torch.equal(found.generated[:, :, :8, :8], coarse[:, :, :1, :1].expand(-1, -1, 8, 8))
    assert not torch.equal(Conditions.of(coarse, coarse + 1).driving, found.driving)


def test_colours_of_the_same_frame_are_alike() -> None:
    net = network()
    coarse, other = (
        torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(i)) for i in (1, 2)
    )
    assert float(net.read(Conditions.of(coarse)).apart) == 0
    assert float(net.read(Conditions.of(coarse, coarse)).apart) == 0
    assert float(net.read(Conditions.of(coarse, other)).apart) > 0


@given(w=st.floats(-1, 1.5))
@settings(deadline=None, max_examples=20)
def test_the_lowest_level_takes_one_gain_and_the_highest_the_other(w: float) -> None:
    low, high = (float(gain) for gain in gains(torch.tensor(w)))
    assert low == pytest.approx(np.exp(w - 0.3), rel=1e-5) and low * high == pytest.approx(
        1, rel=1e-5
    )
    assert [shares(level) for level in range(3)] == [(1, 0), (0.5, 0.5), (0, 1)]


def test_it_can_be_trained() -> None:
    """Every parameter of a batch's loss has a gradient; nothing is changed in place that it needs."""
    net = network().train().requires_grad_(True)
    coarse, real = torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 3, SIDE, SIDE)
    read = net.read(Conditions.of(coarse, real))
    out = net(torch.randn(2, 3, SIDE, SIDE), torch.tensor([3, 70]), read, torch.randn(2, 12))
    (out.abs().sum() + read.apart).backward()
    reference_crops = [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()
    ]
    assert reference_crops == []


def test_half_precision_is_close(fadm: Fadm) -> None:
    half = refiner(replace(RUN, precision="bf16"))
    options = RefineOptions(steps=4, strength=0.2, eta=0.0)
    made = refined(half, crops(1), options)[0].astype(int)
    assert np.abs(made - refined(fadm, crops(1), options)[0]).mean() < 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 1},
        {"eta": 1.5},
        {"strength": 0.0},
        {"strength": 1.1},
        {"sampler": "euler"},
        {"noise": "pink"},
    ],
)
def test_options_out_of_range_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        RefineOptions(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_more_steps_than_there_are_is_refused(fadm: Fadm) -> None:
    with pytest.raises(UsageError, match=r"within 2\.\.100"):
        refined(fadm, crops(1), RefineOptions(steps=101))


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        refiner(replace(RUN, device="cuda:7"))


def install(name: str, content: object, room: Path) -> None:
    path = room / weights.registry()[name].file
    torch.save(content, path)
    weights.import_file(name, path, trust=True)


def published(shape: Shape) -> dict[str, Tensor]:
    return {f"diffusion.{key}": value for key, value in network(shape).state_dict().items()}


@pytest.mark.slow
def test_an_official_file_is_loaded_by_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flat state under `diffusion.`, narrower; DECA's as it is."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    shape = Shape(width=32, times=(1, 1), blocks=1, attention=(2,), inner=8)
    install("fadm-diffusion", published(shape), tmp_path)
    install("deca", {"E_flame": flame_tensors(), "E_detail": {"x": torch.zeros(2)}}, tmp_path)
    fadm = REFINERS.backend("fadm").load(RUN)
    assert fadm.network.shape == shape and fadm.crop_size == 256
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    source = fadm.encode_source(picture, FACE)
    made = fadm.refine(
        [picture], source, fadm.attributes([picture[::-1]], [None]), [0], RefineOptions(steps=2)
    )
    assert (
        source.attributes.shape == (56,)
        and made[0].shape == (256, 256, 3)
        and made[0].dtype == np.uint8
    )


def test_files_of_other_keys_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    strange = published(NARROW) | {"diffusion.denoise_fn.extra.weight": torch.zeros(2)}
    install("fadm-diffusion", strange, tmp_path)
    with pytest.raises(WeightsError, match="1 unexpected") as caught:
        REFINERS.backend("fadm").load(RUN)
    assert caught.value.exit_code == 5


def test_absent_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        REFINERS.backend("fadm").load(RUN)
    assert caught.value.exit_code == 5 and "thcli weights" in caught.value.hint


@pytest.mark.parametrize("name", sorted(REFINERS.rows))
def test_no_refiner_is_free(name: str) -> None:
    with pytest.raises(WeightsError, match="--licence free"):
        REFINERS.backend(name).load(replace(RUN, licence="free"))
