"""Training of the face parser: pairs, augmentation, losses, schedule, evaluation and commands."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from safetensors.torch import load_file

from thcli.cli.app import run
from thcli.core.errors import MediaError
from thcli.core.events import silent
from thcli.core.options import ParseTrainOptions, Template, TrainOptions
from thcli.core.types import Array32, Image
from thcli.evaluate.benchmarks.parse import confusion_matrix, evaluate_parser
from thcli.evaluate.datasets import parse_pairs
from thcli.faces.parsing import CLASSES, FLIP
from thcli.train.parse.augment import (
    IGNORED,
    add_occluder,
    augment_pair,
    change_lighting,
    degrade,
    transform_pair,
)
from thcli.train.parse.batches import ParseBatches
from thcli.train.parse.synthetic import render_pair, write_synthetic_pairs
from thcli.train.parse.train import CLASS_WEIGHTS, ParseTask, colourize, parse_losses

TINY = TrainOptions(steps=4, batch=2, size=64, narrow=4, samples=0, device="cpu", threads=1)
EVEN = torch.ones(len(CLASSES))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_synthetic_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    return render_pair(np.random.default_rng(5), 256)


# --- pairs ---


def test_every_tenth_pair_is_held_out_by_its_number(dataset: Path) -> None:
    test, train = parse_pairs.load_test_pairs(dataset), parse_pairs.load_train_pairs(dataset)
    assert test.names == ("drawn_000.png", "drawn_010.png", "drawn_020.png")
    assert len(train) == 21 and not set(train.names) & set(test.names)
    assert train.images.shape == (21, 256, 256, 3) and train.labels.max() < len(CLASSES)


def test_a_held_out_image_is_not_trained_on_under_another_name(
    dataset: Path, tmp_path: Path
) -> None:
    """Check a folder without index.csv: all its pairs are for training, except duplicates."""
    for name, numbers in (("a", range(24)), ("b", (0, 3, 30))):
        for kind in ("images", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
        for n in numbers:
            image, labels = render_pair(np.random.default_rng([n, 7]), 128)
            large = Pillow.fromarray(image).resize((512, 512), Pillow.Resampling.BICUBIC)
            large.save(
                tmp_path / name / "images" / f"{n if name == 'a' else n + 1}.jpg", quality=85
            )
            Pillow.fromarray(labels).save(
                tmp_path / name / "masks" / f"{n if name == 'a' else n + 1}.png"
            )
    (tmp_path / "a" / "index.csv").write_text("file\n")
    assert parse_pairs.load_test_pairs(tmp_path).names == ("0.jpg", "10.jpg", "20.jpg")
    assert parse_pairs.load_train_pairs(tmp_path).names[-1] == "31.jpg"
    assert len(parse_pairs.load_train_pairs(tmp_path)) == 21 + 1


def test_invalid_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no pairs"):
        parse_pairs.list_pairs(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Pillow.new("RGB", (8, 8)).save(tmp_path / "images" / "x1.png")
    with pytest.raises(MediaError, match="has no labels"):
        parse_pairs.list_pairs(tmp_path)
    for mode, value, complaint in (
        ("RGB", (1, 2, 3), "is not an image of class numbers"),
        ("L", 19, "has the class 19"),
    ):
        Pillow.new(mode, (8, 8), value).save(tmp_path / "masks" / "x1.png")
        with pytest.raises(MediaError, match=complaint):
            parse_pairs.load_train_pairs(tmp_path)
    (tmp_path / "masks" / "x1.png").write_bytes(b"not an image")
    with pytest.raises(MediaError, match=r"x1\.png is a text file"):
        parse_pairs.load_train_pairs(tmp_path)


# --- augmentation ---


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_augmentation_is_reproducible_and_keeps_its_input(seed: int) -> None:
    image, labels = render_pair(np.random.default_rng(1), 256)
    before = image.copy(), labels.copy()
    a, m = augment_pair(image, labels, image, 64, np.random.default_rng(seed))
    b, n = augment_pair(image, labels, image, 64, np.random.default_rng(seed))
    assert a.shape == (64, 64, 3) and m.shape == (64, 64) and a.dtype == m.dtype == np.uint8
    assert set(np.unique(m)) <= set(np.unique(labels)) | {0, IGNORED}
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(m, n)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_mirroring_exchanges_left_and_right_labels() -> None:
    """Check that l_eye is right of r_eye, whether the pair was mirrored or not."""
    image, labels = render_pair(np.random.default_rng(1), 256)
    sides = set()
    for seed in range(12):
        _, m = augment_pair(image, labels, image, 64, np.random.default_rng(seed))
        left, pixel_accuracy = (np.argwhere(m == FLIP[c])[:, 1] for c in (5, 4))
        if len(left) > 3 and len(pixel_accuracy) > 3:
            sides.add(bool(left.mean() > pixel_accuracy.mean()))
    assert sides == {True}


def test_labels_are_warped_with_the_image() -> None:
    """Warp an image of its own labels; it equals the warped labels except at borders."""
    _, labels = render_pair(np.random.default_rng(2), 256)
    shown = np.repeat((labels * 10)[..., None], 3, 2)
    image, moved = transform_pair(shown, labels, 128, np.random.default_rng(8))
    inside = moved != IGNORED
    same = np.abs(image[..., 0].astype(int) - moved.astype(int) * 10) <= 5
    assert same[inside].mean() > 0.9


def test_occluders_are_labelled_background(pair: tuple[Image, Image]) -> None:
    image, labels = pair
    hidden = 0
    for seed in range(8):
        after, m = add_occluder(image, labels, image[::-1].copy(), np.random.default_rng(seed))
        changed = np.abs(after.astype(int) - image.astype(int)).max(2) > 24
        assert (m[m != labels] == 0).all()
        assert (changed & (m != 0)).mean() < 0.02
        hidden += int((m != labels).sum())
    assert hidden > 0.05 * 8 * labels.size


def test_degradation_keeps_shape_and_dtype(pair: tuple[Image, Image]) -> None:
    means = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        out = degrade(change_lighting(pair[0], rng), rng)
        assert out.shape == pair[0].shape and out.dtype == np.uint8
        means.append(out.mean())
    assert min(means) < 0.6 * pair[0].mean() < max(means), "some are dark"


# --- losses ---


def test_true_and_ignored_pixels_have_no_loss(pair: tuple[Image, Image]) -> None:
    coarse = torch.from_numpy(pair[1][::2, ::2].copy())[None]
    labels = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    logits = (
        40 * torch.nn.functional.one_hot(coarse.long(), len(CLASSES)).permute(0, 3, 1, 2).float()
    )
    terms = parse_losses(logits, labels, EVEN)
    assert max(float(v) for v in terms.values()) < 1e-3
    logits[:, :, :10] = 0
    assert float(parse_losses(logits, labels, EVEN)["cross_entropy"]) > 0.1
    labels[:, :20] = IGNORED
    assert max(float(v) for v in parse_losses(logits, labels, EVEN).values()) < 1e-3


def test_losses_equal_their_formulas() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 19, 4, 6), torch.randint(0, 3, (2, 8, 12), dtype=torch.uint8)
    weights = torch.tensor([CLASS_WEIGHTS[name] for name in CLASSES])
    terms = parse_losses(logits, labels, weights)
    near = logits.repeat_interleave(2, 2).repeat_interleave(2, 3)
    cross = torch.nn.functional.cross_entropy(near, labels.long(), weights)
    torch.testing.assert_close(terms["cross_entropy"], cross)
    p, t = (
        near.softmax(1),
        torch.nn.functional.one_hot(labels.long(), 19).permute(0, 3, 1, 2).float(),
    )
    both, either = (p * t).sum((0, 2, 3)), (p + t - p * t).sum((0, 2, 3))
    torch.testing.assert_close(terms["overlap"], 1 - ((both + 1) / (either + 1))[:3].mean())


def test_losses_have_gradients_where_all_is_ignored() -> None:
    logits = torch.zeros(1, 19, 4, 4, requires_grad=True)
    known = torch.full((1, 8, 8), IGNORED, dtype=torch.uint8)
    known[0, 0, 0] = 1
    total = sum(parse_losses(logits, known, EVEN).values(), torch.zeros(()))
    total.backward()  # type: ignore[no-untyped-call]  # torch's own
    assert (
        logits.grad is not None
        and torch.isfinite(logits.grad).all()
        and logits.grad[0, :, 2:].abs().max() == 0
    )


# --- batches, schedule ---


def test_batches_follow_from_seed_and_step(dataset: Path) -> None:
    own = ParseTrainOptions(half=0.5, more=2)
    data, again = (ParseBatches(dataset, TINY, own, 2, lambda items: 4) for _ in range(2))
    for step, (count, side) in enumerate([(4, 32), (4, 32), (2, 64), (2, 64)]):
        batch = data.batch(step)
        assert batch["images"].shape == (count, side, side, 3) and batch["labels"].shape == (
            count,
            side,
            side,
        )
        assert torch.equal(batch["images"], again.batch(step)["images"])
    assert not torch.equal(data.batch(2)["images"], data.batch(3)["images"])
    assert (
        data.sample_batch()["labels"].shape == (3, 64, 64) and data.fingerprint == again.fingerprint
    )


def test_the_learning_rate_falls_from_full_size_images_on() -> None:
    task = ParseTask(TINY, ParseTrainOptions(half=0.5), silent)
    rates = [task.learning_rate(1.0, step, 1000, 10) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and rates[100:500] == [1.0] * 400
    assert all(b <= a for a, b in pairwise(rates[500:])) and rates[-1] < 0.02
    assert all(math.isfinite(task.learning_rate(1.0, s, 10, 10)) for s in range(10))


def test_the_export_removes_the_class_weights() -> None:
    task = ParseTask(TINY, ParseTrainOptions(), silent)
    state = task.net.state_dict()
    out = task.export_tensors({"net": state})
    assert {t.dtype for t in out.values()} == {torch.float16} and not any(
        "tracked" in key for key in out
    )
    odds = torch.exp(state["out.bias"] - out["out.bias"].float())
    torch.testing.assert_close(odds, task.weights, rtol=1e-2, atol=0)
    torch.testing.assert_close(out["out.weight"], state["out.weight"].half())


def test_colours_of_labels() -> None:
    shown = colourize(torch.tensor([[[0, 1, IGNORED]]]))
    assert (
        shown.shape == (1, 3, 1, 3)
        and shown[0, :, 0, 2].tolist() == [1, 1, 1]
        and shown[0, :, 0, 0].sum() == 0
    )


# --- evaluation ---


class OracleParser:
    """A parser that returns the true labels, with one class replaced by background."""

    crop_size = 256
    template: Template = "ffhq"

    def __init__(self, pairs: parse_pairs.PairSet, missing: int = -1) -> None:
        self._labels, self._missing, self._next = pairs.labels, missing, 0

    def parse(self, crops: object, faces: object) -> Array32:
        labels = self._labels[self._next].copy()
        self._next += 1
        labels[labels == self._missing] = 0
        return np.asarray(np.eye(19)[labels].transpose(2, 0, 1)[None], np.float32)


def test_iou_of_known_predictions(dataset: Path) -> None:
    pairs = parse_pairs.load_test_pairs(dataset)
    best = evaluate_parser(OracleParser(pairs), pairs, lambda image: [])
    assert (
        best.mean == 1
        and best.pixel_accuracy == 1
        and best.classes["hat"] is None
        and best.unseen == 0
    )
    worse = evaluate_parser(OracleParser(pairs, 13), pairs, lambda image: [])
    there = [name for name, value in best.classes.items() if value is not None]
    assert worse.classes["hair"] == 0 and worse.classes["skin"] == 1
    assert worse.mean < 1 - 1 / len(there) + 0.001
    assert worse.report()["groups"]["mouth"] == 1 and worse.table()[1][-1][0] == "mean of classes"


def test_confusion_matrix_has_true_classes_in_rows() -> None:
    found = confusion_matrix(
        np.array([[1, 1], [2, 0]], np.uint8), np.array([[1, 2], [2, 0]], np.uint8)
    )
    assert found.sum() == 4 and found[1, 2] == 1 and found[1, 1] == found[2, 2] == found[0, 0] == 1


# --- commands ---


def test_a_smoke_run_learns_and_can_be_resumed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    common = [
        "train",
        "parse",
        "--smoke",
        "--threads",
        "1",
        "--device",
        "cpu",
        "-o",
        str(folder),
        "--json",
    ]
    assert run([*common, "--steps", "60", "--batch", "8", "--lr", "0.01", "--more", "1"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["clips"] == 21 and report["use"] is None and report["steps"] == 60
    assert report["losses"]["cross_entropy"] < 0.6 * report["first_losses"]["cross_entropy"]
    tensors = load_file(report["output"])
    assert {t.dtype for t in tensors.values()} == {torch.float16} and "out.bias" in tensors
    assert len(list((folder / "samples").glob("*.png"))) == 1
    assert (
        run([*common, "--steps", "61", "--batch", "8", "--lr", "0.01", "--more", "1", "--resume"])
        == 0
    )
    assert json.loads(capfd.readouterr().out)["steps"] == 61


def test_invalid_arguments_have_exit_codes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "parse", "-o", str(tmp_path / "run")]) == 2
    assert run(["train", "parse", str(tmp_path), "--size", "100", "-o", str(tmp_path / "run")]) == 2
    assert run(["train", "parse", str(tmp_path), "-o", str(tmp_path / "run")]) == 3
    assert "holds no pairs" in capfd.readouterr().err
    assert run(["train", "parse", "--smoke", "--half", "2", "-o", str(tmp_path / "run")]) == 2
    assert (
        run(["eval", "parse", str(tmp_path), "--weights", str(tmp_path / "none.safetensors")]) == 5
    )
    assert run(["eval", "parse", str(tmp_path), "--parser", "nobody"]) == 2
