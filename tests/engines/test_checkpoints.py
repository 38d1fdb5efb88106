"""Published checkpoints: the same keys and shapes, imported, converted and loaded strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden import fill
from tests.golden import fomm as fomm_filled
from tests.golden.x2face import POSE_PREFIX
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.engines.backends import ENGINES
from thcli.engines.facevid2vid import engine as facevid2vid
from thcli.engines.facevid2vid.estimator import HeadEstimator
from thcli.engines.facevid2vid.estimator import KeypointDetector as CanonicalDetector
from thcli.engines.facevid2vid.networks import OriginalGenerator, SpadeGenerator
from thcli.engines.fomm import engine as fomm_engine
from thcli.engines.fomm import networks as fomm
from thcli.engines.fomm.engine import FommEngine
from thcli.engines.monkeynet import engine as monkey_engine
from thcli.engines.monkeynet import networks as monkeynet
from thcli.engines.shared.networks import checkpoint
from thcli.engines.x2face.networks import PoseMap, X2Face
from thcli.weights.manage import import_file

Shapes = dict[str, tuple[int, ...]]

NETWORKS: dict[tuple[str, str], type[nn.Module]] = {
    ("FOMM", "kp_detector"): fomm.KeypointDetector,
    ("FOMM", "generator"): fomm.Generator,
    ("FACEVID2VID", "kp_detector"): CanonicalDetector,
    ("FACEVID2VID", "he_estimator"): HeadEstimator,
    ("FACEVID2VID", "generator"): OriginalGenerator,
    ("FACEVID2VID", "generator_spade"): SpadeGenerator,
    ("MONKEYNET", "kp_detector"): monkeynet.KeypointDetector,
    ("MONKEYNET", "generator"): monkeynet.Generator,
    ("X2FACE", "model"): X2Face,
}


def published(shared: Path, model: str, part: str) -> Shapes:
    """Read key -> shape of the reference's state dict."""
    table = json.loads((shared / "specs" / f"{model}.keys.json").read_text())[part]
    return {key: tuple(shape) for key, (shape, _) in table.items()}


def without_spectral_norm(shapes: Shapes) -> Shapes:
    plain = {key.removesuffix("_orig"): shape for key, shape in shapes.items()}
    return {
        key: shape for key, shape in plain.items() if not key.endswith(("weight_u", "weight_v"))
    }


def without_time(shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    return {k: (*s[:2], *s[3:]) if len(s) == 5 and s[2] == 1 else s for k, s in shapes.items()}


@pytest.mark.parametrize(("model", "part"), sorted(NETWORKS))
def test_keys_and_shapes_are_the_published_ones(model: str, part: str, shared: Path) -> None:
    with torch.device("meta"):
        network = NETWORKS[model, part]()
    ours = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    wanted = without_spectral_norm(published(shared, model, part))
    assert without_time(ours) == without_time(wanted) if model == "MONKEYNET" else ours == wanted


def test_keys_of_the_posed_variant(shared: Path) -> None:
    with torch.device("meta"):
        network, poses = X2Face(), PoseMap()
    state = network.state_dict() | {f"{POSE_PREFIX}{k}": v for k, v in poses.state_dict().items()}
    ours = {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert ours == published(shared, "X2FACE", "model_pose")


def random_state(shapes: Shapes) -> dict[str, Tensor]:
    return {k: torch.randn(s) if s else torch.tensor(3) for k, s in shapes.items()}


@pytest.mark.parametrize("part", ["generator", "kp_detector"])
def test_random_values_in_the_published_layout_load(part: str, shared: Path) -> None:
    state = random_state(published(shared, "MONKEYNET", part))
    network = checkpoint.load(NETWORKS["MONKEYNET", part](), state, "file")
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor.flatten(), state[key].flatten()), key


def test_an_official_file_is_imported_and_observes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    """A pickle with optimizers beside the networks is imported, converted and loaded into an
    engine.
    """
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    file = tmp_path / "vox-cpk.pth.tar"
    parts: dict[str, Any] = {
        "kp_detector": fomm_filled.detector_state(0),
        "generator": fomm_filled.generator_state(0),
    }
    torch.save(
        {**parts, "optimizer_generator": {"state": {}, "param_groups": []}, "epoch": 99}, file
    )
    parts.clear()
    import_file("fomm-vox", file, trust=True)
    file.unlink()
    engine = ENGINES.backend("fomm-vox").load(RunOptions(device="cpu"))
    assert isinstance(engine, FommEngine)
    with torch.inference_mode():
        seen = engine.extract_motion(fill.image("fomm", 0, 0))
    with np.load(shared / "golden" / "FOMM.npz") as golden:
        assert np.allclose(seen["value"], golden["kp/source_value"], atol=1e-5)


def test_weights_of_any_width_load() -> None:
    """`thcli train --narrow 16` makes such files."""
    for model, build in (
        (fomm, fomm_engine.build_networks),
        (monkeynet, monkey_engine.build_networks),
    ):
        parts = {
            "kp_detector": model.KeypointDetector(width_divisor=16).state_dict(),
            "generator": model.Generator(width_divisor=16).state_dict(),
        }
        for network, state in zip(build(parts, "file"), parts.values(), strict=True):
            for key, tensor in network.state_dict().items():
                assert torch.equal(tensor, state[key]), key
    for generator in (OriginalGenerator, SpadeGenerator):
        made = [
            net(width_divisor=16).state_dict()
            for net in (CanonicalDetector, HeadEstimator, generator)
        ]
        found = facevid2vid.assemble(made, "file").generator
        assert type(found) is generator
        assert found.state_dict().keys() == made[2].keys()


def test_another_models_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monkey-Net's parts have the first-order model's names; the keys differ."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    file = tmp_path / "wrong.pth.tar"
    torch.save(
        {
            "kp_detector": {"predictor.weight": torch.zeros(2)},
            "generator": {"first.weight": torch.zeros(2)},
        },
        file,
    )
    import_file("fomm-vox", file, trust=True)
    with pytest.raises(WeightsError, match=r"fomm-vox .*missing .*unexpected \(predictor.weight\)"):
        ENGINES.backend("fomm-vox").load(RunOptions(device="cpu"))


def test_a_file_without_a_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    file = tmp_path / "half.pth.tar"
    torch.save({"generator": {"first.weight": torch.zeros(2)}}, file)
    import_file("fomm-vox", file, trust=True)
    with pytest.raises(WeightsError, match="kp_detector"):
        ENGINES.backend("fomm-vox").load(RunOptions(device="cpu"))


def test_keys_select_the_version_of_face_vid2vid() -> None:
    kinds = (CanonicalDetector, HeadEstimator, OriginalGenerator)
    detector, estimator, original = (fill.shapes(kind) for kind in kinds)
    older = {key: tensor for key, tensor in detector.items() if key != "down.weight"}
    spade = {"decoder.fc.weight": torch.zeros(1)}
    with fill.Unfilled():
        networks = facevid2vid.assemble([detector, estimator, original], "file")
        assert isinstance(networks.generator, OriginalGenerator) and not networks.beta
        assert facevid2vid.assemble([older, estimator, original], "file").beta
        with pytest.raises(WeightsError, match="SpadeGenerator"):
            facevid2vid.assemble([detector, estimator, spade], "file")
