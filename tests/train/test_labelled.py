"""What learns from labelled faces: the judge, clip-s, directions of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.options import AttributeTrainOptions, RunOptions, TrainOptions
from thcli.core.types import Array32, Face, Image
from thcli.editors.clip.vocabulary import holds
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import FaceTrunk, planes
from thcli.evaluate.benchmarks.text_image import knowledge, precision, text_model
from thcli.evaluate.datasets.labelled_images import digits_of, labelled, pixels
from thcli.evaluate.metrics.attribute_scores import Judge, auc, hits, own_judge
from thcli.train.core.run import train
from thcli.train.dva.attribute_directions import (
    apart_of,
    classifier,
    effects,
    fitted,
    some,
    told,
    without,
)
from thcli.train.labelled.clip_s import Captioned
from thcli.train.labelled.faces import LabelledFaces, drawn_labelled

Labels = npt.NDArray[np.bool_]
QUICK = TrainOptions(smoke=True, samples=0, threads=1, steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("labelled")
    drawn_labelled(place)
    return place


def test_a_folder_with_labels(folder: Path) -> None:
    faces = labelled(folder)
    assert len(faces) == 24 and faces.labels.shape == (24, 40) and 0 < faces.labels.mean() < 1
    held = faces.only(digits_of("9"))
    assert [path.stem for path in held.paths] == ["9", "19"]
    assert not set(held.paths) & set(faces.only(digits_of("0-5,6,7-8")).paths)
    assert pixels(held.paths, 20).shape == (2, 20, 20, 3)
    assert held.fingerprint() != faces.fingerprint()
    assert len(some(faces, 7)) == 7 and len(some(faces, 70)) == 24


def test_digits() -> None:
    assert digits_of("0-2,9") == (0, 1, 2, 9)
    for wrong in ("", "x", "3-1", "0-12", "1,,2"):
        with pytest.raises(UsageError):
            digits_of(wrong)


def test_a_folder_that_is_none(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"attributes\.txt"):
        labelled(tmp_path)
    (tmp_path / "attributes.txt").write_text("1\nSmiling Young\na.png 1 1\n")
    with pytest.raises(MediaError, match="40 attributes"):
        labelled(tmp_path)
    lines = (folder / "attributes.txt").read_text().splitlines()
    (tmp_path / "attributes.txt").write_text(
        "\n".join([*lines[:2], lines[2].replace("-1", "0", 1)])
    )
    with pytest.raises(MediaError, match="line 3"):
        labelled(tmp_path)
    (tmp_path / "attributes.txt").write_text("\n".join(lines[:3]))
    with pytest.raises(MediaError, match="not a picture"):
        pixels(labelled(tmp_path).paths, 8)
    (tmp_path / "identities.txt").write_text("0.png somebody\n")
    with pytest.raises(MediaError, match="person's number"):
        labelled(tmp_path)


def test_batches_follow_from_the_step_alone(folder: Path) -> None:
    faces = labelled(folder)
    one, other = Captioned(faces, 5, 3), Captioned(faces, 5, 3)
    other.batch(0)
    for key, value in one.batch(7).items():
        torch.testing.assert_close(other.batch(7)[key], value)
    batch = one.batch(2)
    assert (
        batch["pictures"].shape == (5, 3, 64, 64)
        and 0 <= float(batch["pictures"].min()) <= float(batch["pictures"].max()) <= 1
    )
    assert batch["texts"].shape[0] == 5 and bool(batch["truth"].diagonal().all()), (
        "a text is true of its own picture"
    )
    assert one.fingerprint == LabelledFaces(faces, 2, 0).fingerprint


def test_the_judge_learns_and_judges(folder: Path, tmp_path: Path) -> None:
    report = train("judge", folder, tmp_path / "run", QUICK)
    assert report["steps"] == 2 and np.isfinite(report["losses"]["labels"])
    net = FaceTrunk((4, 4, 4, 4), (1, 1, 1), 40).eval()
    judge = Judge(net, torch.device("cpu"))
    crops: list[Image] = list(pixels(labelled(folder).paths[:3], 128))
    found = judge.of_crops(crops)
    assert found.shape == (3, 40) and 0 <= found.min() <= found.max() <= 1
    np.testing.assert_allclose(found[1:2], judge.of_crops(crops[1:2]), atol=1e-6)
    np.testing.assert_allclose(
        judge.of_crops([np.ascontiguousarray(c[:, ::-1]) for c in crops]), found, atol=1e-5
    )
    np.testing.assert_array_equal(judge.score(crops, "Smiling"), found[:, CELEBA.index("Smiling")])
    assert judge.of_crops([]).shape == (0, 40)
    with pytest.raises(UsageError, match="Smile"):
        judge.score(crops, "Smile")


def test_the_judge_cuts_faces_as_it_saw_them() -> None:
    """A face cut out of a larger picture scores as its own crop does."""
    judge = Judge(FaceTrunk((4, 4, 4, 4), (1, 1, 1), 40).eval(), torch.device("cpu"))
    picture = (
        np.random.default_rng(0)
        .integers(0, 255, (24, 24, 3))
        .astype(np.uint8)
        .repeat(16, 0)
        .repeat(16, 1)
    )
    points = np.array([[148, 176], [228, 176], [188, 220], [158, 262], [218, 262]], np.float32)
    first = judge.scores(
        [picture], [Face(np.array([100, 100, 280, 300], np.float32), 1.0, points=points)]
    )
    shifted = np.roll(picture, (40, 24), (0, 1))
    second = judge.scores(
        [shifted],
        [Face(np.zeros(4, np.float32), 1.0, points=points + np.array([24, 40], np.float32))],
    )
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_hits() -> None:
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 1]], np.bool_)
    scores = np.array([[0.9, 0.2], [0.4, 0.2], [0.3, 0.2], [0.6, 0.2]])
    found = hits(scores, labels)
    np.testing.assert_allclose(found.accuracy, [0.5, 0.25])
    np.testing.assert_allclose(found.balanced, [0.5, 0.5])
    np.testing.assert_allclose(found.auc, [0.75, 0.5])
    assert np.isnan(auc(scores[:2, 0], labels[:2, 0]))


def test_clip_learns_and_is_measured(folder: Path, tmp_path: Path) -> None:
    report = train("clip", folder, tmp_path / "run", QUICK)
    assert report["steps"] == 2 and set(report["losses"]) == {"pairs", "labels"}
    with pytest.raises(UsageError, match="licence free"):
        text_model("auto", None, RunOptions(licence="free"))


class Knowing:
    """Knows the labels of the pictures, which are given as their numbers."""

    name, templates = "knowing", ("{}",)

    def __init__(self, labels: Labels) -> None:
        self.rows, self.next = torch.from_numpy(labels).float() * 2 - 1, 0

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack(
            [
                torch.nn.functional.one_hot(torch.tensor(CELEBA.index("Eyeglasses")), 40)
                * (-1.0 if "without" in text or "no " in text else 1.0)
                for text in texts
            ]
        )

    def encode_image(self, pictures: torch.Tensor) -> torch.Tensor:
        self.next += len(pictures)
        return self.rows[self.next - len(pictures) : self.next]


def test_knowledge_of_one_who_knows_one_thing(folder: Path) -> None:
    faces = labelled(folder)
    found = knowledge(Knowing(faces.labels), faces, texts=40)
    assert found.areas["Eyeglasses"] == 1 and found.areas["Smiling"] == pytest.approx(0.5)
    assert found.report()["pictures"] == 24 and 0 < found.chance < 1
    truth = holds([{"Eyeglasses": True}], faces.labels)
    assert precision(truth.astype(np.float32), truth) == pytest.approx(min(truth.sum() / 10, 1))


def world(count: int = 3000) -> tuple[Array32, Labels]:
    """Identities in which gender moves number 0, glasses number 1, a beard number 2; only men have beards, and mostly old ones glasses."""
    dice = np.random.default_rng(0)
    labels = dice.random((count, 40)) < 0.5
    male, old = labels[:, CELEBA.index("Male")], ~labels[:, CELEBA.index("Young")]
    labels[:, CELEBA.index("No_Beard")] = ~(male & (dice.random(count) < 0.6))
    labels[:, CELEBA.index("Eyeglasses")] = dice.random(count) < np.where(old, 0.5, 0.1)
    rows = dice.normal(0, 0.3, (count, 12))
    rows[:, 0] += male
    rows[:, 1] += labels[:, CELEBA.index("Eyeglasses")]
    rows[:, 2] -= labels[:, CELEBA.index("No_Beard")]
    rows[:, 3] += old
    return rows.astype(np.float32), labels


def test_effects_leave_out_what_comes_along() -> None:
    rows, labels = world()
    normal = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float64)
    alone, held = (
        effects(normal, labels, ()),
        effects(normal, labels, ("Male", "Young", "Eyeglasses", "Smiling")),
    )
    beard, glasses = CELEBA.index("No_Beard"), CELEBA.index("Eyeglasses")
    assert abs(alone[beard, 0]) > 0.5 > 0.1 > abs(held[beard, 0]), (
        "a beard brings a man's face along, unless gender is held"
    )
    assert alone[glasses, 3] > 0.3 > 0.1 > abs(held[glasses, 3]) and held[glasses, 1] > 1
    assert held[beard, 2] < -1


def test_a_classifiers_rows_stand_at_right_angles() -> None:
    rows, labels = world()
    normal = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float64)
    found = classifier(normal, labels)
    assert auc(normal @ found[CELEBA.index("Male")], labels[:, CELEBA.index("Male")]) > 0.97
    held = [CELEBA.index(name) for name in ("Male", "Young")]
    free = without(found, held)
    assert np.abs(free[CELEBA.index("Eyeglasses")] @ found[held].T).max() < 1e-6


@pytest.mark.parametrize("kind", ["effects", "classifier"])
def test_directions_lead_to_what_they_are_named_for(kind: str) -> None:
    rows, labels = world()
    directions = fitted(rows, labels, (12,), "0" * 16, kind, ("Male", "Young"))
    report = told(directions, rows, labels, ("Male", "Young"))
    assert report["attributes"]["Eyeglasses"]["auc"] > 0.9 and set(
        report["attributes"]["Eyeglasses"]["along"]
    ) == {"Male", "Young"}
    start = rows[~labels[:, CELEBA.index("Eyeglasses")]].mean(0)
    more = directions.changed(start, {"Eyeglasses": 1.0})
    assert (
        directions.scores(more[None])[0, CELEBA.index("Eyeglasses")]
        > directions.scores(start[None])[0, CELEBA.index("Eyeglasses")]
    )


def test_attributes_that_there_are_not(tmp_path: Path) -> None:
    assert apart_of(" Male, Young ") == ("Male", "Young")
    with pytest.raises(UsageError, match="Age"):
        apart_of("Male,Age")
    with pytest.raises(UsageError, match="--kind"):
        AttributeTrainOptions(kind="guess")  # type: ignore[arg-type]  # which is the point
    from thcli.train.dva.attribute_directions import attributes

    (tmp_path / "attributes.safetensors").touch()
    with pytest.raises(OutputError, match="exists"):
        attributes(tmp_path, tmp_path)


def test_pictures_and_planes() -> None:
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[0, 1, 2, 0] = 255
    assert planes(picture)[0, 0, 1, 2] == 1 and planes(picture).sum() == 1


def test_a_judge_of_another_kind_is_refused(tmp_path: Path) -> None:
    from thcli.core.errors import WeightsError

    with pytest.raises(WeightsError):
        own_judge(tmp_path / "none.safetensors", RunOptions())
