"""Tests of edit measurements: consistency, background, and an evaluation with a fake painter."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.pipeline.fake_painters import DarkeningPainter
from thcli import media
from thcli.cli.app import run
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import PAINTERS
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.evaluate.metrics.csim import IdentityCache
from thcli.evaluate.metrics.edits import (
    IdentityConsistency,
    background_of,
    edit_metrics,
)
from thcli.evaluate.metrics.face_cache import FaceCache
from thcli.evaluate.metrics.regions import RegionView
from thcli.evaluate.metrics.table import Sample
from thcli.evaluate.reports.html.page import best_cell
from thcli.faces.identity.encoder import AlignedCropEncoder
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.weights.backend import Backend

SIDE = 96


class BangsPainter(DarkeningPainter):
    """Painter that darkens a crop for --attr bangs."""

    crop_size = SIDE
    template: Template = "ffhq"
    attributes: Sequence[str] = ("bangs",)

    def change(self, crop: Image) -> Image:
        return np.asarray(np.clip(crop.astype(int) - 25, 0, 255), np.uint8)


def load(run: RunOptions) -> BangsPainter:
    return BangsPainter()


class TableEncoder(AlignedCropEncoder):
    """Identity encoder that looks up the first pixel's value in a table."""

    name = "table"
    same_person = 0.5

    def __init__(self, table: Array32) -> None:
        self._table = table

    def encode_crops(self, crops: Sequence[Image]) -> Array32:
        raise AssertionError("faces are looked up")

    def identify(self, image: Image, face: Face) -> Any:
        from thcli.core.types import Identity

        return Identity(self._table[int(image[0, 0, 0])], self.name)


def make_face() -> Face:
    return Face(np.array([20, 20, 60, 60], np.float32), 1.0)


def make_sample(true: int, made: int) -> Sample:
    images = [np.full((80, 80, 3), value, np.uint8) for value in (true, made)]
    place = RegionView.of("face", images[0], None, make_face())
    assert place is not None
    return Sample(place, make_face(), images[1])


def unit(rows: Array32) -> Array32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("far", [False, True])
def test_consistency_is_relative_to_the_clip(far: bool) -> None:
    rng = np.random.default_rng(1)
    table = unit(1 + 0.5 * rng.random((12, 8)).astype(np.float32))
    cell, same = (
        IdentityConsistency(IdentityCache(TableEncoder(table)), far),
        IdentityConsistency(IdentityCache(TableEncoder(table)), far),
    )
    for i in range(6):
        cell.add(make_sample(i, 6 + i))
        same.add(make_sample(i, i))
    pairs = list(combinations(range(6), 2)) if far else [(i, i + 1) for i in range(5)]
    own, made = (
        np.mean([table[start + a] @ table[start + b] for a, b in pairs]) for start in (0, 6)
    )
    assert cell.value() == pytest.approx(made / own, rel=1e-5)
    assert same.value() == pytest.approx(1)


def test_one_frame_has_no_consistency() -> None:
    cell = IdentityConsistency(IdentityCache(TableEncoder(np.ones((1, 1), np.float32))), far=True)
    cell.add(make_sample(0, 0))
    assert cell.value() is None


def test_a_face_is_computed_once() -> None:
    seen: list[Face] = []

    def count_calls(image: Image, face: Face) -> int:
        seen.append(face)
        return len(seen)

    cache = FaceCache(count_calls, size=2)
    one, two, three = make_face(), make_face(), make_face()
    image = np.zeros((8, 8, 3), np.uint8)
    faces = (one, one, two, one, three, one)
    assert [cache.get(image, face) for face in faces] == [1, 1, 2, 1, 3, 4]


class HalfHairParser:
    """Parser that labels the left half of its crop as hair, the rest as background."""

    crop_size = 64
    template: Template = "square"

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        out = np.zeros((len(crops), len(CLASSES), 64, 64), np.float32)
        out[:, class_number("hair"), :, :32] = 1
        out[:, 0, :, 32:] = 1
        return out


def test_the_background_begins_away_from_the_head() -> None:
    there = background_of(HalfHairParser(), np.zeros((80, 80, 3), np.uint8), make_face())
    assert not there[40, 20:42].any() and there[40, 46:].all()


class BrightnessClassifier:
    """Classifier that gives every label the probability of the first pixel's value in percent."""

    names = CELEBA

    def score_faces(self, images: Sequence[Image], faces: Sequence[Face]) -> Array32:
        values = [int(image[0, 0, 0]) / 100 for image in images]
        return np.tile(np.array(values, np.float32)[:, None], (1, len(CELEBA)))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("smiling", 0.2, 0.9), ("beard", 0.8, 0.1)],  # beard: the absence of the label No_Beard
)
def test_probabilities_are_of_the_attribute(name: str, before: float, after: float) -> None:
    classifier: Any = BrightnessClassifier()
    metrics = edit_metrics([name], None, classifier, HalfHairParser())
    values = {}
    for metric in metrics:
        if metric.name.startswith(name):
            cell = metric.make()
            cell.add(make_sample(20, 90))
            values[metric.name] = cell.value()
    assert values == pytest.approx({f"{name} before": before, f"{name} after": after})


def test_the_clip_is_parsed_once_for_all_rows() -> None:
    calls = []

    class CountingParser(HalfHairParser):
        def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
            calls.append(len(crops))
            return super().parse(crops, faces)

    (metric,) = [
        m for m in edit_metrics([], None, None, CountingParser()) if m.name == "relabelled"
    ]
    sample = make_sample(20, 90)
    for frame, number in ((sample.truth.frame, 0), (sample.frame, 2), (sample.frame, 3)):
        cell = metric.make()
        cell.add(replace(sample, frame=frame))
        assert cell.value() == 0 and sum(calls) == number


def test_an_edit_is_measured(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAINTERS.rows, "pencil", Backend(f"{__name__}:load", "a fake"))
    clip, sheet, noted = tmp_path / "clip.mkv", tmp_path / "sheet.png", tmp_path / "noted.json"
    frames = list(astronaut_clip(4, 160))
    with media.write(clip, (160, 160), plan=media.WritePlan(time_base=frames[0].time_base)) as out:
        for frame in frames:
            out.write(frame.pixels, frame.pts, 1)
    wearers = tmp_path / "wearers"
    wearers.mkdir()
    for number in range(8):
        Pillow.fromarray(np.roll(frames[0].pixels, number, 1)).save(wearers / f"{number}.png")
    words = [
        "--each",
        "--engine",
        "pencil",
        "--attr",
        "bangs",
        "--sheet",
        str(sheet),
        "--strengths",
        str(noted),
        "--wearers",
        str(wearers),
    ]
    table = tmp_path / "table.csv"
    assert run(["eval", "edit", str(clip), *words, "-o", str(table), "--json"]) == 0
    head, *lines = csv.reader(table.read_text("utf-8").splitlines())
    assert head == [
        "metric",
        "unit",
        "where",
        "bangs, edited",
        "bangs, per frame",
        "clip, unedited",
    ]
    assert lines[-1] == ["real or edited, AUC ↓", "", "", "-", "-", "-"]  # of one clip
    assert {len(line) for line in lines} == {6} and best_cell(
        head, ["tl_id ↑", "", "face", "1", "2", "3"]
    ) == 4
    found = {(line[0].split(" ")[0], line[2]) for line in lines}
    assert {("ssim", "face"), ("ssim", "frame"), ("tl_id", "face"), ("tg_id", "face")} <= found
    assert lines[-2][0] == "CPU time, pass 2 ↓" and lines[-2][-1] == "-"
    report = json.loads(capsys.readouterr().out)
    (edit,) = report["edits"]
    assert set(edit["mean"]) == {"edited", "per frame", "clip"} and report["reconstruction"] == []
    own = edit["mean"]["edited"]
    assert own["background_mse (frame)"] == 0 and 5 < own["changed (frame)"] < 70
    assert own["tl_id"] == pytest.approx(1, abs=0.05) and own["csim"] > 0.6
    assert (
        edit["mean"]["clip"]["tl_id"] == pytest.approx(1)
        and edit["mean"]["clip"]["changed (frame)"] == 0
    )
    assert own["pass_2, CPU seconds a frame"] > 0
    assert media.read_image(sheet).shape[0] > 300
    assert json.loads(noted.read_text())["attributes"]["bangs"]["by"] == "pencil"
