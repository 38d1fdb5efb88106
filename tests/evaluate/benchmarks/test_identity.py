"""Tests of identity verification: histograms against counted pairs, and the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.cli.app import run
from thcli.core.errors import MediaError
from thcli.core.types import Array32, Image
from thcli.evaluate.benchmarks.identity import BINS, Separation, cosine_histograms, verify
from thcli.evaluate.datasets.persons import list_persons, read_face
from thcli.faces.identity.encoder import AlignedCropEncoder, normalize_rows


def scattered(seed: int, persons: int, each: int, noise: float) -> tuple[Array32, list[int]]:
    dice = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), each)
    rows = dice.normal(size=(persons, 32))[who] + noise * dice.normal(size=(len(who), 32))
    return normalize_rows(list(rows.astype(np.float32))), [int(w) for w in who]


@given(st.integers(0, 99), st.floats(0.2, 3.0))
@settings(max_examples=20, deadline=None)
def test_the_histograms_agree_with_all_pairs(seed: int, noise: float) -> None:
    rows, who = scattered(seed, 6, 4, noise)
    found = cosine_histograms(rows, who)
    i, j = np.triu_indices(len(who), 1)
    cosines, same = (rows[i] * rows[j]).sum(1), np.asarray(who)[i] == np.asarray(who)[j]
    assert (found.same.sum(), found.different.sum()) == (same.sum(), (~same).sum())
    wins = (cosines[same][:, None] > cosines[~same][None]).mean()
    assert found.auc == pytest.approx(wins, abs=2e-3)
    for rate in (0.3, 0.05):
        threshold = found.threshold(rate)
        assert (cosines[~same] > threshold + 2 / BINS).mean() <= rate
        tar, far = found.accepted(threshold)
        assert far <= rate
        assert tar == pytest.approx((cosines[same] > threshold).mean(), abs=0.02)


def test_perfect_and_hopeless() -> None:
    rows, who = scattered(1, 5, 3, 0.0)
    assert cosine_histograms(rows, who).auc == pytest.approx(1)
    assert cosine_histograms(np.repeat(rows[:1], 15, 0), who).auc == pytest.approx(0.5)
    assert cosine_histograms(np.repeat(rows[:1], 15, 0), who).threshold(0.01) >= 1 - 2 / BINS


def test_nothing_to_count() -> None:
    empty = Separation(np.zeros(BINS, np.int64), np.zeros(BINS, np.int64))
    assert empty.auc == 0
    assert empty.threshold(0.1) <= -1 + 2 / BINS


class ByBrightness(AlignedCropEncoder):
    """Identity encoder by brightness."""

    name, same_person = "fake", 0.9

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        angle = np.array([float(crop.mean()) / 90 for crop in crops])
        return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Write two images, of two sizes, for each of three persons."""
    for number, level in enumerate((10, 120, 230)):
        person = tmp_path / "set" / f"person {number}"
        person.mkdir(parents=True)
        for image, side in enumerate((112, 200)):
            _, coded = cv2.imencode(".png", np.full((side, side, 3), level + image, np.uint8))
            (person / f"{image}.png").write_bytes(coded.tobytes())
    return tmp_path / "set"


def test_a_folder_is_evaluated(faces: Path) -> None:
    found = verify(faces, {"fake": ByBrightness()})
    assert (found.persons, found.images) == (3, 6)
    row = found.report()["rows"]["fake"]
    assert row["auc"] == 1 and row["same"]["pairs"] == 3 and row["different"]["pairs"] == 12
    assert row["same_person"] == {"threshold": 0.9, "tar": 1.0, "far": 0.0}
    head, lines = found.table()
    assert head == ["3 persons, 6 images", "fake"]
    assert all(len(line) == 2 for line in lines)


def test_images_are_read_as_112_by_rows_of_persons(faces: Path) -> None:
    (faces / "empty").mkdir()
    (faces / "person 0" / "notes.txt").write_text("not an image")
    rows = list_persons(faces)
    assert [row.person for row in rows] == [0, 0, 1, 1, 2, 2]
    assert {read_face(row.path).shape for row in rows} == {(112, 112, 3)}


def test_folders_that_cannot_be_used(tmp_path: Path, faces: Path) -> None:
    with pytest.raises(MediaError, match="is not a folder"):
        list_persons(tmp_path / "absent")
    with pytest.raises(MediaError, match="of 0 persons"):
        list_persons(faces / "person 0")
    broken = faces / "person 1" / "0.png"
    broken.write_bytes(b"no image")
    with pytest.raises(MediaError, match=r"0\.png is a text file"):
        verify(faces, {"fake": ByBrightness()})


def test_the_command(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    command = ["eval", "identity", str(faces), "--threads", "1", "--device", "cpu"]
    assert run([*command, "-o", str(report), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown["rows"]) == ["identity-s"]
    assert json.loads(report.read_text())["rows"] == shown["rows"]
    assert run([*command, "-o", str(report)]) == 7
    assert run([*command, "--licence", "free"]) == 2
    assert run([*command, "--identity", "nobody"]) == 2
    assert run([*command, "--onnx", str(report)]) == 5
    assert run(["eval", "identity", str(tmp_path / "absent")]) == 3
