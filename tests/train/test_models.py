"""Each model: its trial ends quickly, what it exports is what its engine loads, and the command says what went wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from thcli.cli.app import run
from thcli.core.options import (
    FaceVid2VidTrainOptions,
    FommTrainOptions,
    TrainOptions,
    X2FaceTrainOptions,
)
from thcli.engines.facevid2vid.networks import SpadeGenerator
from thcli.engines.fomm.networks import KeypointDetector as FommDetector
from thcli.engines.monkeynet.networks import Generator as MonkeyGenerator
from thcli.engines.shared.networks.checkpoint import load as load_state
from thcli.engines.shared.networks.checkpoint import without_spectral_norm
from thcli.engines.x2face.engine import MEMBER
from thcli.engines.x2face.networks import X2Face
from thcli.train.core.run import recipe_of, train
from thcli.train.core.task import TrainingTask, noise_of
from thcli.train.keypoint_models.facevid2vid import FaceVid2Vid
from thcli.train.keypoint_models.pairs import Pairs
from thcli.weights import import_file, load_tensors

TINY = TrainOptions(
    steps=1, batch=2, size=128, narrow=16, samples=0, perceptual="pyramid", device="cpu", threads=1
)
OWN: dict[str, Any] = {
    "fomm": FommTrainOptions(),
    "facevid2vid": FaceVid2VidTrainOptions(),
    "monkeynet": None,
    "x2face": X2FaceTrainOptions(),
}
LAYOUTS = [
    ("fomm", FommTrainOptions(), "FOMM", ("kp_detector", "generator")),
    (
        "facevid2vid",
        FaceVid2VidTrainOptions(),
        "FACEVID2VID",
        ("kp_detector", "he_estimator", "generator"),
    ),
    (
        "facevid2vid",
        FaceVid2VidTrainOptions("spade"),
        "FACEVID2VID",
        ("kp_detector", "he_estimator", "generator_spade"),
    ),
    ("monkeynet", None, "MONKEYNET", ("kp_detector", "generator")),
    ("x2face", X2FaceTrainOptions(), "X2FACE", ("model",)),
]


@pytest.mark.parametrize("model", OWN)
def test_the_trial_of_each_model(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps = ("--steps", "1") if model == "facevid2vid" else ()
    assert (
        run(
            [
                "train",
                model,
                "--smoke",
                *steps,
                "-o",
                str(tmp_path / "run"),
                "--threads",
                "1",
                "--device",
                "cpu",
                "--json",
            ]
        )
        == 0
    )
    report = json.loads(capfd.readouterr().out)
    assert report["steps"] == (1 if steps else 4) and report["clips"] == 2 and report["losses"]
    assert Path(report["output"]).is_file() and report["use"] is None, (
        "a trial is too small for the engine"
    )
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {
        "log.jsonl",
        "summary.txt",
        "options.json",
        "checkpoints",
        "samples",
        f"{model}.safetensors",
    } <= names
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1


@pytest.mark.parametrize(("model", "own", "file", "parts"), LAYOUTS, ids=lambda v: str(v)[:24])
def test_what_is_exported_has_the_published_layout(
    shared: Path, model: str, own: Any, file: str, parts: tuple[str, ...]
) -> None:
    """Every key and shape at full width; on a device without memory."""
    with torch.device("meta"):
        recipe = recipe_of(model, TrainOptions(perceptual="pyramid"), own)
    layout = recipe.layout(
        {name: network.state_dict() for name, network in recipe.networks.items()}
    )
    keys = json.loads((shared / "specs" / f"{file}.keys.json").read_text())
    wanted: dict[str, tuple[int, ...]] = {}
    for part in parts:
        head = "state_dict." if part == "model" else part.removesuffix("_spade") + "."
        wanted |= {head + key: tuple(shape) for key, (shape, _) in keys[part].items()}
    assert {key: tuple(value.shape) for key, value in layout.items()} == wanted


def test_exported_weights_go_through_import(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engines' own way in, at a small width: the file of each model, imported, fits the networks strictly."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "weights"))

    def trained(model: str, **changes: Any) -> Path:
        out = train(
            model, clips, tmp_path / f"{model}{len(changes)}", replace(TINY, **changes), OWN[model]
        )["output"]
        return Path(out)

    import_file("fomm-vox", trained("fomm"), trust=True)
    load_state(FommDetector(narrow=16), load_tensors("fomm-vox", prefix="kp_detector."), "fomm")
    import_file(
        "fomm-vox", trained("fomm", seed=1, precision="fp32"), trust=True
    )  # trained again: it takes the first one's place
    import_file("monkeynet", trained("monkeynet"), trust=True)
    load_state(
        MonkeyGenerator(narrow=16), load_tensors("monkeynet", prefix="generator."), "monkeynet"
    )
    import_file("x2face", trained("x2face", size=256), trust=True)
    load_state(X2Face(narrow=16), load_tensors("x2face", member=MEMBER), "x2face")


def test_a_spade_generator_loads_as_published() -> None:
    """Its spectral norm is merged at loading, and the picture stays what training saw."""
    recipe = recipe_of("facevid2vid", TINY, FaceVid2VidTrainOptions("spade"))
    assert isinstance(recipe, FaceVid2Vid) and recipe.entry == "facevid2vid"
    recipe.train(False)
    layout = recipe.layout(
        {name: network.state_dict() for name, network in recipe.networks.items()}
    )
    own = {k.removeprefix("generator."): v for k, v in layout.items() if k.startswith("generator.")}
    assert any(key.endswith("weight_orig") for key in own)
    loaded = load_state(SpadeGenerator(narrow=16), without_spectral_norm(own, "own"), "own")
    feature = torch.rand(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(loaded.paint(feature), recipe.generator.paint(feature), atol=1e-5)


@pytest.mark.parametrize("model", ["fomm", "monkeynet", "x2face"])
def test_every_network_learns(model: str, clips: Path) -> None:
    """Each phase's gradients reach every weight of its networks that can matter, and no frozen one."""
    options = replace(TINY, size=256 if model == "x2face" else 128)
    own = FommTrainOptions(adversarial=True) if model == "fomm" else OWN[model]
    recipe = recipe_of(model, options, own)
    data = Pairs(clips, options, 2)
    batch = data.batch(0)
    kept: dict[str, Any] = {}
    recipe.train(True)
    for phase in recipe.phases:
        for network in recipe.networks.values():
            network.zero_grad()
        terms = recipe.losses(phase.name, batch, noise_of(0, 0), kept)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]  # torch's own
        for name in phase.networks:
            assert share_taught(recipe.networks[name]) > 0.95, f"{name} in {phase.name}"
    data.close()


def share_taught(network: nn.Module) -> float:
    """Part of the tensors that got a gradient."""
    grads = [
        p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters()
    ]
    return sum(grads) / len(grads)


def test_x2face_identity_looks_at_other_people(clips: Path) -> None:
    options = replace(TINY, size=256)
    recipe: TrainingTask = recipe_of("x2face", options, X2FaceTrainOptions(identity=0.5, views=2))
    data = Pairs(clips, options, 2, views=2)
    batch = dict(data.batch(0))
    recipe.train(True)
    assert float(recipe.losses("model", batch, noise_of(0, 0), {})["identity"].detach()) > 0
    batch["person"] = torch.zeros(2, dtype=torch.int64)
    assert float(recipe.losses("model", batch, noise_of(0, 0), {})["identity"].detach()) == 0
    data.close()


def test_exit_codes(tmp_path: Path, clips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "run")]
    assert run(["train", "fomm", *out]) == 2
    assert "no dataset" in capfd.readouterr().err
    assert run(["train", "fomm", str(tmp_path / "absent"), *out]) == 3
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "a"), "--size", "100"]) == 2
    assert run(["train", "x2face", str(clips), "-o", str(tmp_path / "b"), "--size", "128"]) == 2
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "c"), "--device", "cuda:7"]) == 6
    assert not list(tmp_path.iterdir()), "what is refused leaves nothing behind"
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "used")]) == 7
    assert (tmp_path / "used" / "file").read_text() == "mine"
    assert run(["train", "fomm"]) == 2, "no place for the run"
