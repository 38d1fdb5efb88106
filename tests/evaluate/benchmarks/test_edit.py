"""How edits are measured: likeness over time, what lies outside, and a whole evaluation of a fake painter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media
from thcli.cli.app import run
from thcli.core.options import RunOptions, Template
from thcli.core.types import Array32, Face, Image
from thcli.editors.backends import PAINTERS
from thcli.evaluate.benchmarks.edit import Consistency, Once, background_of
from thcli.evaluate.datasets.test_clip import astronaut_clip
from thcli.evaluate.metrics.csim import Known
from thcli.evaluate.metrics.regions import Place
from thcli.evaluate.metrics.table import Sample
from thcli.faces.identity.encoder import CropEncoder
from thcli.faces.parsing.classes import CLASSES, number
from thcli.weights.backend import Backend

SIDE = 96


class Pencil:
    """A painter that darkens a crop; --attr bangs."""

    crop_size = SIDE
    template: Template = "ffhq"
    attributes: Sequence[str] = ("bangs",)

    def look(self, crops: Sequence[Image], faces: Sequence[Face], regions: Array32) -> Array32:
        return np.zeros((len(crops), 1), np.float32)

    def paint(
        self,
        crops: Sequence[Image],
        faces: Sequence[Face],
        regions: Array32,
        look: Array32,
        strengths: Mapping[str, float],
    ) -> list[Image]:
        return [np.clip(crop.astype(int) - 25, 0, 255).astype(np.uint8) for crop in crops]


def load(run: RunOptions) -> Pencil:
    return Pencil()


class Vectors(CropEncoder):
    """Knows who somebody is by the first pixel: a number of a table."""

    name = "table"
    same_person = 0.5

    def __init__(self, table: Array32) -> None:
        self._table = table

    def vectors(self, crops: Sequence[Image]) -> Array32:
        raise AssertionError("faces are looked up")

    def identify(self, picture: Image, face: Face) -> Any:
        from thcli.core.types import Identity

        return Identity(self._table[int(picture[0, 0, 0])], self.name)


def face() -> Face:
    return Face(np.array([20, 20, 60, 60], np.float32), 1.0)


def sample(true: int, made: int) -> Sample:
    pictures = [np.full((80, 80, 3), value, np.uint8) for value in (true, made)]
    place = Place.of("face", pictures[0], None, face())
    assert place is not None
    return Sample(place, pictures[1], None, face(), pictures[1])


def unit(rows: Array32) -> Array32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("far", [False, True])
def test_consistency_is_the_result_s_over_the_clip_s(far: bool) -> None:
    rng = np.random.default_rng(1)
    table = unit(1 + 0.5 * rng.random((12, 8)).astype(np.float32))
    cell, same = Consistency(Known(Vectors(table)), far), Consistency(Known(Vectors(table)), far)
    for i in range(6):
        cell.add(sample(i, 6 + i))
        same.add(sample(i, i))
    pairs = list(combinations(range(6), 2)) if far else [(i, i + 1) for i in range(5)]
    own, made = (
        np.mean([table[start + a] @ table[start + b] for a, b in pairs]) for start in (0, 6)
    )
    assert cell.value() == pytest.approx(made / own, rel=1e-5)
    assert same.value() == pytest.approx(1)


def test_one_frame_has_no_consistency() -> None:
    cell = Consistency(Known(Vectors(np.ones((1, 1), np.float32))), far=True)
    cell.add(sample(0, 0))
    assert cell.value() is None


def test_a_face_is_looked_at_once() -> None:
    seen: list[Face] = []

    def looked(picture: Image, face: Face) -> int:
        seen.append(face)
        return len(seen)

    look = Once(looked, kept=2)
    one, two, three = face(), face(), face()
    picture = np.zeros((8, 8, 3), np.uint8)
    assert [look.of(picture, f) for f in (one, one, two, one, three, one)] == [1, 1, 2, 1, 3, 4]


class Halved:
    """Says that the left half of its crop is hair, the rest background."""

    crop_size = 64
    template: Template = "square"

    def parse(self, crops: Sequence[Image], faces: Sequence[Face]) -> Array32:
        out = np.zeros((len(crops), len(CLASSES), 64, 64), np.float32)
        out[:, number("hair"), :, :32] = 1
        out[:, 0, :, 32:] = 1
        return out


def test_the_background_begins_away_from_the_head() -> None:
    there = background_of(Halved(), np.zeros((80, 80, 3), np.uint8), face())
    assert not there[40, 20:42].any() and there[40, 46:].all()


def test_an_edit_is_measured(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAINTERS.rows, "pencil", Backend(f"{__name__}:load", "a fake"))
    clip, sheet, noted = tmp_path / "clip.mkv", tmp_path / "sheet.png", tmp_path / "noted.json"
    frames = list(astronaut_clip(4, 160))
    with media.write(clip, (160, 160), time_base=frames[0].time_base) as out:
        for frame in frames:
            out.write(frame.pixels, frame.pts, 1)
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
    ]
    assert run(["eval", "edit", str(clip), *words, "--json"]) == 0
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
