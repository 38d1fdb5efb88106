"""Training of the identity network: the margin, the teacher, the disturbed faces, the trial, what it exports, what it refuses."""

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
from thcli.evaluate.datasets.persons import people, read_face
from thcli.faces.identity.network import SIDE, IdentityNet, seen
from thcli.faces.identity.onnx import OnnxIdentity
from thcli.train.core.run import train
from thcli.train.identity.faces import Faces, Stage, disturbed
from thcli.train.identity.teacher import GRIDS, SIDES, Lessons, lessons
from thcli.train.identity.train import SCALE, IdentityTask, drawn_face, margin_loss, missed
from thcli.weights import load_tensors

TINY = TrainOptions(
    steps=4, batch=6, size=112, narrow=8, samples=0, device="cpu", threads=1, every=1, save=2
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn persons, four pictures each."""
    folder = tmp_path_factory.mktemp("faces")
    IdentityTask.trial_data(folder, TINY)
    return folder


def made(folder: Path, **more: Any) -> Faces:
    return Faces(
        people(folder), folder, 6, 1, taught=None, stage=lambda step: Stage(), threads=1, **more
    )


def test_the_margin_turns_the_own_person_away() -> None:
    """ArcFace eq. 3, with angles of 0.5 and 1.2 radians."""
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


def test_the_margin_never_rewards_a_greater_angle() -> None:
    """Up to the opposite direction, where the cosine of angle + margin would rise again."""
    angles = torch.linspace(0.01, math.pi - 0.01, 60)
    vectors = torch.stack([angles.cos(), angles.sin(), torch.zeros(60)], 1)
    persons = torch.tensor(
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    )  # the other one is always at a right angle
    own = torch.stack([margin_loss(v[None], persons, torch.tensor([0]), 0.35) for v in vectors])
    assert bool((own.diff() >= 0).all()) and float(own[-1]) > float(own[-10]) > 30


def test_disturbed_faces_follow_from_the_dice() -> None:
    picture = drawn_face(1, 2)
    first, second = (disturbed(picture, np.random.default_rng(9)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (SIDE, SIDE, 3) and first.dtype == np.uint8

    def changed(strength: float) -> float:
        many = [disturbed(picture, np.random.default_rng(seed), strength) for seed in range(40)]
        return float(np.mean([np.abs(out.astype(float) - seen(picture)).mean() for out in many]))

    assert changed(0) < 0.5 and changed(0.4) > 3 and changed(1) > 1.5 * changed(0.4)


def test_a_batch_follows_from_its_step_and_an_epoch_sees_everybody(faces: Path) -> None:
    data, again = made(faces), made(faces)
    try:
        for key, value in data.batch(3).items():
            assert torch.equal(value, again.batch(3)[key])
        persons = torch.cat([data.batch(step)["person"] for step in range(4)])
        assert torch.bincount(persons).tolist() == [4] * 6
        assert not torch.equal(data.batch(0)["pictures"], data.batch(4)["pictures"])
    finally:
        data.close()
        again.close()


def test_the_lesson_of_a_mirrored_picture_is_the_mirrored_lesson(faces: Path) -> None:
    rows = people(faces)
    taught = np.zeros((len(rows), 2, 2), np.float32)
    taught[:, 1] = 1
    for flip, marks in ((True, {0.0, 1.0}), (False, {0.0})):
        data = Faces(
            rows,
            faces,
            6,
            1,
            taught=Lessons(taught),
            stage=lambda step: Stage(),
            threads=1,
            flip=flip,
        )
        try:
            assert {
                float(v) for step in range(4) for v in data.batch(step)["lesson"].flatten()
            } == marks
        finally:
            data.close()


def teacher_with_maps(path: Path) -> Path:
    """(1, 3, 112, 112) -> (1, 16), by way of residual sums of 14 x 14 and 7 x 7."""
    graph = Graph()
    dice = np.random.default_rng(4)
    before, width = graph.entry, 3
    for side, channels, cell in ((14, 6, 8), (7, 5, 2)):
        weight = graph.constant(
            f"w_{side}", dice.normal(size=(channels, width, cell, cell)).astype(np.float32) / width
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
    mix = graph.constant("mix", dice.normal(size=(5 * 49, 16)).astype(np.float32))
    graph.add("MatMul", [flat, mix], "fc1")
    return graph.save(path, [1, 3, 112, 112], {"fc1": [1, 16]})


@pytest.fixture
def taught(faces: Path) -> Iterator[Path]:
    """The faces, without what a teacher left there afterwards."""
    yield faces
    for file in faces.glob("teacher-*"):
        file.unlink()


def test_a_teacher_is_asked_once(taught: Path, tmp_path: Path) -> None:
    teacher = OnnxIdentity(teacher_with_maps(tmp_path / "teacher.onnx"), "arcface")
    paths = [row.path for row in people(taught)]
    asked: list[Path] = []

    def read(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
        asked.append(path)
        return read_face(path)

    first = lessons(teacher, "arcface", False, paths, read, taught, lambda event: None)
    assert first.vectors.shape == (24, 2, 16) and first.maps == ()
    mirrored = np.ascontiguousarray(read_face(paths[3])[:, ::-1])
    np.testing.assert_allclose(
        first.vectors[3, 0], teacher.vectors([read_face(paths[3])])[0], atol=1e-6
    )
    np.testing.assert_allclose(first.vectors[3, 1], teacher.vectors([mirrored])[0], atol=1e-6)
    again = lessons(teacher, "arcface", False, paths, read, taught, lambda event: None)
    np.testing.assert_array_equal(again.vectors, first.vectors)
    assert asked == paths
    lessons(teacher, "imagenet", False, paths, read, taught, lambda event: None)
    assert asked == paths * 2  # other pixels are another lesson


def test_hints_are_the_maps_in_units_of_their_spread(taught: Path, tmp_path: Path) -> None:
    teacher = OnnxIdentity(teacher_with_maps(tmp_path / "teacher.onnx"), "arcface")
    paths = [row.path for row in people(taught)]
    for _ in range(2):  # made, and found again
        found = lessons(teacher, "arcface", True, paths, read_face, taught, lambda event: None)
        assert [maps.shape for maps in found.maps] == [(24, 6, 8, 8), (24, 5, 4, 4)]
    vectors, maps = teacher.inner(SIDES)([read_face(path) for path in paths])
    np.testing.assert_allclose(
        vectors, teacher.vectors([read_face(path) for path in paths]), atol=1e-6
    )
    for kept, whole, grid in zip(found.maps, maps, GRIDS, strict=True):
        units = (whole - whole.mean((0, 2, 3), keepdims=True)) / whole.std((0, 2, 3), keepdims=True)
        wanted = functional.adaptive_avg_pool2d(torch.from_numpy(units), grid).numpy()
        np.testing.assert_allclose(kept, wanted, atol=0.01)


def test_a_teacher_without_maps_says_how_to_go_on(taught: Path, tmp_path: Path) -> None:
    teacher = OnnxIdentity(embedding(tmp_path / "teacher.onnx", 16))
    with pytest.raises(WeightsError, match="no residual sum of 14 x 14") as caught:
        teacher.inner(SIDES)
    assert "--no-hints" in caught.value.hint


def test_files_that_are_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"There is no file .*none\.onnx"):
        OnnxIdentity(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a model" * 100)
    with pytest.raises(WeightsError, match=r"broken\.onnx is not an ONNX model"):
        OnnxIdentity(tmp_path / "broken.onnx")


@pytest.mark.parametrize("hints", [True, False])
def test_what_a_teacher_adds(hints: bool, taught: Path, tmp_path: Path) -> None:
    """Its losses; hints come in the first part alone."""
    own = IdentityTrainOptions(
        teacher=str(teacher_with_maps(tmp_path / "teacher.onnx")), gentle=0.5, hints=hints
    )
    report = train("identity", taught, tmp_path / "run", TINY, own)
    rows = [
        json.loads(line)["losses"]
        for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    ]
    assert set(rows[0]) == {"lesson", "related", "persons"} | ({"hints"} if hints else set())
    assert all(math.isfinite(value) for value in report["losses"].values())
    recipe = IdentityTask(TINY, own, lambda event: None)
    data = recipe.data(taught, 6, lambda event: None)
    try:
        batches = [data.batch(step) for step in range(4)]
    finally:
        data.close()
    assert {batch["pictures"].shape for batch in batches} == {(6, 3, SIDE, SIDE)}
    assert ["hint_1" in batch for batch in batches] == [hints, hints, False, False]


def test_mirrored_pictures_have_no_hints() -> None:
    ours, hints = (
        torch.zeros(3, 2, 4, 4),
        torch.stack([torch.full((2, 4, 4), v) for v in (1.0, 2.0, 5.0)]),
    )
    assert float(missed(ours, hints, torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(2.5)
    assert float(missed(ours, hints, torch.zeros(3))) == 0


def test_a_run_may_begin_with_the_weights_of_another(faces: Path, tmp_path: Path) -> None:
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


def test_a_resumed_run_ends_as_a_whole_one(faces: Path, tmp_path: Path) -> None:
    whole = train("identity", faces, tmp_path / "run", TINY, None)
    done = load_tensors(Path(whole["output"]))
    for name in ("checkpoints/step-00000004.safetensors", "identity.safetensors"):
        (tmp_path / "run" / name).unlink()  # as if it had been stopped after two updates
    again = train("identity", faces, tmp_path / "run", replace(TINY, resume=True), None)
    assert again["losses"] == whole["losses"]
    for key, value in load_tensors(Path(again["output"])).items():
        assert torch.equal(value, done[key]), key


def test_the_rate_rises_and_falls() -> None:
    recipe = IdentityTask(TINY, None, lambda event: None)
    rates = [recipe.rate(2.0, step, 100, 10) for step in range(100)]
    assert (
        rates[0] == pytest.approx(0.5)
        and max(rates) == pytest.approx(2, abs=0.01)
        and rates[-1] < 0.04
    )
    assert all(later < earlier for earlier, later in pairwise(rates[4:]))


def test_the_trial_learns_who_is_who(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    drawn = np.stack(
        [seen(drawn_face(person, number)) for person in range(6) for number in range(4)]
    )
    with torch.inference_mode():
        rows = net.eval()(torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 255)
    assert rows.shape == (24, 512)


def test_what_is_refused(faces: Path, tmp_path: Path) -> None:
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
