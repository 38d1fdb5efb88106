"""Training of the identity network: margin, teacher, augmentation, smoke run and refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.faces.adapters.tiny_onnx import Graph, embedding
from thcli.cli.app import run
from thcli.core.errors import MediaError, UsageError, WeightsError
from thcli.core.options import IdentityTrainOptions, TrainOptions
from thcli.evaluate.datasets.persons import list_persons, read_face
from thcli.faces.identity.network import SIDE, IdentityNet, reduce_crop
from thcli.faces.identity.onnx import OnnxIdentity
from thcli.train.core.run import train
from thcli.train.identity.faces import AugmentationStage, BatchSettings, IdentityBatches, augment
from thcli.train.identity.teacher import GRIDS, SIDES, TeacherOutputs, compute_teacher_outputs
from thcli.train.identity.train import (
    SCALE,
    IdentityTask,
    margin_loss,
    masked_mse,
    render_synthetic_face,
)
from thcli.weights import load_tensors

TINY = TrainOptions(
    steps=4, batch=6, size=112, narrow=8, samples=0, device="cpu", threads=1, every=1, save=2
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six rendered persons, four images each."""
    folder = tmp_path_factory.mktemp("faces")
    IdentityTask.write_synthetic_data(folder, TINY)
    return folder


def batches(
    folder: Path, *, flip: bool = True, teacher_outputs: TeacherOutputs | None = None
) -> IdentityBatches:
    return IdentityBatches(
        list_persons(folder),
        folder,
        BatchSettings(batch=6, seed=1, flip=flip, threads=1),
        teacher_outputs=teacher_outputs,
        stage=lambda step: AugmentationStage(),
    )


def test_the_margin_is_added_to_the_angle_of_the_true_person() -> None:
    """Compare with ArcFace eq. 3 at angles of 0.5 and 1.2 radians."""
    vectors = torch.tensor([[math.cos(0.5), math.sin(0.5)]])
    persons = torch.tensor([[1.0, 0.0], [math.cos(1.7), math.sin(1.7)]])
    plain = functional.cross_entropy(SCALE * (vectors @ persons.T), torch.tensor([0]))
    assert float(margin_loss(vectors, persons, torch.tensor([0]), 0.0)) == pytest.approx(
        float(plain), rel=1e-4
    )
    turned = torch.tensor([[SCALE * math.cos(0.9), SCALE * math.cos(1.2)]])
    wanted = functional.cross_entropy(turned, torch.tensor([0]))
    assert float(margin_loss(vectors, persons, torch.tensor([0]), 0.4)) == pytest.approx(
        float(wanted), rel=1e-3
    )


def test_the_margin_loss_increases_with_the_angle() -> None:
    """Check up to the opposite direction, where the cosine of angle + margin would rise again."""
    angles = torch.linspace(0.01, math.pi - 0.01, 60)
    vectors = torch.stack([angles.cos(), angles.sin(), torch.zeros(60)], 1)
    persons = torch.tensor(
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    )  # the other one is always at a right angle
    own = torch.stack([margin_loss(v[None], persons, torch.tensor([0]), 0.35) for v in vectors])
    assert bool((own.diff() >= 0).all()) and float(own[-1]) > float(own[-10]) > 30


def test_augmentation_is_reproducible_and_scales_with_strength() -> None:
    image = render_synthetic_face(1, 2)
    first, second = (augment(image, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (SIDE, SIDE, 3) and first.dtype == np.uint8

    def changed(strength: float) -> float:
        many = [augment(image, np.random.default_rng(seed), strength) for seed in range(40)]
        return float(
            np.mean([np.abs(out.astype(float) - reduce_crop(image)).mean() for out in many])
        )

    assert changed(0) < 0.5 and changed(0.4) > 3 and changed(1) > 1.5 * changed(0.4)


def test_batches_follow_from_their_step_and_an_epoch_has_every_image(faces: Path) -> None:
    data, again = batches(faces), batches(faces)
    try:
        for key, value in data.batch(3).items():
            assert torch.equal(value, again.batch(3)[key])
        persons = torch.cat([data.batch(step)["person"] for step in range(4)])
        assert torch.bincount(persons).tolist() == [4] * 6
        assert not torch.equal(data.batch(0)["images"], data.batch(4)["images"])
    finally:
        data.close()
        again.close()


def test_a_mirrored_image_has_the_teachers_mirrored_vector(faces: Path) -> None:
    vectors = np.zeros((len(list_persons(faces)), 2, 2), np.float32)
    vectors[:, 1] = 1
    for flip, expected in ((True, {0.0, 1.0}), (False, {0.0})):
        data = batches(faces, flip=flip, teacher_outputs=TeacherOutputs(vectors))
        try:
            found = {float(v) for step in range(4) for v in data.batch(step)["lesson"].flatten()}
            assert found == expected
        finally:
            data.close()


def teacher_with_maps(path: Path) -> Path:
    """Write a network (1, 3, 112, 112) -> (1, 16) with residual sums of 14 x 14 and 7 x 7."""
    graph = Graph()
    rng = np.random.default_rng(4)
    before, width = graph.entry, 3
    for side, channels, cell in ((14, 6, 8), (7, 5, 2)):
        weight = graph.constant(
            f"w_{side}", rng.normal(size=(channels, width, cell, cell)).astype(np.float32) / width
        )
        looked = graph.add(
            "Conv",
            [before, weight],
            f"conv_{side}",
            strides=[cell, cell],
            kernel_shape=[cell, cell],
        )
        before, width = graph.add("Add", [looked, looked], f"sum_{side}"), channels
    flat = graph.add("Flatten", [before], "flat")
    mix = graph.constant("mix", rng.normal(size=(5 * 49, 16)).astype(np.float32))
    graph.add("MatMul", [flat, mix], "fc1")
    return graph.save(path, [1, 3, 112, 112], {"fc1": [1, 16]})


@pytest.fixture
def faces_with_teacher(faces: Path) -> Iterator[Path]:
    """Yield the faces; delete the teacher's files afterwards."""
    yield faces
    for file in faces.glob("teacher-*"):
        file.unlink()


def test_teacher_outputs_are_computed_once(faces_with_teacher: Path, tmp_path: Path) -> None:
    teacher = OnnxIdentity(teacher_with_maps(tmp_path / "teacher.onnx"), "arcface")
    paths = [row.path for row in list_persons(faces_with_teacher)]
    read_paths: list[Path] = []

    def read(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
        read_paths.append(path)
        return read_face(path)

    first = compute_teacher_outputs(
        teacher, "arcface", False, paths, read, faces_with_teacher, lambda event: None
    )
    assert first.vectors.shape == (24, 2, 16) and first.maps == ()
    mirrored = np.ascontiguousarray(read_face(paths[3])[:, ::-1])
    np.testing.assert_allclose(
        first.vectors[3, 0], teacher.encode_crops([read_face(paths[3])])[0], atol=1e-6
    )
    np.testing.assert_allclose(first.vectors[3, 1], teacher.encode_crops([mirrored])[0], atol=1e-6)
    again = compute_teacher_outputs(
        teacher, "arcface", False, paths, read, faces_with_teacher, lambda event: None
    )
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert read_paths == paths
    compute_teacher_outputs(
        teacher, "imagenet", False, paths, read, faces_with_teacher, lambda event: None
    )
    assert read_paths == paths * 2  # another kind of input has other outputs


def test_hints_are_standardised_feature_maps(faces_with_teacher: Path, tmp_path: Path) -> None:
    teacher = OnnxIdentity(teacher_with_maps(tmp_path / "teacher.onnx"), "arcface")
    paths = [row.path for row in list_persons(faces_with_teacher)]
    for _ in range(2):  # made, and found again
        found = compute_teacher_outputs(
            teacher, "arcface", True, paths, read_face, faces_with_teacher, lambda event: None
        )
        assert [maps.shape for maps in found.maps] == [(24, 6, 8, 8), (24, 5, 4, 4)]
    vectors, maps = teacher.with_feature_maps(SIDES)([read_face(path) for path in paths])
    np.testing.assert_allclose(
        vectors, teacher.encode_crops([read_face(path) for path in paths]), atol=1e-6
    )
    for stored, whole, grid in zip(found.maps, maps, GRIDS, strict=True):
        units = (whole - whole.mean((0, 2, 3), keepdims=True)) / whole.std((0, 2, 3), keepdims=True)
        wanted = functional.adaptive_avg_pool2d(torch.from_numpy(units), grid).numpy()
        np.testing.assert_allclose(stored, wanted, atol=0.01)


def test_a_teacher_without_feature_maps_is_refused_with_a_hint(
    faces_with_teacher: Path, tmp_path: Path
) -> None:
    teacher = OnnxIdentity(embedding(tmp_path / "teacher.onnx", 16))
    with pytest.raises(WeightsError, match="no residual sum of 14 x 14") as caught:
        teacher.with_feature_maps(SIDES)
    assert "--no-hints" in caught.value.hint


def test_invalid_teacher_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no file .*none\.onnx"):
        OnnxIdentity(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a model" * 100)
    with pytest.raises(WeightsError, match=r"broken\.onnx is not a usable ONNX model"):
        OnnxIdentity(tmp_path / "broken.onnx")


@pytest.mark.parametrize("hints", [True, False])
def test_a_teacher_adds_loss_terms(hints: bool, faces_with_teacher: Path, tmp_path: Path) -> None:
    """Check that hints are used in the first part of the run only."""
    own = IdentityTrainOptions(
        teacher=str(teacher_with_maps(tmp_path / "teacher.onnx")), gentle=0.5, hints=hints
    )
    report = train("identity", faces_with_teacher, tmp_path / "run", TINY, own)
    rows = [
        json.loads(line)["losses"]
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert set(rows[0]) == {"lesson", "related", "persons"} | ({"hints"} if hints else set())
    assert all(math.isfinite(value) for value in report["losses"].values())
    task = IdentityTask(TINY, own, lambda event: None)
    data = task.load_data(faces_with_teacher, 6, lambda event: None)
    try:
        batches = [data.batch(step) for step in range(4)]
    finally:
        data.close()
    assert {batch["images"].shape for batch in batches} == {(6, 3, SIDE, SIDE)}
    assert ["hint_1" in batch for batch in batches] == [hints, hints, False, False]


def test_mirrored_images_have_no_hint_loss() -> None:
    ours, hints = (
        torch.zeros(3, 2, 4, 4),
        torch.stack([torch.full((2, 4, 4), v) for v in (1.0, 2.0, 5.0)]),
    )
    assert float(masked_mse(ours, hints, torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(2.5)
    assert float(masked_mse(ours, hints, torch.zeros(3))) == 0


def test_a_run_can_start_from_the_weights_of_another(faces: Path, tmp_path: Path) -> None:
    first = train("identity", faces, tmp_path / "first", TINY, None)
    begun = IdentityTask(
        TINY, IdentityTrainOptions(start=first["output"]), lambda event: None
    ).model.state_dict()
    for key, value in load_tensors(Path(first["output"])).items():
        assert torch.equal(begun[key].half(), value.half()), key
    other = IdentityTrainOptions(
        start=str(tmp_path / "first" / "checkpoints" / "step-00000004.safetensors")
    )
    with pytest.raises(WeightsError, match="does not fit"):
        IdentityTask(TINY, other, lambda event: None)


def test_a_resumed_run_equals_an_uninterrupted_one(faces: Path, tmp_path: Path) -> None:
    whole = train("identity", faces, tmp_path / "run", TINY, None)
    done = load_tensors(Path(whole["output"]))
    for name in ("checkpoints/step-00000004.safetensors", "identity.safetensors"):
        (tmp_path / "run" / name).unlink()  # as if it had been stopped after two updates
    again = train("identity", faces, tmp_path / "run", replace(TINY, resume=True), None)
    assert again["losses"] == whole["losses"]
    for key, value in load_tensors(Path(again["output"])).items():
        assert torch.equal(value, done[key]), key


def test_the_learning_rate_rises_and_falls() -> None:
    task = IdentityTask(TINY, None, lambda event: None)
    rates = [task.learning_rate(2.0, step, 100, 10) for step in range(100)]
    assert (
        rates[0] == pytest.approx(0.5)
        and max(rates) == pytest.approx(2, abs=0.01)
        and rates[-1] < 0.04
    )
    assert all(later < earlier for earlier, later in pairwise(rates[4:]))


def test_a_smoke_run_learns_identities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "train",
        "identity",
        "--smoke",
        "--steps",
        "30",
        "-o",
        str(tmp_path / "run"),
        "--threads",
        "1",
        "--device",
        "cpu",
        "--json",
    ]
    assert run(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["losses"]["persons"] < 0.7 * report["first_losses"]["persons"]
    tensors = load_tensors(Path(report["output"]))
    assert {str(value.dtype) for value in tensors.values()} == {"torch.float16", "torch.int64"}
    net = IdentityNet(narrow=8)
    net.load_state_dict(tensors)
    images = np.stack(
        [
            reduce_crop(render_synthetic_face(person, number))
            for person in range(6)
            for number in range(4)
        ]
    )
    with torch.inference_mode():
        rows = net.eval()(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    assert rows.shape == (24, 512)


def test_invalid_identity_arguments_are_refused(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="is not a folder of faces"):
        train("identity", tmp_path / "absent", tmp_path / "run", TINY, None)
    with pytest.raises(UsageError, match="--margin"):
        IdentityTrainOptions(margin=2)
    with pytest.raises(UsageError, match="--gentle"):
        IdentityTrainOptions(gentle=-0.1)
    assert (
        run(
            [
                "train",
                "identity",
                str(faces),
                "--teacher",
                str(tmp_path / "none.onnx"),
                "-o",
                str(tmp_path / "run"),
            ]
        )
        == 5
    )
    assert not (tmp_path / "run").exists()
