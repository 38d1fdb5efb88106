"""Training of Real3D-Portrait's torso stage: portraits, learning, resume, export, the engine."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from tests.faces.model3d.bfm.made_model import made_model, write_files
from tests.pipeline.face_clip import write_face_clip
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError, WeightsError
from thcli.core.events import silent
from thcli.core.options import Real3dTrainOptions, TrainOptions
from thcli.engines.real3d.config import Real3DConfig
from thcli.engines.real3d.pictures.segments import BODY_SKIN, CLOTHES, FACE_SKIN
from thcli.engines.real3d.volume_renderer import Rendered
from thcli.evaluate.datasets.sample_clip import photograph
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.real3d.heads import KnownHead, expression_basis, read_heads
from thcli.train.real3d.losses import resized
from thcli.train.real3d.portrait_batches import PortraitViews
from thcli.train.real3d.portraits import draw_portrait, make_body
from thcli.train.real3d.synthetic import write_photographs
from thcli.train.real3d.torso import Real3dTorsoTask
from thcli.weights import cache_folder

TINY = TrainOptions(
    steps=2, batch=1, size=256, narrow=16, samples=0, perceptual="pyramid", device="cpu", threads=1
)
OWN = Real3dTrainOptions()
MODEL = "real3d-torso"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photographs")
    write_photographs(path)
    return path


@pytest.fixture(scope="module")
def heads(folder: Path) -> list[KnownHead]:
    return read_heads(folder, silent)


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the report of a run of two updates."""
    return train(MODEL, folder, tmp_path_factory.mktemp("run") / "whole", TINY, OWN)


def test_the_body_follows_the_head(heads: list[KnownHead]) -> None:
    """Neck under the face, clothes under the neck; a turn moves the head farther than the body."""
    still = np.zeros(3, np.float32)
    turn = np.array([0, 0.5, 0], np.float32)
    shift = np.array([0.2, 0, 0], np.float32)
    body = make_body(heads[0])
    rest = np.zeros(len(expression_basis()), np.float32)
    front, turned, moved = (
        draw_portrait(heads[0], body, rest, pose, 128)
        for pose in ((still, still), (turn, still), (still, shift))
    )
    rows = [np.argwhere(front.segments == part)[:, 0] for part in (FACE_SKIN, BODY_SKIN, CLOTHES)]
    assert rows[0].mean() < rows[1].mean() < rows[2].mean() and len(rows[1]) > 100
    assert front.keypoints.shape == (68, 3) and not front.keypoints[:, 2].any()
    chin = ((front.keypoints[8, :2] + 1) * 64 - 0.5).round().astype(int)
    edge = np.flatnonzero((front.segments == FACE_SKIN)[:, chin[0]]).max()
    assert abs(edge - chin[1]) <= 2, "the chin is where the face ends"
    step = moved.keypoints[:, 0] - front.keypoints[:, 0]
    assert (step > 0.1).all(), "x is to the image's right"
    assert abs(turned.keypoints[30, 0] - front.keypoints[30, 0]) > 0.05
    assert (front.image != moved.image)[-1].any(), "the shoulders move too"
    other = make_body(heads[1])
    assert not np.array_equal(body.backdrop, other.backdrop)


def test_a_batch_holds_what_the_engine_prepares(heads: list[KnownHead]) -> None:
    data = PortraitViews(heads, 1, 256, 7)
    batch = data.batch(3)
    again = PortraitViews(heads, 1, 256, 7).batch(3)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    for name in ("source", "head", "torso", "background", "target", "target_head"):
        assert batch[name].shape == (1, 3, 256, 256), name
        assert float(batch[name].min()) >= -1 and float(batch[name].max()) <= 1, name
    assert batch["segmap"].shape == (1, 6, 256, 256)
    assert torch.equal(batch["segmap"].sum(1), torch.ones(1, 256, 256))
    assert batch["pncc"].shape == (1, 3, 3, 256, 256)
    on_head = batch["segmap"][0, 3] > 0
    assert (batch["torso"][0][:, on_head] == -1).float().mean() > 0.5
    assert not torch.equal(batch["keypoints"], batch["target_keypoints"])


def test_it_learns_a_portrait(heads: list[KnownHead], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of one portrait falls, all that is read learns, and the head stays as it is.

    Its true views stand for the renderings of a trained head.
    """
    torch.manual_seed(1)
    task = create_task(MODEL, TINY, OWN)
    assert isinstance(task, Real3dTorsoTask)
    batch = dict(PortraitViews(heads[:1], 1, 256, 0).batch(0))
    raw = resized(batch["target_head"], 64)
    share = resized((batch["target_head"] > -1).any(1, keepdim=True).float(), 64)
    true_head = Rendered(raw, F.pad(raw, (0, 0, 0, 0, 0, 29)), share, share)
    monkeypatch.setattr(task, "render_head", lambda batch, noise: true_head)
    frozen = {k: v.clone() for k, v in task.portrait.cano_img2plane_backbone.state_dict().items()}
    optimisers = {
        phase.name: task.optimiser(
            phase, [p for n in phase.networks for p in task.networks[n].parameters()], 1e-3
        )
        for phase in task.phases
    }
    task.train(True)
    errors = []
    for step in range(8):
        cache: dict[str, Any] = {}
        for phase in task.phases[: 1 if step else 2]:
            terms = task.losses(phase.name, batch, step_generator(0, 0), cache)
            optimisers[phase.name].zero_grad()
            torch.autograd.backward(torch.stack(list(terms.values())).sum())
            optimisers[phase.name].step()
            if phase.name == "generator":
                errors.append(float(terms["image"].detach()))
            else:
                assert float(terms["penalty"].detach()) > 0
    assert errors[-1] < 0.8 * errors[0], errors
    silent_parts = {
        name for name, p in task.fusion.named_parameters() if p.requires_grad and p.grad is None
    }
    # what the published checkpoint has and nothing reads
    unread = ("head_torso_alpha_predictor.", "torso_model.motion_field_estimator.occlusion_conv.")
    assert all(name.startswith(unread) for name in silent_parts), silent_parts
    after = task.portrait.cano_img2plane_backbone.state_dict()
    assert all(torch.equal(frozen[key], after[key]) for key in frozen)


def test_a_resumed_run_equals_one_without_a_break(
    folder: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    """Vectors of the spectral norms and running means of the batch norms are kept, too."""
    train(MODEL, folder, tmp_path / "parts", replace(TINY, steps=1), OWN)
    again = train(MODEL, folder, tmp_path / "parts", replace(TINY, resume=True), OWN)
    first, second = (
        load_file(Path(which["run"]) / f"{MODEL}.safetensors") for which in (report, again)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(key.endswith("weight_u") for key in first)


def test_it_starts_from_the_head_and_from_itself(
    folder: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    torso = load_file(Path(report["run"]) / f"{MODEL}.safetensors")
    prefix = "state_dict.model."
    of_torso = [k for k in torso if k.startswith(f"{prefix}superresolution.") and ".block" not in k]
    head = {key: value for key, value in torso.items() if key not in of_torso}
    for name, tensors in (("head", head), ("torso", torso)):
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        task = create_task(MODEL, TINY, Real3dTrainOptions(start=str(path)))
        assert isinstance(task, Real3dTorsoTask)
        own = task.portrait.state_dict()
        for key, tensor in tensors.items():
            assert torch.equal(own[key.removeprefix(prefix)], tensor), key
    broken = tmp_path / "broken.safetensors"
    save_file({k: v for k, v in head.items() if "decoder.net.0.bias" not in k}, broken)
    with pytest.raises(WeightsError, match=r"decoder\.net\.0\.bias"):
        create_task(MODEL, TINY, Real3dTrainOptions(start=str(broken)))
    with pytest.raises(UsageError, match="--size 128"):
        create_task(MODEL, replace(TINY, size=128), OWN)


def test_exported_tensors_have_the_published_layout(shared: Path) -> None:
    with torch.device("meta"):
        task = create_task(MODEL, TrainOptions(perceptual="pyramid"), OWN)
    exported = task.export_tensors(
        {"superresolution": task.networks["superresolution"].state_dict()}
    )
    table = json.loads((shared / "specs" / "REAL3D_VIDEO.keys.json").read_text())
    wanted = {
        f"state_dict.model.{key}": tuple(shape)
        for key, (shape, _) in table["secc2plane_torso_orig"].items()
    }
    assert {key: tuple(value.shape) for key, value in exported.items()} == wanted


def test_the_engine_renders_what_was_trained(
    report: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The run's file and a made face model are imported; a clip then drives a photograph."""
    cache = tmp_path / "cache"
    cache.mkdir()
    for entry in cache_folder().iterdir() if cache_folder().is_dir() else ():
        if entry.name not in ("bfm", "real3d-video"):
            (cache / entry.name).symlink_to(entry)
    monkeypatch.setenv("THCLI_WEIGHTS", str(cache))
    importable = Path(report["output"])
    assert report["use"] == f"thcli weights import real3d-video {importable} --trust"
    with zipfile.ZipFile(importable) as archive:
        (config,) = [name for name in archive.namelist() if name.endswith("config.yaml")]
        read = Real3DConfig.from_yaml(archive.read(config).decode())
    assert (read.image_size, read.render_size, read.coarse_samples) == (256, 64, 24)
    write_files(made_model(), tmp_path / "deep_3drecon")
    assert run(["weights", "import", "bfm", str(tmp_path / "deep_3drecon"), "--trust"]) == 0
    assert run(["weights", "import", "real3d-video", str(importable), "--trust"]) == 0
    photo, drive, out = (tmp_path / name for name in ("face.png", "drive.mp4", "out.mkv"))
    save_image(photo, np.ascontiguousarray(photograph()[10:266, 95:351]))
    write_face_clip(drive, 3, np.zeros((256, 256, 3), np.uint8))
    words = ["--engine", "real3d", "--codec", "ffv1", "--device", "cpu", "--json"]
    capfd.readouterr()
    code = run(["reenact", str(photo), str(drive), *words, "-o", str(out)])
    captured = capfd.readouterr()
    assert code == 0, captured.err
    assert json.loads(captured.out)["frames"] == 3
    with media.read(out) as reader:
        frames = [np.asarray(frame.pixels, np.float64) for frame in reader]
    assert len(frames) == 3 and frames[0].shape == (256, 256, 3)
    assert np.abs(frames[0] - frames[2]).max() > 0


@pytest.mark.parametrize("size", [(128, 640), (64, 300), (100, 512)])
def test_a_size_that_does_not_fit_the_networks_is_refused(size: tuple[int, int]) -> None:
    render, final = size
    text = f"neural_rendering_resolution: {render}\nfinal_resolution: {final}\n"
    with pytest.raises(WeightsError, match="multiple of 256"):
        Real3DConfig.from_yaml(text)


def test_a_configuration_comes_back_from_its_file() -> None:
    config = Real3DConfig(plane_depth=3, torso_input="rgb", image_size=256, fine_samples=12)
    assert Real3DConfig.from_yaml(config.to_yaml()) == config
    assert Real3DConfig.from_yaml(Real3DConfig().to_yaml()) == Real3DConfig()
