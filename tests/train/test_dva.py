"""Training of dva-s: batches, references, losses and a smoke run."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from thcli.core.errors import MediaError, WeightsError
from thcli.core.events import Event, Started, Warned, silent
from thcli.core.options import DvaTrainOptions, RunOptions, TrainOptions
from thcli.editors.dva import small
from thcli.editors.dva.small_network import SmallDva, SmallDvaShape
from thcli.train.core.checkpoints import resize_patches, save_tensors
from thcli.train.core.run import create_task, train
from thcli.train.core.task import step_generator
from thcli.train.dva import faces
from thcli.train.dva.faces import POINTS_FILE, DvaFaces, locate_faces, same_clip_rows
from thcli.train.dva.train import PATCH_KERNELS, DvaTask, gradient_loss
from thcli.weights.tensors import load_tensors

OPTIONS = TrainOptions(size=64, device="cpu", threads=1, offline=True)
EVERYONE = range(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faces")
    DvaTask.write_synthetic_data(made, OPTIONS)
    return made


@pytest.fixture(scope="module")
def data(folder: Path) -> DvaFaces:
    return DvaFaces(folder, EVERYONE, 64, 4, OPTIONS, silent)


def test_batches_follow_from_seed_and_step(folder: Path, data: DvaFaces) -> None:
    again = DvaFaces(folder, EVERYONE, 64, 4, OPTIONS, silent)
    one, same, other = data.batch(3), again.batch(3), data.batch(4)
    assert {key: tuple(value.shape) for key, value in one.items()} == {
        "target": (4, 3, 64, 64),
        "reference": (4, 3, 64, 64),
        "landmarks": (4, 136),
        "identity": (4, 512),
        "labels": (4, 40),
        "known": (4,),
        "mask": (4, 1, 64, 64),
    }
    assert (
        all(torch.equal(one[key], same[key]) for key in one)
        and data.fingerprint == again.fingerprint
    )
    assert not torch.equal(one["target"], other["target"])
    assert float(one["target"].abs().max()) <= 1


def test_crops_are_on_disk_and_leave_no_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = DvaFaces(folder, EVERYONE, 64, 4, OPTIONS, silent)
    assert isinstance(data._crops, np.memmap) and data._crops.shape[1:] == (64, 64, 3)
    assert not list(tmp_path.iterdir())
    data.close()


def test_landmarks_are_inside_the_face_mask(data: DvaFaces) -> None:
    """Check mirrored and other items; left and right eyes keep their order."""
    for step in range(4):
        batch = data.batch(step)
        points = (batch["landmarks"].reshape(-1, 68, 2) * 64).long()
        inside = [batch["mask"][n, 0, y, x] for n in range(4) for x, y in points[n, 30:].tolist()]
        assert np.mean(inside) == 1
        left, right = points[:, 36:42, 0].float().mean(1), points[:, 42:48, 0].float().mean(1)
        assert (left < right).all()


def test_faces_are_located_once(
    folder: Path, data: DvaFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["images/0.jpg", "clips/one/6.jpg"]
    monkeypatch.setattr(faces, "FaceFinder", None)
    again = locate_faces(folder, names, RunOptions(device="cpu"), silent)
    assert (
        (folder / POINTS_FILE).is_file()
        and again.names == tuple(names)
        and again.points.shape == (2, 468, 3)
    )


def test_new_images_are_located_and_known_ones_are_not(
    folder: Path, data: DvaFaces, tmp_path: Path
) -> None:
    """Check also that images without a face are remembered."""
    for name in ("one.jpg", "two.jpg"):
        shutil.copy(folder / "images/0.jpg", tmp_path / name)
    cv2.imwrite(str(tmp_path / "wall.jpg"), np.full((64, 64, 3), 127, np.uint8))
    run, steps = RunOptions(device="cpu"), list[Event]()
    first = locate_faces(tmp_path, ["one.jpg", "wall.jpg"], run, steps.append)
    later = locate_faces(tmp_path, ["wall.jpg", "two.jpg", "one.jpg"], run, steps.append)
    assert first.names == ("one.jpg",) and later.names == ("two.jpg", "one.jpg")
    assert np.array_equal(later.points[0], later.points[1]) and np.array_equal(
        later.points[1], first.points[0]
    )
    assert [event.total for event in steps if isinstance(event, Started)] == [2, 1]
    with pytest.raises(MediaError, match="No face"):
        locate_faces(tmp_path, ["wall.jpg"], run, silent)


def test_references_of_frames_are_frames_of_their_clip() -> None:
    folders, frames = (
        ["images", "clips/a", "images", "clips/b", "clips/a"],
        np.array([False, True, False, True, True]),
    )
    assert [list(rows) for rows in same_clip_rows(folders, frames)] == [
        [0],
        [1, 4],
        [2],
        [3],
        [1, 4],
    ]


def test_unreadable_images_are_refused(tmp_path: Path) -> None:
    DvaTask.write_synthetic_data(tmp_path, OPTIONS)
    for path in (*tmp_path.glob("images/*.jpg"), *tmp_path.glob("clips/one/*.jpg")):
        path.write_bytes(b"")
    with pytest.raises(MediaError, match=r"\.jpg is empty"):
        DvaFaces(tmp_path, EVERYONE, 64, 4, OPTIONS, silent)


def test_the_gradient_loss_is_the_gradient_of_the_error() -> None:
    weight = torch.ones(1, 1, 4, 4)
    assert float(gradient_loss(torch.full((1, 3, 4, 4), 0.7), weight)) == 0
    ramp = torch.arange(4.0).expand(1, 3, 4, 4)
    assert float(gradient_loss(ramp, weight)) == pytest.approx(1)


def test_no_gradient_of_the_diffusion_reaches_the_painter(data: DvaFaces) -> None:
    task = create_task("dva", replace(OPTIONS, narrow=16), DvaTrainOptions())
    assert isinstance(task, DvaTask)
    terms = task.losses("net", data.batch(0), step_generator(0, 0), {})
    assert set(terms) == {"paint", "edges", "labels", "simple", "regular"}
    terms["simple"].backward()  # type: ignore[no-untyped-call]  # torch's own
    assert all(p.grad is None for p in task.net.painter.parameters())
    assert any(p.grad is not None for p in task.net.looker.parameters())


def test_errors_within_the_face_count_more(data: DvaFaces) -> None:
    task = create_task("dva", replace(OPTIONS, narrow=16), DvaTrainOptions())
    assert isinstance(task, DvaTask)
    painted: list[torch.Tensor] = []
    task.net.painter.register_forward_hook(lambda _, __, out: painted.append(out))
    batch = data.batch(0)
    loss = task.losses("all", batch, step_generator(0, 0), {})["paint"]
    weight = torch.where(batch["mask"] > 0, 3.0, 1.0)
    error = (painted[0] - batch["target"]).abs()
    torch.testing.assert_close(loss, 4 * (weight / weight.mean() * error).mean())


def test_a_smoke_run_exports_loadable_weights(folder: Path, tmp_path: Path) -> None:
    options = TrainOptions(smoke=True, steps=2, batch=2, device="cpu", threads=1)
    report = train("dva", folder, tmp_path / "run", options, DvaTrainOptions(persons="0-9"))
    path = Path(report["output"])
    assert report["steps"] == 2 and path.name == "dva-s.safetensors" and report["use"] is None
    assert all(np.isfinite(value) for value in report["losses"].values())
    shape = create_task("dva", replace(OPTIONS, narrow=16), DvaTrainOptions())
    assert isinstance(shape, DvaTask)
    tensors = {key: value.float() for key, value in load_tensors(path).items()}
    SmallDva(shape.net.shape).load_state_dict(tensors)
    assert float(tensors["facer.spread"]) > 0 and SmallDvaShape() == small.SHAPE


def test_a_run_starts_from_weights_of_another_size(tmp_path: Path) -> None:
    """Compare what fits, a resized kernel, and what is initialised; the warning names it."""
    options = replace(OPTIONS, narrow=16)
    fresh = create_task("dva", options, DvaTrainOptions())
    assert isinstance(fresh, DvaTask)
    torch.manual_seed(1)
    other = SmallDva(replace(fresh.net.shape, size=48, patch=3)).state_dict()
    del other["remainder.fine_out.bias"]
    save_tensors(tmp_path / "old.safetensors", {k: v.half() for k, v in other.items()}, {})
    warnings: list[Event] = []
    model_options = DvaTrainOptions(start=str(tmp_path / "old.safetensors"))
    task = create_task("dva", options, model_options, warnings.append)
    assert isinstance(task, DvaTask) and all(p.requires_grad for p in task.net.parameters())
    begun, initial = task.net.state_dict(), fresh.net.state_dict()
    for key in ("labels.weight", "painter.begin.weight", "facer.linear.bias"):
        assert torch.equal(begun[key], other[key].half().float()), key
    for name, channels in PATCH_KERNELS.items():
        expected = resize_patches(other[name].half(), channels, 4)
        assert torch.equal(begun[name], expected) and expected.shape == initial[name].shape
    missing = [
        key
        for key, value in begun.items()
        if key not in PATCH_KERNELS and (key not in other or other[key].shape != value.shape)
    ]
    (warning,) = warnings
    assert isinstance(warning, Warned) and f"({missing[0]}, …)" in warning.message
    assert warning.message.startswith(f"{len(missing)} of {len(begun)} tensors")
    assert {"remainder.fine_out.bias", "remainder.fine_in.weight"} <= set(missing)
    assert all(torch.equal(begun[key], initial[key]) for key in missing)


def test_weights_of_another_model_are_no_start(tmp_path: Path) -> None:
    made = SmallDva(replace(small.SHAPE, width=16, embedding=64, encoder_widths=(8, 8, 8, 8)))
    save_tensors(tmp_path / "narrow.safetensors", made.state_dict(), {})
    for name, match in (("narrow", "does not fit"), ("missing", "missing")):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(WeightsError, match=match):
            create_task("dva", replace(OPTIONS, narrow=16), DvaTrainOptions(start=str(path)))


def test_a_resized_kernel_sees_the_same_image() -> None:
    """Compare flat kernels on one image in patches of two sizes, and the place of one weight."""
    kernel = torch.randn(5, 2 * 9, 3, 3, generator=torch.Generator().manual_seed(0))
    larger = resize_patches(kernel, 2, 4)
    assert larger.shape == (5, 2 * 16, 3, 3)
    assert torch.allclose(resize_patches(kernel, 2, 3), kernel)
    flat = torch.randn(5, 2, 1, 1, 1, 1).expand(5, 2, 3, 3, 3, 3).reshape(kernel.shape)
    image = torch.rand(1, 2, 36, 36)
    results = [
        F.conv2d(F.pixel_unshuffle(F.avg_pool2d(image, 12 // patch), patch), weight)
        for patch, weight in ((3, flat), (4, resize_patches(flat, 2, 4)))
    ]
    torch.testing.assert_close(results[0], results[1])
    marked = torch.zeros(1, 2 * 9, 3, 3)
    marked[0, 9 + 4, 1, 1] = 1.0  # the middle pixel of the middle patch, second channel
    spread = resize_patches(marked, 2, 4)[0].reshape(2, 4, 4, 3, 3)
    assert float(spread[0].abs().max()) == 0
    assert float(spread[1, 1:3, 1:3, 1, 1].sum()) == pytest.approx(float(spread.sum()))
