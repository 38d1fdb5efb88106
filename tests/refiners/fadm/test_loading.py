"""Layouts of files of FADM, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.faces.model3d.published_weights import flame_tensors
from tests.refiners.fadm.narrow import (
    FACE,
    NARROW,
    RUN,
    network,
    refiner,
)
from thcli import weights
from thcli.core.errors import DeviceError, UsageError, WeightsError
from thcli.core.options import RefineOptions
from thcli.diffusion.schedule import linear_schedule
from thcli.refiners.backends import REFINERS
from thcli.refiners.fadm.network import OFFICIAL, Diffusion, NetworkShape, shape_of, tables


def test_the_official_layout_is_ours(shared: Path) -> None:
    """Every key and shape of the public file, and of the smaller golden one."""
    groups = json.loads((shared / "specs" / "FADM.keys.json").read_text())
    for shape, parts in (
        (OFFICIAL, [groups[g] for g in ("schedule", "unet", "agcn")]),
        (NetworkShape(width=32, blocks=1), groups["golden"].values()),
    ):
        with torch.device("meta"):
            unet = Diffusion(shape).denoise_fn
        wanted = {key: tuple(facts[0]) for part in parts for key, facts in part.items()}
        ours = {
            f"diffusion.denoise_fn.{key}": tuple(value.shape)
            for key, value in unet.state_dict().items()
        }
        ours |= {
            f"diffusion.{name}": table.shape
            for name, table in tables(linear_schedule(shape.steps)).items()
        }
        assert ours == wanted


@pytest.mark.parametrize(
    "shape",
    [
        NARROW,
        NetworkShape(width=32, blocks=1, steps=50),
        replace(NARROW, blocks=2, attention=()),
        replace(NARROW, sees_images=True, patch=2),
    ],
)
def test_the_shape_is_inferred_from_the_tensors(shape: NetworkShape) -> None:
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
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


def test_a_missing_device_is_named() -> None:
    with pytest.raises(DeviceError, match="cuda:7"):
        refiner(replace(RUN, device="cuda:7"))


def install(name: str, content: object, folder: Path) -> None:
    path = folder / weights.registry()[name].file
    torch.save(content, path)
    weights.import_file(name, path, trust=True)


def published(shape: NetworkShape) -> dict[str, Tensor]:
    return {f"diffusion.{key}": value for key, value in network(shape).state_dict().items()}


@pytest.mark.slow
def test_an_official_file_is_loaded_by_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flat state under `diffusion.` of a smaller network; DECA's unchanged."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    shape = NetworkShape(width=32, multipliers=(1, 1, 1, 1), blocks=1, attention=(8,), inner=8)
    install("fadm-diffusion", published(shape), tmp_path)
    install("deca", {"E_flame": flame_tensors(), "E_detail": {"x": torch.zeros(2)}}, tmp_path)
    fadm = REFINERS.backend("fadm").load(RUN)
    assert fadm.network.shape == shape and fadm.crop_size == 256
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    source = fadm.encode_source(image, FACE)
    frames = fadm.refine(
        [image], source, fadm.extract_attributes([image[::-1]], [None]), [0], RefineOptions(steps=2)
    )
    assert (
        source.attributes.shape == (56,)
        and frames[0].shape == (256, 256, 3)
        and frames[0].dtype == np.uint8
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


@pytest.mark.parametrize("name", ["fadm", "fadm-s"])
def test_no_network_is_free(name: str) -> None:
    with pytest.raises(WeightsError, match="--licence free"):
        REFINERS.backend(name).load(replace(RUN, licence="free"))
