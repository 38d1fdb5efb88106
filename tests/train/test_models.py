"""Training of the reenactment models: smoke runs, exported weights and exit codes."""

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
    MonkeyNetTrainOptions,
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
from thcli.train.core.run import create_task, train
from thcli.train.core.task import TrainingTask, step_generator
from thcli.train.keypoint_models.facevid2vid import FaceVid2VidTask
from thcli.train.keypoint_models.pairs import FramePairs
from thcli.weights import import_file, load_tensors

TINY = TrainOptions(
    steps=1, batch=2, size=128, narrow=16, samples=0, perceptual="pyramid", device="cpu", threads=1
)
OWN: dict[str, Any] = {
    "fomm": FommTrainOptions(),
    "facevid2vid": FaceVid2VidTrainOptions(),
    "monkeynet": MonkeyNetTrainOptions(),
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
    ("monkeynet", MonkeyNetTrainOptions(), "MONKEYNET", ("kp_detector", "generator")),
    ("x2face", X2FaceTrainOptions(), "X2FACE", ("model",)),
]


@pytest.mark.parametrize("model", OWN)
def test_the_smoke_run_of_each_model(
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
    assert Path(report["output"]).is_file()
    assert (report["use"] is None) is (model != "x2face"), "a trial is too small for the engine"
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
def test_exported_tensors_have_the_published_layout(
    shared: Path, model: str, own: Any, file: str, parts: tuple[str, ...]
) -> None:
    """Compare every key and shape at full width, on the meta device."""
    with torch.device("meta"):
        task = create_task(model, TrainOptions(perceptual="pyramid"), own)
    exported = task.export_tensors(
        {name: network.state_dict() for name, network in task.networks.items()}
    )
    keys = json.loads((shared / "specs" / f"{file}.keys.json").read_text())
    wanted: dict[str, tuple[int, ...]] = {}
    for part in parts:
        head = "state_dict." if part == "model" else part.removesuffix("_spade") + "."
        wanted |= {head + key: tuple(shape) for key, (shape, _) in keys[part].items()}
    assert {key: tuple(value.shape) for key, value in exported.items()} == wanted


def test_exported_weights_can_be_imported(
    tmp_path: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Import each model's file, at a small width, and load it strictly."""
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "weights"))

    def trained(model: str, **changes: Any) -> Path:
        out = train(
            model, clips, tmp_path / f"{model}{len(changes)}", replace(TINY, **changes), OWN[model]
        )["output"]
        return Path(out)

    import_file("fomm-vox", trained("fomm"), trust=True)
    load_state(
        FommDetector(width_divisor=16), load_tensors("fomm-vox", prefix="kp_detector."), "fomm"
    )
    import_file(
        "fomm-vox", trained("fomm", seed=1, precision="fp32"), trust=True
    )  # a second import replaces the first
    import_file("monkeynet", trained("monkeynet"), trust=True)
    load_state(
        MonkeyGenerator(width_divisor=16),
        load_tensors("monkeynet", prefix="generator."),
        "monkeynet",
    )
    import_file("x2face", trained("x2face", size=256), trust=True)
    load_state(X2Face(width_divisor=16), load_tensors("x2face", member=MEMBER), "x2face")


def test_a_spade_generator_loads_as_published() -> None:
    """Compare the output before export with that after the spectral norm is merged."""
    task = create_task("facevid2vid", TINY, FaceVid2VidTrainOptions("spade"))
    assert isinstance(task, FaceVid2VidTask) and task.entry == "facevid2vid"
    task.train(False)
    exported = task.export_tensors(
        {name: network.state_dict() for name, network in task.networks.items()}
    )
    own = {
        k.removeprefix("generator."): v for k, v in exported.items() if k.startswith("generator.")
    }
    assert any(key.endswith("weight_orig") for key in own)
    loaded = load_state(SpadeGenerator(width_divisor=16), without_spectral_norm(own, "own"), "own")
    feature = torch.rand(1, 16, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = task.generator.synthesize(feature)
        assert torch.allclose(loaded.synthesize(feature), expected, atol=1e-5)


@pytest.mark.parametrize("model", ["fomm", "monkeynet", "x2face"])
def test_every_network_learns(model: str, clips: Path) -> None:
    options = replace(TINY, size=256 if model == "x2face" else 128)
    own = FommTrainOptions(adversarial=True) if model == "fomm" else OWN[model]
    task = create_task(model, options, own)
    data = FramePairs(clips, options, 2)
    batch = data.batch(0)
    cache: dict[str, Any] = {}
    task.train(True)
    for phase in task.phases:
        for network in task.networks.values():
            network.zero_grad()
        terms = task.losses(phase.name, batch, step_generator(0, 0), cache)
        total = torch.stack(list(terms.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch's own
        for name in phase.networks:
            assert share_with_gradient(task.networks[name]) > 0.95, f"{name} in {phase.name}"
    data.close()


def share_with_gradient(network: nn.Module) -> float:
    """Return the share of the parameters with a finite gradient."""
    grads = [
        p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters()
    ]
    return sum(grads) / len(grads)


def test_x2face_identity_loss_needs_another_person(clips: Path) -> None:
    options = replace(TINY, size=256)
    task: TrainingTask = create_task("x2face", options, X2FaceTrainOptions(identity=0.5, views=2))
    data = FramePairs(clips, options, 2, views=2)
    batch = dict(data.batch(0))
    task.train(True)
    assert float(task.losses("model", batch, step_generator(0, 0), {})["identity"].detach()) > 0
    batch["person"] = torch.zeros(2, dtype=torch.int64)
    assert float(task.losses("model", batch, step_generator(0, 0), {})["identity"].detach()) == 0
    data.close()


def test_exit_codes(tmp_path: Path, clips: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "run")]
    assert run(["train", "fomm", *out]) == 2
    assert "no dataset" in capfd.readouterr().err
    assert run(["train", "fomm", str(tmp_path / "absent"), *out]) == 3
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "a"), "--size", "100"]) == 2
    assert run(["train", "x2face", str(clips), "-o", str(tmp_path / "b"), "--size", "128"]) == 2
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "c"), "--device", "cuda:7"]) == 6
    assert not list(tmp_path.iterdir()), "a refused run leaves no files"
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    assert run(["train", "fomm", str(clips), "-o", str(tmp_path / "used")]) == 7
    assert (tmp_path / "used" / "file").read_text() == "mine"
    assert run(["train", "fomm"]) == 2, "no run folder"
