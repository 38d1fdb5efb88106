"""Keys, shapes and configurations of published checkpoints of Real3D-Portrait."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.engines.real3d.published_states import has_spectral_norm, published_layout
from thcli.core.errors import WeightsError
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.model import (
    PretrainingModel,
    Real3D,
    empty_model,
    load_model,
)

ORIG, TRIGRID = Real3DConfig(), Real3DConfig(plane_depth=3, torso_input="rgb")
# Name in the list of published keys -> configuration, and the digest of its keys and shapes.
LAYOUTS: dict[str, tuple[type[nn.Module], Real3DConfig, str]] = {
    "secc2plane_torso_orig": (Real3D, ORIG, "71916dec07303101"),
    "secc2plane_orig": (Real3D, replace(ORIG, torso=False), "bc11a068940837f5"),
    "secc2plane_torso_trigrid": (Real3D, TRIGRID, "f1dc1dd65f60647c"),
    "img2plane_orig": (PretrainingModel, replace(ORIG, torso=False), "dba0376fcfe26738"),
}


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_keys_and_shapes_are_the_published_ones(name: str) -> None:
    kind, config, digest = LAYOUTS[name]
    with torch.device("meta"):
        ours = shapes(kind(config))
    lines = "\n".join(f"{key} {shape}" for key, shape in sorted(ours.items()))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("name", LAYOUTS)
def test_keys_and_shapes_are_those_of_the_list(name: str, shared: Path) -> None:
    kind, config, _ = LAYOUTS[name]
    table = json.loads((shared / "specs" / "REAL3D_VIDEO.keys.json").read_text())[name]
    wanted = {
        key.removesuffix("_orig"): tuple(shape)
        for key, (shape, _) in table.items()
        if not key.endswith(("weight_u", "weight_v"))
    }
    with torch.device("meta"):
        network = kind(config)
    assert shapes(network) == wanted
    normed = {key.removesuffix("_orig") for key in table if key.endswith("_orig")}
    assert {key for key in wanted if has_spectral_norm(key) and len(wanted[key]) == 4} == normed


def test_the_state_decides_over_the_configuration() -> None:
    for made, told in ((TRIGRID, ORIG), (ORIG, TRIGRID)):
        with torch.device("meta"):
            state = published_layout(empty_model(made))
            assert load_model(state, told).config == made
    with torch.device("meta"):
        head_only = empty_model(replace(ORIG, torso=False)).state_dict()
        assert not load_model(head_only, ORIG).config.torso


def test_a_yaml_file_is_read() -> None:
    text = """
    nested: 1
triplane_feature_type: trigrid_v2   # newer
triplane_depth: 3
torso_kp_num: 4
htbsr_head_threshold: '0.7'
num_samples_coarse: 24
"""
    wanted = replace(TRIGRID, head_threshold=0.7, coarse_samples=24)
    assert Real3DConfig.from_yaml(text) == wanted
    assert Real3DConfig.from_yaml("torso_inp_mode: rgb_alpha\n") == ORIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("triplane_feature_type: trigrid\n", "trigrid planes of depth 0"),
        ("triplane_depth: 3\n", "triplane planes of depth 3"),
        ("triplane_depth: deep\n", "'deep', which is not a number"),
        ("torso_inp_mode: mask\n", "torso_inp_mode: 'mask'"),
        ("htbsr_head_weight_fuse_mode: v3\n", "htbsr_head_weight_fuse_mode: v3"),
        ("pncc_cond_mode: cano_tgt\n", "pncc_cond_mode: cano_tgt"),
    ],
)
def test_other_models_are_refused(text: str, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        Real3DConfig.from_yaml(text)


def test_incomplete_states_are_named() -> None:
    with torch.device("meta"):
        state = published_layout(empty_model(ORIG))
        del state["decoder.net.0.bias"]
        with pytest.raises(WeightsError, match=r"1 missing \(decoder\.net\.0\.bias\)"):
            load_model(state)
    with pytest.raises(WeightsError, match="no tensors"):
        load_model({})
