"""Training on labelled faces: the judge, clip-s and attribute directions."""

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
from thcli.editors.clip.captions import match_labels
from thcli.editors.shared.celeba import CELEBA
from thcli.editors.shared.face_cnn import FaceCnn, images_to_tensor
from thcli.evaluate.benchmarks.text_image import (
    evaluate_text_model,
    load_text_model,
    precision_at_k,
)
from thcli.evaluate.datasets.labelled_images import load_images, parse_digits, read_labelled_folder
from thcli.evaluate.metrics.attribute_scores import (
    AttributeClassifier,
    load_classifier_file,
    roc_auc,
    score_predictions,
)
from thcli.train.core.run import create_task, train
from thcli.train.dva.attribute_directions import (
    MOTION_SCALE,
    evaluate_directions,
    fit_classifier,
    fit_directions,
    fit_effects,
    fit_motion,
    orthogonalize,
    parse_attribute_names,
    subsample,
)
from thcli.train.labelled.clip_s import CaptionedFaces, ClipTask
from thcli.train.labelled.faces import LabelledFaces, write_synthetic_labelled_faces
from thcli.train.labelled.judge import JudgeTask

Labels = npt.NDArray[np.bool_]
QUICK = TrainOptions(smoke=True, samples=0, threads=1, steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    write_synthetic_labelled_faces(folder)
    return folder


def test_a_folder_with_labels(folder: Path) -> None:
    faces = read_labelled_folder(folder)
    assert len(faces) == 24 and faces.labels.shape == (24, 40) and 0 < faces.labels.mean() < 1
    held = faces.of_persons(parse_digits("9"))
    assert [path.stem for path in held.paths] == ["9", "19"]
    assert not set(held.paths) & set(faces.of_persons(parse_digits("0-5,6,7-8")).paths)
    assert load_images(held.paths, 20).shape == (2, 20, 20, 3)
    assert held.fingerprint() != faces.fingerprint()
    assert len(subsample(faces, 7)) == 7 and len(subsample(faces, 70)) == 24


def test_person_digits_are_parsed() -> None:
    assert parse_digits("0-2,9") == (0, 1, 2, 9)
    for wrong in ("", "x", "3-1", "0-12", "1,,2"):
        with pytest.raises(UsageError):
            parse_digits(wrong)


def test_invalid_labelled_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"attributes\.txt"):
        read_labelled_folder(tmp_path)
    (tmp_path / "attributes.txt").write_text("1\nSmiling Young\na.png 1 1\n")
    with pytest.raises(MediaError, match="40 attributes"):
        read_labelled_folder(tmp_path)
    lines = (folder / "attributes.txt").read_text().splitlines()
    (tmp_path / "attributes.txt").write_text(
        "\n".join([*lines[:2], lines[2].replace("-1", "0", 1)])
    )
    with pytest.raises(MediaError, match="line 3"):
        read_labelled_folder(tmp_path)
    (tmp_path / "attributes.txt").write_text("\n".join(lines[:3]))
    with pytest.raises(MediaError, match=r"0\.png does not exist"):
        load_images(read_labelled_folder(tmp_path).paths, 8)
    (tmp_path / "identities.txt").write_text("0.png somebody\n")
    with pytest.raises(MediaError, match="persons' numbers"):
        read_labelled_folder(tmp_path)


def test_batches_follow_from_the_step_alone(folder: Path) -> None:
    faces = read_labelled_folder(folder)
    one, other = CaptionedFaces(faces, 5, 3), CaptionedFaces(faces, 5, 3)
    other.batch(0)
    for key, value in one.batch(7).items():
        torch.testing.assert_close(other.batch(7)[key], value)
    batch = one.batch(2)
    assert (
        batch["images"].shape == (5, 3, 64, 64)
        and 0 <= float(batch["images"].min()) <= float(batch["images"].max()) <= 1
    )
    assert batch["texts"].shape[0] == 5 and bool(batch["truth"].diagonal().all()), (
        "a text is true of its own image"
    )
    assert one.fingerprint == LabelledFaces(faces, 2, 0).fingerprint


def test_the_judge_has_other_persons_than_the_editors() -> None:
    judge, editor = create_task("judge", QUICK, None), create_task("clip", QUICK, None)
    assert isinstance(judge, JudgeTask) and isinstance(editor, ClipTask)
    assert judge.digits == (6, 7, 8) and editor.digits == (0, 1, 2, 3, 4, 5)


def test_the_judge_trains_and_scores_crops(folder: Path, tmp_path: Path) -> None:
    report = train("judge", folder, tmp_path / "run", QUICK)
    assert report["steps"] == 2 and np.isfinite(report["losses"]["labels"])
    net = FaceCnn((4, 4, 4, 4), (1, 1, 1), 40).eval()
    judge = AttributeClassifier(net, torch.device("cpu"))
    crops: list[Image] = list(load_images(read_labelled_folder(folder).paths[:3], 128))
    found = judge.score_crops(crops)
    assert found.shape == (3, 40) and 0 <= found.min() <= found.max() <= 1
    np.testing.assert_allclose(found[1:2], judge.score_crops(crops[1:2]), atol=1e-6)
    np.testing.assert_allclose(
        judge.score_crops([np.ascontiguousarray(c[:, ::-1]) for c in crops]), found, atol=1e-5
    )
    np.testing.assert_array_equal(
        judge.score_attribute(crops, "Smiling"), found[:, CELEBA.index("Smiling")]
    )
    assert judge.score_crops([]).shape == (0, 40)
    with pytest.raises(UsageError, match="Smile"):
        judge.score_attribute(crops, "Smile")


def test_the_judge_crops_faces_as_in_training() -> None:
    """Compare a face in an image with the same face in a shifted image."""
    judge = AttributeClassifier(FaceCnn((4, 4, 4, 4), (1, 1, 1), 40).eval(), torch.device("cpu"))
    image = (
        np.random.default_rng(0)
        .integers(0, 255, (24, 24, 3))
        .astype(np.uint8)
        .repeat(16, 0)
        .repeat(16, 1)
    )
    points = np.array([[148, 176], [228, 176], [188, 220], [158, 262], [218, 262]], np.float32)
    first = judge.score_faces(
        [image], [Face(np.array([100, 100, 280, 300], np.float32), 1.0, points=points)]
    )
    shifted = np.roll(image, (40, 24), (0, 1))
    second = judge.score_faces(
        [shifted],
        [Face(np.zeros(4, np.float32), 1.0, points=points + np.array([24, 40], np.float32))],
    )
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_classifier_scores_of_known_predictions() -> None:
    labels = np.array([[1, 1], [1, 0], [0, 1], [0, 1]], np.bool_)
    scores = np.array([[0.9, 0.2], [0.4, 0.2], [0.3, 0.2], [0.6, 0.2]])
    found = score_predictions(scores, labels)
    np.testing.assert_allclose(found.accuracy, [0.5, 0.25])
    np.testing.assert_allclose(found.balanced, [0.5, 0.5])
    np.testing.assert_allclose(found.auc, [0.75, 0.5])
    assert np.isnan(roc_auc(scores[:2, 0], labels[:2, 0]))


def test_clip_trains_and_needs_a_free_licence(folder: Path, tmp_path: Path) -> None:
    report = train("clip", folder, tmp_path / "run", QUICK)
    assert report["steps"] == 2 and set(report["losses"]) == {"pairs", "labels"}
    with pytest.raises(UsageError, match="licence free"):
        load_text_model("auto", None, RunOptions(licence="free"))


class OracleModel:
    """A text-image model that knows the labels of the images, which come in order."""

    name, templates = "oracle", ("{}",)

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

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        self.next += len(images)
        return self.rows[self.next - len(images) : self.next]


def test_text_image_scores_of_a_model_of_one_attribute(folder: Path) -> None:
    faces = read_labelled_folder(folder)
    found = evaluate_text_model(OracleModel(faces.labels), faces, texts=40)
    assert found.areas["Eyeglasses"] == 1 and found.areas["Smiling"] == pytest.approx(0.5)
    assert found.report()["pictures"] == 24 and 0 < found.chance < 1
    truth = match_labels([{"Eyeglasses": True}], faces.labels)
    assert precision_at_k(truth.astype(np.float32), truth) == pytest.approx(
        min(truth.sum() / 10, 1)
    )


def simulate_identities(count: int = 3000) -> tuple[Array32, Labels]:
    """Simulate identities with correlated attributes.

    Gender changes number 0, glasses number 1, a beard number 2. Only men have beards, and mostly
    the old have glasses.
    """
    rng = np.random.default_rng(0)
    labels = rng.random((count, 40)) < 0.5
    male, old = labels[:, CELEBA.index("Male")], ~labels[:, CELEBA.index("Young")]
    labels[:, CELEBA.index("No_Beard")] = ~(male & (rng.random(count) < 0.6))
    labels[:, CELEBA.index("Eyeglasses")] = rng.random(count) < np.where(old, 0.5, 0.1)
    rows = rng.normal(0, 0.3, (count, 12))
    rows[:, 0] += male
    rows[:, 1] += labels[:, CELEBA.index("Eyeglasses")]
    rows[:, 2] -= labels[:, CELEBA.index("No_Beard")]
    rows[:, 3] += old
    return rows.astype(np.float32), labels


def test_effects_exclude_correlated_attributes() -> None:
    rows, labels = simulate_identities()
    normal = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float64)
    alone, held = (
        fit_effects(normal, labels, ()),
        fit_effects(normal, labels, ("Male", "Young", "Eyeglasses", "Smiling")),
    )
    beard, glasses = CELEBA.index("No_Beard"), CELEBA.index("Eyeglasses")
    assert abs(alone[beard, 0]) > 0.5 > 0.1 > abs(held[beard, 0]), (
        "a beard brings a man's face along, unless gender is held"
    )
    assert alone[glasses, 3] > 0.3 > 0.1 > abs(held[glasses, 3]) and held[glasses, 1] > 1
    assert held[beard, 2] < -1


def test_orthogonalized_rows_are_orthogonal() -> None:
    rows, labels = simulate_identities()
    normal = ((rows - rows.mean(0)) / rows.std(0)).astype(np.float64)
    found = fit_classifier(normal, labels)
    assert roc_auc(normal @ found[CELEBA.index("Male")], labels[:, CELEBA.index("Male")]) > 0.97
    held = [CELEBA.index(name) for name in ("Male", "Young")]
    free = orthogonalize(found, held)
    assert np.abs(free[CELEBA.index("Eyeglasses")] @ found[held].T).max() < 1e-6


@pytest.mark.parametrize("kind", ["effects", "classifier"])
def test_directions_increase_the_score_of_their_attribute(kind: str) -> None:
    rows, labels = simulate_identities()
    directions = fit_directions(rows, labels, (12,), "0" * 16, kind, ("Male", "Young"))
    report = evaluate_directions(directions, rows, labels, ("Male", "Young"))
    assert report["attributes"]["Eyeglasses"]["auc"] > 0.9 and set(
        report["attributes"]["Eyeglasses"]["along"]
    ) == {"Male", "Young"}
    start = rows[~labels[:, CELEBA.index("Eyeglasses")]].mean(0)
    more = directions.move_identity(start, {"Eyeglasses": 1.0})
    assert (
        directions.scores(more[None])[0, CELEBA.index("Eyeglasses")]
        > directions.scores(start[None])[0, CELEBA.index("Eyeglasses")]
    )


def test_landmarks_move_with_an_attribute_where_they_may() -> None:
    _, labels = simulate_identities()
    smiling = labels[:, CELEBA.index("Smiling")].astype(np.float32)
    landmarks = np.column_stack([smiling, 0.5 - 2 * smiling])
    motion = fit_motion(landmarks, labels, ("Male",), slice(1, None))
    assert motion is not None and not motion[:, 0].any()
    assert motion[CELEBA.index("Smiling"), 1] == pytest.approx(-2 * MOTION_SCALE, abs=0.01)
    assert fit_motion(landmarks, labels, ("Male",), slice(0)) is None


def test_unknown_attributes_are_refused(tmp_path: Path) -> None:
    assert parse_attribute_names(" Male, Young ") == ("Male", "Young")
    with pytest.raises(UsageError, match="Age"):
        parse_attribute_names("Male,Age")
    with pytest.raises(UsageError, match="--kind"):
        AttributeTrainOptions(kind="guess")  # type: ignore[arg-type]  # which is the point
    from thcli.train.dva.attribute_directions import fit_attribute_directions

    (tmp_path / "attributes.safetensors").touch()
    with pytest.raises(OutputError, match="exists"):
        fit_attribute_directions(tmp_path, tmp_path)


def test_images_become_planar_tensors() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, 1, 2, 0] = 255
    assert images_to_tensor(image)[0, 0, 1, 2] == 1 and images_to_tensor(image).sum() == 1


def test_missing_judge_weights_are_refused(tmp_path: Path) -> None:
    from thcli.core.errors import WeightsError

    with pytest.raises(WeightsError):
        load_classifier_file(tmp_path / "none.safetensors", RunOptions())
