"""Contract of every refiner in the table: shapes, ranges, independence of the batch.

The networks are narrow, with synthetic parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden import fill
from thcli.core.geometry import bounding_box
from thcli.core.options import RefineOptions, RunOptions
from thcli.core.protocols import Refiner
from thcli.core.types import Array32, Face, Image
from thcli.motion.canonical import neutral
from thcli.refiners.backends import DETAIL_ALONE, REFINERS, choose_refiner
from thcli.refiners.fadm import small
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, NetworkShape
from thcli.refiners.fadm.refiner import PUBLISHED, FadmRefiner
from thcli.refiners.resshift.refiner import NAME as RUNS_LAST
from thcli.refiners.restoration.autoencoder import AutoencoderShape
from thcli.refiners.restoration.codeformer import CodeFormer, CodeFormerShape
from thcli.refiners.restoration.gfpgan import Gfpgan
from thcli.refiners.restoration.refiner import RESTORERS, RestorationRefiner
from thcli.refiners.restoration.restoreformer import RestoreFormer, RestoreFormerShape

RUN = RunOptions(device="cpu", threads=1, seed=3)
SIDE = 32
FEW = RefineOptions(steps=3)


class MeanColours:
    """Stand-in for DECA: mean colours of squares."""

    def extract_attributes(self, images: Tensor) -> Array32:
        means = torch.nn.functional.adaptive_avg_pool2d(images, 5).flatten(1)
        return np.asarray(means[:, : OFFICIAL.attributes].numpy(), np.float32)


def filled(shape: NetworkShape) -> Diffusion:
    network = Diffusion(shape)
    state = fill.state(
        network.state_dict(),
        0,
        keep=lambda key: not key.startswith("denoise_fn.") or "inv_freq" in key,
    )
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def fadm() -> Refiner:
    shape = replace(OFFICIAL, width=32, multipliers=(1, 1), blocks=1, attention=(2,), inner=8)
    return FadmRefiner(filled(shape), MeanColours(), RUN, PUBLISHED, SIDE)


def fadm_s() -> Refiner:
    network = filled(replace(small.SHAPE, multipliers=(1, 1), inner=8))
    return FadmRefiner(network, None, RUN, None, SIDE)


def restoration(name: str, network: nn.Module) -> Refiner:
    network.load_state_dict(fill.state(network.state_dict(), 0))
    restorer = RESTORERS[name]
    return RestorationRefiner(network.eval().requires_grad_(False), restorer, RUN, SIDE)


BASE = AutoencoderShape(width=32, multipliers=(1, 2), code=8, codes=8)
ROWS: dict[str, Callable[[], Refiner]] = {
    "fadm": fadm,
    "fadm-s": fadm_s,
    "gfpgan": lambda: restoration("gfpgan", Gfpgan(SIDE, 1 / 16)),
    "codeformer": lambda: restoration(
        "codeformer",
        CodeFormer(CodeFormerShape(BASE, embedding=16, heads=2, layers=1, fused=((0, "32"),))),
    ),
    "restoreformer": lambda: restoration(
        "restoreformer", RestoreFormer(RestoreFormerShape(replace(BASE, decoder_blocks=3), heads=4))
    ),
}


@pytest.fixture(scope="module", params=sorted(ROWS))
def refiner(request: pytest.FixtureRequest) -> Refiner:
    return ROWS[request.param]()


def crops(count: int, seed: int = 0) -> list[Image]:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return list(coarse.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2))


def faces(count: int) -> list[Face]:
    meshes = [(neutral() * (8 + i) + (16, 16, 0)).astype(np.float32) for i in range(count)]
    return [Face(bounding_box(mesh), 1.0, mesh=mesh) for mesh in meshes]


def refined(
    refiner: Refiner, count: int = 3, first: int = 0, reference_crops: list[Image] | None = None
) -> list[Image]:
    own = slice(first, first + count)
    source = refiner.encode_source(crops(1, 9)[0], faces(1)[0])
    driving = refiner.extract_attributes(crops(6)[own], faces(6)[own])
    return refiner.refine(crops(6)[own], source, driving, range(6)[own], FEW, reference_crops)


def test_every_row_of_the_table_is_here() -> None:
    unchanged = {DETAIL_ALONE, RUNS_LAST}  # crops stay; see tests/refiners/resshift
    assert set(REFINERS.rows) == {*ROWS, *unchanged}
    names = [choose_refiner("auto", RUN, mesh_frames=mesh) for mesh in (False, True)]
    assert names == [RUNS_LAST, "fadm-s"]
    free = replace(RUN, licence="free")
    assert choose_refiner("auto", free, mesh_frames=True) == DETAIL_ALONE


def test_outputs_have_the_protocols_shapes_and_types(refiner: Refiner) -> None:
    assert isinstance(refiner, Refiner) and (refiner.crop_size, refiner.mask) == (SIDE, None)
    assert [(p.shape, p.dtype) for p in refined(refiner)] == [
        ((SIDE, SIDE, 3), np.dtype(np.uint8))
    ] * 3
    attributes = refiner.extract_attributes(crops(2), faces(2))
    assert (
        attributes.dtype == np.float32
        and attributes.shape[0] == 2
        and np.isfinite(attributes).all()
    )


def test_neither_batch_nor_neighbours_change_a_frame(refiner: Refiner) -> None:
    whole = refined(refiner, 5)
    for number in (0, 4):
        assert np.array_equal(refined(refiner, 1, number)[0], whole[number])
    for again, before in zip(refined(refiner, 5), whole, strict=True):
        assert np.array_equal(again, before)


def test_none_gives_none(refiner: Refiner) -> None:
    source = refiner.encode_source(crops(1)[0], faces(1)[0])
    none = np.zeros((0, refiner.extract_attributes(crops(1), faces(1)).shape[1]), np.float32)
    assert refiner.refine([], source, none, [], FEW) == []


def test_each_crop_takes_its_own_reference(refiner: Refiner) -> None:
    views = crops(3, 5)
    whole = refined(refiner, 3, 0, views)
    assert len(whole) == 3
    assert np.array_equal(refined(refiner, 1, 2, views[2:])[0], whole[2])


@pytest.mark.parametrize("steps", [2, 5])
def test_network_calls_are_the_given_steps(steps: int) -> None:
    assert fadm().network_calls(RefineOptions(steps=steps)) == steps
    assert fadm_s().network_calls(RefineOptions(steps=steps)) == 1
