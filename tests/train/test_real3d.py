"""Training of Real3D-Portrait's head: known heads, loss terms, learning, start and resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from thcli.cli.app import run
from thcli.core.errors import MediaError, WeightsError
from thcli.core.events import Event, Warned, silent
from thcli.core.options import Real3dAdapterTrainOptions, TrainOptions
from thcli.engines.real3d.rays import camera_rays
from thcli.faces.model3d.bfm.camera import cameras_from_pose
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.real3d import losses
from thcli.train.real3d.batches import HeadViews
from thcli.train.real3d.heads import (
    KnownHead,
    draw_pncc,
    draw_view,
    expression_basis,
    read_heads,
)
from thcli.train.real3d.synthetic import write_photographs
from thcli.train.real3d.train import HeadTask, Real3dTask

TINY = TrainOptions(
    steps=2, batch=2, size=64, narrow=16, samples=0, perceptual="pyramid", device="cpu", threads=1
)
STILL = np.zeros(len(expression_basis()), np.float32)
FRONT = np.zeros(3, np.float32)
SCENE_SHIFT = np.array([0, 0.006, 0.161])  # of the model's origin in the renderer's cube
UNITS = 0.27  # of the renderer per decimetre


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photographs")
    write_photographs(path)
    return path


@pytest.fixture(scope="module")
def heads(folder: Path) -> list[KnownHead]:
    return read_heads(folder, silent)


def opened(amount: float) -> Any:
    out = STILL.copy()
    out[0] = amount
    return out


def test_a_view_is_what_the_renderers_camera_sees(heads: list[KnownHead]) -> None:
    """The outline of a turned head is that of its points, projected by the camera of the rays."""
    euler, trans = np.array([0.1, 0.4, 0.2], np.float32), np.array([0.1, -0.1, 0.2], np.float32)
    size = 64
    view = draw_view(heads[0], STILL, euler, trans, size)
    camera = torch.from_numpy(cameras_from_pose(euler[None], trans[None]))
    found = camera_rays(camera, size)
    points = torch.from_numpy(UNITS * heads[0].shape.astype(np.float64) + SCENE_SHIFT)
    towards = nn.functional.normalize(points - found.origin[0], dim=1).float()
    nearest = (towards @ found.direction.T).argmax(1)  # the pixel whose ray passes closest
    rows, columns = nearest // size, nearest % size
    seen = np.argwhere(view.mask[0] > 0)
    for ours, pixels in ((rows, seen[:, 0]), (columns, seen[:, 1])):
        assert abs(int(ours.min()) - pixels.min()) <= 1
        assert abs(int(ours.max()) - pixels.max()) <= 1
    assert len(seen) > 300
    assert (view.image.transpose(1, 2, 0)[view.mask[0] == 0] == -1).all()


def test_expressions_move_the_view_and_the_pncc(heads: list[KnownHead]) -> None:
    size = 64
    closed = draw_view(heads[0], STILL, FRONT, FRONT, size)
    wide = draw_view(heads[0], opened(1.0), FRONT, FRONT, size)
    changed = np.abs(wide.image - closed.image).max(0) > 0.2
    rows = np.flatnonzero(changed.any(1))
    assert rows.min() > size * 0.45, "only the lower face moves"
    assert wide.lips.sum() > 1.3 * closed.lips.sum() > 0
    pncc = draw_pncc([heads[0]] * 2, np.stack([STILL, opened(1.0)]), size)
    assert pncc.shape == (2, 3, size, size) and pncc.min() == -1 and pncc.max() <= 1
    assert np.abs(pncc[0] - pncc[1]).mean() > 0.01


def test_items_depend_on_seed_and_step_alone(heads: list[KnownHead]) -> None:
    data = HeadViews(heads, 2, 64, 7, moving=True)
    first = data.batch(3)
    data.batch(9)
    again = HeadViews(heads, 2, 64, 7, moving=True).batch(3)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = HeadViews(heads, 2, 64, 8, moving=True).batch(3)
    assert not torch.equal(first["target"], other["target"])
    assert first["pncc"].shape == (2, 6, 3, 64, 64) and first["camera"].shape == (2, 25)
    held_out = data.sample_batch()["camera"]
    assert not any(torch.equal(held_out[0], row) for row in first["camera"])


def test_photographs_without_a_mesh_or_a_face_are_named(
    tmp_path: Path, folder: Path, heads: list[KnownHead]
) -> None:
    with pytest.raises(MediaError, match="not a folder"):
        read_heads(tmp_path / "absent", silent)
    copy = tmp_path / "one.png"
    copy.write_bytes((folder / "one.png").read_bytes())
    np.save(tmp_path / "one.mesh.npy", np.zeros((5, 3)))
    with pytest.raises(MediaError, match="not a mesh of 468 points"):
        read_heads(tmp_path, silent)
    assert [head.name for head in heads] == ["one.png", "two.png"]


def test_terms_weigh_as_they_say() -> None:
    image, target = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    half = torch.zeros(1, 1, 4, 4)
    half[..., :2] = 1
    assert float(losses.masked_difference(image, target, half)) == pytest.approx(0.6)
    assert float(losses.inside_difference(image, target, half)) == pytest.approx(1)
    assert float(losses.inside_difference(image, target, half * 0)) == 0
    assert float(losses.entropy(torch.full((4,), 0.5))) == pytest.approx(1)
    assert float(losses.entropy(torch.tensor([0.0, 1.0]))) < 1e-3


def test_a_tuned_weight_follows_its_loss() -> None:
    weight = nn.Parameter(torch.tensor([0.05]))
    assert losses.tune_weight(weight, torch.tensor(5.0), 0.5, 0.2) == pytest.approx(0.06)
    assert losses.tune_weight(weight, torch.tensor(0.05), 0.5, 0.2) == pytest.approx(0.05)
    assert losses.tune_weight(weight, torch.tensor(0.0), 0.5, 0.2) == 0
    for _ in range(100):
        losses.tune_weight(weight, torch.tensor(50.0), 0.5, 0.2)
    assert float(weight.detach()) == pytest.approx(0.2)


def held_out_error(task: HeadTask, batch: dict[str, Tensor]) -> float:
    """Return the PSNR in dB of the held-out views."""
    with torch.no_grad():
        found = task.sample_images(batch)
    return float(-10 * (found["result"] - found["target"]).square().mean().log10())


def trained(
    model: str, heads: list[KnownHead], steps: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Train on the first head; return PSNR of held-out views and loss, before and after."""
    torch.manual_seed(1)  # of the first weights
    task = create_task(model, TINY, Real3dAdapterTrainOptions())
    assert isinstance(task, HeadTask)
    data = HeadViews(heads[:1], 2, 64, 0, moving=task.moving)
    batch = dict(data.sample_batch())
    optimisers = {
        phase.name: task.optimiser(
            phase, [p for n in phase.networks for p in task.networks[n].parameters()], 1e-3
        )
        for phase in task.phases
    }
    task.train(False)
    before = held_out_error(task, batch)
    task.train(True)
    totals = []
    for step in range(steps):
        cache: dict[str, Any] = {}
        for phase in task.phases:
            terms = task.losses(phase.name, data.batch(step), step_generator(0, step), cache)
            total = torch.stack(list(terms.values())).sum()
            optimisers[phase.name].zero_grad()
            torch.autograd.backward(total)
            optimisers[phase.name].step()
            if phase.name == "generator":
                totals.append(float(total.detach()))
    task.train(False)
    return (before, held_out_error(task, batch)), (totals[0], totals[-1])


def test_views_from_other_cameras_improve(heads: list[KnownHead]) -> None:
    (before, after), (first, last) = trained("real3d-planes", heads, 20)
    assert after > before + 1 and last < 0.4 * first


def test_expressions_of_a_pncc_are_learnt(heads: list[KnownHead]) -> None:
    (before, after), (first, last) = trained("real3d", heads, 10)
    assert after > before + 1 and last < 0.4 * first


@pytest.mark.parametrize("model", ["real3d-planes", "real3d"])
def test_every_network_gets_gradients(model: str, heads: list[KnownHead]) -> None:
    task = create_task(model, TINY, Real3dAdapterTrainOptions(adversarial_after=0))
    assert isinstance(task, HeadTask)
    data = HeadViews(heads, 2, 64, 0, moving=task.moving)
    cache: dict[str, Any] = {}
    task.train(True)
    for phase in task.phases:
        terms = task.losses(phase.name, data.batch(0), step_generator(0, 0), cache)
        torch.autograd.backward(torch.stack(list(terms.values())).sum())
    assert float(terms["penalty"].detach()) > 0, "the first update has the gradient penalty"
    silent_parts = {
        name
        for network in task.networks.values()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    }
    assert not silent_parts
    later = task.losses("discriminator", data.batch(1), step_generator(0, 1), cache)
    assert float(later["penalty"].detach()) == 0


def test_the_adapter_without_its_laplacian_leaves_two_terms_out(heads: list[KnownHead]) -> None:
    data = HeadViews(heads, 2, 64, 0, moving=True)
    names = []
    for laplacian in (True, False):
        task = create_task("real3d", TINY, Real3dAdapterTrainOptions(laplacian=laplacian))
        names.append(set(task.losses("generator", data.batch(0), step_generator(0, 0), {})))
    assert names[0] - names[1] == {"perturbation", "laplacian"} and names[1] < names[0]


def test_the_discriminator_counts_from_its_update_on(heads: list[KnownHead]) -> None:
    task = create_task("real3d-planes", TINY, Real3dAdapterTrainOptions(adversarial_after=1))
    data = HeadViews(heads, 2, 64, 0, moving=False)
    for step, counts in ((0, False), (1, True)):
        terms = task.losses("generator", data.batch(step), step_generator(0, step), {})
        assert (float(terms["adversarial"].detach()) > 0) == counts


def test_a_resumed_run_equals_one_without_a_break(folder: Path, tmp_path: Path) -> None:
    own = Real3dAdapterTrainOptions()
    whole = train("real3d", folder, tmp_path / "whole", TINY, own)
    train("real3d", folder, tmp_path / "parts", replace(TINY, steps=1), own)
    again = train("real3d", folder, tmp_path / "parts", replace(TINY, resume=True), own)
    first, second = (load_file(report["output"]) for report in (whole, again))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert whole["use"] is None


def test_the_adapter_starts_from_trained_planes(folder: Path, tmp_path: Path) -> None:
    report = train("real3d-planes", folder, tmp_path / "run", TINY, Real3dAdapterTrainOptions())
    planes = load_file(report["output"])
    task = create_task("real3d", TINY, Real3dAdapterTrainOptions(start=report["output"]))
    assert isinstance(task, Real3dTask)
    own = task.portrait.state_dict()
    prefix = "state_dict.model.img2plane_backbone."
    shared = {k.removeprefix(prefix): v for k, v in planes.items() if k.startswith(prefix)}
    assert len(shared) > 100
    for key, tensor in shared.items():
        assert torch.equal(own[f"cano_img2plane_backbone.{key}"], tensor), key
    broken = tmp_path / "broken.safetensors"
    save_file({k: v for k, v in planes.items() if "decoder.net.0.bias" not in k}, broken)
    with pytest.raises(WeightsError, match=r"decoder\.net\.0\.bias"):
        create_task("real3d", TINY, Real3dAdapterTrainOptions(start=str(broken)))


@pytest.mark.parametrize(
    ("model", "part"), [("real3d-planes", "img2plane_orig"), ("real3d", "secc2plane_orig")]
)
def test_exported_tensors_have_the_published_layout(model: str, part: str, shared: Path) -> None:
    with torch.device("meta"):
        task = create_task(model, TrainOptions(perceptual="pyramid"), Real3dAdapterTrainOptions())
    exported = task.export_tensors({"model": task.networks["model"].state_dict()})
    table = json.loads((shared / "specs" / "REAL3D_VIDEO.keys.json").read_text())[part]
    wanted = {f"state_dict.model.{key}": tuple(shape) for key, (shape, _) in table.items()}
    assert {key: tuple(value.shape) for key, value in exported.items()} == wanted


def test_the_smoke_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = ["-o", str(tmp_path / "run"), "--threads", "1", "--device", "cpu", "--json"]
    assert run(["train", "real3d-planes", "--smoke", "--steps", "1", *output]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["steps"] == 1 and {"image", "raw", "density"} <= set(report["losses"])
    assert Path(report["output"]).is_file()
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1


def test_a_photograph_without_a_face_is_left_out(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracker that sees no face stands in for the real one."""
    monkeypatch.setattr(
        "thcli.train.real3d.heads.main_face_tracker", lambda *given: lambda: lambda image: None
    )
    (tmp_path / "wall.png").write_bytes((folder / "one.png").read_bytes())
    events: list[Event] = []
    with pytest.raises(MediaError, match="no photograph with a face"):
        read_heads(tmp_path, events.append)
    assert any(isinstance(event, Warned) and "wall.png" in event.message for event in events)
