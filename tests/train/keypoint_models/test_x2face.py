"""Training of X2Face: its second stage, and the maps from poses and from sound to codes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thcli.cli.app import run
from thcli.core.errors import MediaError, WeightsError
from thcli.core.options import TrainOptions, X2FaceMapTrainOptions, X2FaceTrainOptions
from thcli.train.core.run import create_task, train
from thcli.train.core.synthetic import write_synthetic_clips, write_tones, write_turning_heads
from thcli.train.core.task import step_generator
from thcli.train.keypoint_models.pairs import FramePairs
from thcli.train.keypoint_models.perceptual import PixelGradients, Vgg19, content_loss
from thcli.train.keypoint_models.x2face import X2FaceTask
from thcli.train.keypoint_models.x2face_maps import CodeRegression
from thcli.voices.x2face.embedding import EMBEDDING
from thcli.weights import load_tensors

TINY = TrainOptions(
    steps=1, batch=2, size=256, narrow=16, samples=0, perceptual="pyramid", device="cpu", threads=1
)


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two small clips with motion files, and a tone beside each."""
    folder = tmp_path_factory.mktemp("talking")
    write_synthetic_clips(folder, 128)
    write_turning_heads(folder, 128)
    write_tones(folder)
    return folder


@pytest.fixture(scope="module")
def first_stage(talking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    train("x2face", talking, out, TINY, X2FaceTrainOptions())
    return out / "x2face.safetensors"


def test_the_second_stage_starts_from_the_first(talking: Path, first_stage: Path) -> None:
    own = X2FaceTrainOptions(identity=0.5, start=str(first_stage))
    task = create_task("x2face", TINY, own)
    assert isinstance(task, X2FaceTask)
    for key, value in load_tensors(first_stage, prefix="state_dict.").items():
        assert torch.equal(task.model.state_dict()[key], value), key
    data = FramePairs(talking, TINY, 2)
    terms = task.losses("model", data.batch(0), step_generator(0, 0), {})
    data.close()
    assert set(terms) == {"photometric", "content", "identity"}
    assert all(float(term.detach()) > 0 for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in task.model.parameters())
    with pytest.raises(WeightsError, match="another shape"):
        create_task("x2face", replace(TINY, narrow=8), own)


def test_content_losses_compare_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    image, other = torch.rand(2, 1, 3, 32, 32, generator=generator)
    vgg = Vgg19().requires_grad_(False)
    maps, coarse = vgg(image), vgg.identity_maps(image)
    assert len(coarse) == 2 and all(
        torch.equal(a, b) for a, b in zip(coarse, maps[3:], strict=True)
    )
    differences = [float((a - b).abs().mean()) for a, b in zip(maps, vgg(other), strict=True)]
    assert float(content_loss(vgg, image, other)) == pytest.approx(sum(differences), rel=1e-4)
    assert float(content_loss(vgg.identity_maps, image, other)) == pytest.approx(
        sum(differences[3:]), rel=1e-4
    )
    mirrored, plain = image.flip(-1), PixelGradients()
    assert float(content_loss(plain.identity_maps, mirrored, image)) < 0.01
    assert float(content_loss(plain, mirrored, image)) > 0.1


def test_the_regression_is_solved() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2000, EMBEDDING)).astype(np.float32)
    weight = rng.standard_normal((4, EMBEDDING)).astype(np.float32)
    codes = inputs @ weight.T + 200
    regression = CodeRegression(4)
    regression.fit(inputs, codes)
    with torch.inference_mode():
        predicted = regression(torch.from_numpy(inputs)).numpy()
    assert np.abs(predicted - codes).mean() < 0.05 * codes.std()


@pytest.mark.parametrize(("model", "term"), [("x2face-pose", "pose"), ("x2face-audio", "code")])
def test_maps_learn_and_resume_exactly(
    model: str, term: str, talking: Path, first_stage: Path, tmp_path: Path
) -> None:
    own = X2FaceMapTrainOptions(str(first_stage))
    options = replace(TINY, batch=8, steps=30, save=10, every=1, ema=0)
    report = train(model, talking, tmp_path / "whole", options, own)
    share = 0.5 if model == "x2face-pose" else 1.5  # the regression begins at its optimum
    assert report["losses"][term] < share * report["first_losses"][term]
    whole = load_tensors(tmp_path / "whole" / f"{model}.safetensors")
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    sorted((tmp_path / "stopped" / "checkpoints").iterdir())[-1].unlink()
    again = train(model, talking, tmp_path / "stopped", replace(options, resume=True), own)
    assert again["steps"] == 30
    resumed = load_tensors(tmp_path / "stopped" / f"{model}.safetensors")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize("model", ["x2face-pose", "x2face-audio"])
def test_smoke_runs(model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["train", model, "--smoke", "-o", str(tmp_path / "run"), "--device", "cpu", "--json"]
    assert run([*argv, "--threads", "1"]) == 0
    report: dict[str, Any] = json.loads(capfd.readouterr().out)
    assert report["steps"] == 4 and Path(report["output"]).is_file() and report["use"]
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1
    if model == "x2face-audio":
        weight = load_tensors(Path(report["output"]))["weight"]
        assert weight.shape[1] == EMBEDDING


def test_clips_without_what_is_needed(clips: Path, first_stage: Path, tmp_path: Path) -> None:
    own = X2FaceMapTrainOptions(str(first_stage))
    for model, needed in (("x2face-pose", "motion file"), ("x2face-audio", "sound")):
        with pytest.raises(MediaError, match=f"No clip .* {needed}"):
            train(model, clips, tmp_path / model, TINY, own)
