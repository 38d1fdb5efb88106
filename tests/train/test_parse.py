"""Training of the face parser: which pairs count, what is done to them, what is lowered; the trial and its measurement as commands."""

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
from thcli.evaluate.benchmarks.parse import compared, evaluate
from thcli.evaluate.datasets import parse_pairs
from thcli.faces.parsing import CLASSES, FLIP
from thcli.train.parse.augment import IGNORED, augmented, covered, placed, tinted, worn_down
from thcli.train.parse.batches import Labelled
from thcli.train.parse.synthetic import drawn_pair, drawn_pairs
from thcli.train.parse.train import WEIGHTS, Parse, coloured, losses

TINY = TrainOptions(steps=4, batch=2, size=64, narrow=4, samples=0, device="cpu", threads=1)
EVEN = torch.ones(len(CLASSES))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    drawn_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def pair() -> tuple[Image, Image]:
    return drawn_pair(np.random.default_rng(5), 256)


# --- pairs ---


def test_one_of_ten_is_kept_out_by_its_number(drawn: Path) -> None:
    test, train = parse_pairs.test_shelf(drawn), parse_pairs.train_shelf(drawn)
    assert test.names == ("drawn_000.png", "drawn_010.png", "drawn_020.png")
    assert len(train) == 21 and not set(train.names) & set(test.names)
    assert train.pictures.shape == (21, 256, 256, 3) and train.labels.max() < len(CLASSES)


def test_a_kept_out_picture_is_not_learnt_under_another_name(drawn: Path, tmp_path: Path) -> None:
    """Folder b has no index.csv: it is for training alone, less what a's test shows, or a's training showed before."""
    for name, numbers in (("a", range(24)), ("b", (0, 3, 30))):
        for kind in ("images", "masks"):
            (tmp_path / name / kind).mkdir(parents=True)
        for n in numbers:
            picture, labels = drawn_pair(np.random.default_rng([n, 7]), 128)
            large = Pillow.fromarray(picture).resize((512, 512), Pillow.Resampling.BICUBIC)
            large.save(
                tmp_path / name / "images" / f"{n if name == 'a' else n + 1}.jpg", quality=85
            )
            Pillow.fromarray(labels).save(
                tmp_path / name / "masks" / f"{n if name == 'a' else n + 1}.png"
            )
    (tmp_path / "a" / "index.csv").write_text("file\n")
    assert parse_pairs.test_shelf(tmp_path).names == ("0.jpg", "10.jpg", "20.jpg")
    assert parse_pairs.train_shelf(tmp_path).names[-1] == "31.jpg"
    assert len(parse_pairs.train_shelf(tmp_path)) == 21 + 1


def test_folders_that_are_no_datasets(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no pairs"):
        parse_pairs.pairs(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Pillow.new("RGB", (8, 8)).save(tmp_path / "images" / "x1.png")
    with pytest.raises(MediaError, match="has no labels"):
        parse_pairs.pairs(tmp_path)
    for mode, value, complaint in (
        ("RGB", (1, 2, 3), "no picture of class numbers"),
        ("L", 19, "has the class 19"),
    ):
        Pillow.new(mode, (8, 8), value).save(tmp_path / "masks" / "x1.png")
        with pytest.raises(MediaError, match=complaint):
            parse_pairs.train_shelf(tmp_path)
    (tmp_path / "masks" / "x1.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match="cannot be read as a picture"):
        parse_pairs.train_shelf(tmp_path)


# --- augmentation ---


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_a_changed_pair_is_still_a_pair(seed: int) -> None:
    picture, labels = drawn_pair(np.random.default_rng(1), 256)
    before = picture.copy(), labels.copy()
    a, m = augmented(picture, labels, picture, 64, np.random.default_rng(seed))
    b, n = augmented(picture, labels, picture, 64, np.random.default_rng(seed))
    assert a.shape == (64, 64, 3) and m.shape == (64, 64) and a.dtype == m.dtype == np.uint8
    assert set(np.unique(m)) <= set(np.unique(labels)) | {0, IGNORED}
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(m, n)
    np.testing.assert_array_equal(picture, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_a_mirrored_face_has_its_left_eye_on_the_other_side() -> None:
    """Mean x of l_eye stays right of r_eye's, whether the pair was mirrored or not."""
    picture, labels = drawn_pair(np.random.default_rng(1), 256)
    sides = set()
    for seed in range(12):
        _, m = augmented(picture, labels, picture, 64, np.random.default_rng(seed))
        left, right = (np.argwhere(m == FLIP[c])[:, 1] for c in (5, 4))
        if len(left) > 3 and len(right) > 3:
            sides.add(bool(left.mean() > right.mean()))
    assert sides == {True}


def test_labels_move_with_the_picture() -> None:
    """A picture that shows its own labels, warped, shows the warped labels, but for a pixel at the borders."""
    _, labels = drawn_pair(np.random.default_rng(2), 256)
    shown = np.repeat((labels * 10)[..., None], 3, 2)
    picture, moved = placed(shown, labels, 128, np.random.default_rng(8))
    inside = moved != IGNORED
    same = np.abs(picture[..., 0].astype(int) - moved.astype(int) * 10) <= 5
    assert same[inside].mean() > 0.9


def test_what_covers_the_face_is_background(pair: tuple[Image, Image]) -> None:
    picture, labels = pair
    hidden = 0
    for seed in range(8):
        after, m = covered(picture, labels, picture[::-1].copy(), np.random.default_rng(seed))
        changed = np.abs(after.astype(int) - picture.astype(int)).max(2) > 24
        assert (m[m != labels] == 0).all()
        assert (changed & (m != 0)).mean() < 0.02
        hidden += int((m != labels).sum())
    assert hidden > 0.05 * 8 * labels.size


def test_light_and_wear_leave_size_and_kind(pair: tuple[Image, Image]) -> None:
    means = []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        out = worn_down(tinted(pair[0], draw), draw)
        assert out.shape == pair[0].shape and out.dtype == np.uint8
        means.append(out.mean())
    assert min(means) < 0.6 * pair[0].mean() < max(means), "some are dark"


# --- losses ---


def test_the_truth_costs_nothing_and_ignored_pixels_neither(pair: tuple[Image, Image]) -> None:
    coarse = torch.from_numpy(pair[1][::2, ::2].copy())[None]
    labels = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    logits = (
        40 * torch.nn.functional.one_hot(coarse.long(), len(CLASSES)).permute(0, 3, 1, 2).float()
    )
    terms = losses(logits, labels, EVEN)
    assert max(float(v) for v in terms.values()) < 1e-3
    logits[:, :, :10] = 0
    assert float(losses(logits, labels, EVEN)["cross_entropy"]) > 0.1
    labels[:, :20] = IGNORED
    assert max(float(v) for v in losses(logits, labels, EVEN).values()) < 1e-3


def test_losses_are_the_formulas() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 19, 4, 6), torch.randint(0, 3, (2, 8, 12), dtype=torch.uint8)
    weights = torch.tensor(WEIGHTS)
    terms = losses(logits, labels, weights)
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
    sum(losses(logits, known, EVEN).values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]  # torch's own
    assert (
        logits.grad is not None
        and torch.isfinite(logits.grad).all()
        and logits.grad[0, :, 2:].abs().max() == 0
    )


# --- batches, schedule ---


def test_batches_follow_from_seed_and_step(drawn: Path) -> None:
    own = ParseTrainOptions(half=0.5, more=2)
    data, again = (Labelled(drawn, TINY, own, 2, lambda items: 4) for _ in range(2))
    for step, (count, side) in enumerate([(4, 32), (4, 32), (2, 64), (2, 64)]):
        batch = data.batch(step)
        assert batch["pictures"].shape == (count, side, side, 3) and batch["labels"].shape == (
            count,
            side,
            side,
        )
        assert torch.equal(batch["pictures"], again.batch(step)["pictures"])
    assert not torch.equal(data.batch(2)["pictures"], data.batch(3)["pictures"])
    assert data.fixed()["labels"].shape == (3, 64, 64) and data.fingerprint == again.fingerprint


def test_the_rate_falls_when_the_pictures_are_whole() -> None:
    recipe = Parse(TINY, ParseTrainOptions(half=0.5), silent)
    rates = [recipe.rate(1.0, step, 1000, 10) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01) and rates[100:500] == [1.0] * 400
    assert all(b <= a for a, b in pairwise(rates[500:])) and rates[-1] < 0.02
    assert all(math.isfinite(recipe.rate(1.0, s, 10, 10)) for s in range(10))


def test_the_export_takes_the_weights_of_classes_out_again() -> None:
    recipe = Parse(TINY, ParseTrainOptions(), silent)
    state = recipe.net.state_dict()
    out = recipe.layout({"net": state})
    assert {t.dtype for t in out.values()} == {torch.float16} and not any(
        "tracked" in key for key in out
    )
    odds = torch.exp(state["out.bias"] - out["out.bias"].float())
    torch.testing.assert_close(odds, torch.tensor(WEIGHTS), rtol=1e-2, atol=0)
    torch.testing.assert_close(out["out.weight"], state["out.weight"].half())


def test_colours_of_labels() -> None:
    shown = coloured(torch.tensor([[[0, 1, IGNORED]]]))
    assert (
        shown.shape == (1, 3, 1, 3)
        and shown[0, :, 0, 2].tolist() == [1, 1, 1]
        and shown[0, :, 0, 0].sum() == 0
    )


# --- measuring ---


class Knowing:
    """A parser that gives the labels it is told, with some of them taken for background."""

    crop_size = 256
    template: Template = "ffhq"

    def __init__(self, shelf: parse_pairs.Shelf, forgets: int = -1) -> None:
        self._labels, self._forgets, self._next = shelf.labels, forgets, 0

    def parse(self, crops: object, faces: object) -> Array32:
        labels = self._labels[self._next].copy()
        self._next += 1
        labels[labels == self._forgets] = 0
        return np.asarray(np.eye(19)[labels].transpose(2, 0, 1)[None], np.float32)


def test_overlap_of_known_answers(drawn: Path) -> None:
    shelf = parse_pairs.test_shelf(drawn)
    best = evaluate(Knowing(shelf), shelf, lambda picture: [])
    assert best.mean == 1 and best.right == 1 and best.classes["hat"] is None and best.unseen == 0
    worse = evaluate(Knowing(shelf, 13), shelf, lambda picture: [])
    there = [name for name, value in best.classes.items() if value is not None]
    assert worse.classes["hair"] == 0 and worse.classes["skin"] == 1
    assert worse.mean < 1 - 1 / len(there) + 0.001
    assert worse.report()["groups"]["mouth"] == 1 and worse.table()[1][-1][0] == "mean of classes"


def test_confusion_counts_true_by_row() -> None:
    found = compared(np.array([[1, 1], [2, 0]], np.uint8), np.array([[1, 2], [2, 0]], np.uint8))
    assert found.sum() == 4 and found[1, 2] == 1 and found[1, 1] == found[2, 2] == found[0, 0] == 1


# --- commands ---


def test_the_trial_learns_and_is_resumable(
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


def test_refusals(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "parse", "-o", str(tmp_path / "run")]) == 2
    assert run(["train", "parse", str(tmp_path), "--size", "100", "-o", str(tmp_path / "run")]) == 2
    assert run(["train", "parse", str(tmp_path), "-o", str(tmp_path / "run")]) == 3
    assert "holds no pairs" in capfd.readouterr().err
    assert run(["train", "parse", "--smoke", "--half", "2", "-o", str(tmp_path / "run")]) == 2
    assert (
        run(["eval", "parse", str(tmp_path), "--weights", str(tmp_path / "none.safetensors")]) == 5
    )
    assert run(["eval", "parse", str(tmp_path), "--parser", "nobody"]) == 2
