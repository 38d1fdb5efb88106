"""Tests of `thcli eval refine`: the table, the mean of clips, and the requirements."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from thcli import media, weights
from thcli.cli.app import run
from thcli.core.geometry import bounding_box
from thcli.core.options import ReadOptions
from thcli.core.types import Face, Frame, Image
from thcli.evaluate.benchmarks import refine
from thcli.evaluate.benchmarks.reenactment.reenact import read_frame
from thcli.evaluate.benchmarks.refine import (
    RefineCost,
    RefineMeasurement,
    UntouchedChange,
)
from thcli.evaluate.benchmarks.refine_table import average_measurements, requirements, tables
from thcli.evaluate.datasets.coarse_clips import THIRDS, frames_at_distance
from thcli.evaluate.datasets.degraded_clips import degrade, degrade_clip
from thcli.evaluate.datasets.sample_clip import write_test_clip
from thcli.evaluate.metrics.image import relative_sharpness
from thcli.evaluate.metrics.scores import RowScores
from thcli.evaluate.metrics.table import METRICS
from thcli.motion.canonical import neutral
from thcli.pipeline.job.replayable_frames import ReplayableFrames
from thcli.pipeline.refining.subjects import ObservedFaces, observe_subjects
from thcli.refiners.backends import REFINERS
from thcli.weights.backend import Backend


@pytest.fixture
def blush(monkeypatch: pytest.MonkeyPatch) -> None:
    if not all(
        weights.is_ready(name)
        for name in ("blazeface-short", "blazeface-full", "facemesh-attention")
    ):
        if os.environ.get("CI") == "true":
            pytest.fail("the tracker's weights are missing in CI")
        pytest.skip("needs the tracker's weights (thcli weights pull)")
    monkeypatch.setitem(
        REFINERS.rows, "blush", Backend("tests.pipeline.fake_refiners:RedRefiner", "a stand-in")
    )


def test_the_table_as_typed(blush: None, tmp_path: Path, capsys: Any) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 6, 192)
    sheet, report = tmp_path / "sheet.png", tmp_path / "report.json"
    argv = [
        "eval",
        "refine",
        str(clip),
        str(clip),
        "--engine",
        "blush",
        "--sheet",
        str(sheet),
        "-o",
        str(report),
    ]
    assert run([*argv, "--frames", "4", "--columns", "3", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(report.read_text("utf-8"))["rows"] == printed["rows"]
    assert (
        list(printed["rows"]) == ["coarse", "refined", "truth"]
        and printed["command"] == "eval refine"
    )
    face = {label: row["face"] for label, row in printed["rows"].items()}
    # Red is no improvement.
    assert face["refined"]["l1"] > face["coarse"]["l1"] + 2 and face["truth"]["l1"] == 0
    assert (
        face["refined"]["pfd"]
        > face["coarse"]["pfd"]
        > face["truth"]["pfd"]
        == pytest.approx(0, abs=1e-6)
    )
    assert 1 < printed["untouched"]["frame"] < printed["untouched"]["crop"] < 12
    assert printed["calls_a_frame"] == 3 and printed["seconds_a_frame"] > 0
    assert (
        not printed["bars"]["l1 / coarse"]["holds"]
        and not printed["bars"]["change of the untouched crop"]["holds"]
    )
    one = printed["clips"]["clip.mp4"]["rows"]  # twice the same clip: the mean is each one's
    assert one["refined"]["face"] == pytest.approx(printed["rows"]["refined"]["face"])
    assert printed["rows"]["refined"]["frames"] == 2 * one["refined"]["frames"] == 6
    assert media.probe(sheet).size[0] == 3 * 194 + 2
    assert run(argv) == 7


def make_scores(**face: float | None) -> RowScores:
    return RowScores(
        {
            "face": {m.name: face.get(m.name) for m in METRICS}
            | {k: face[k] for k in ("pfd", "csim") if k in face},
            "frame": {m.name: None for m in METRICS},
        },
        10,
        0,
    )


def make_measurement(
    coarse: Mapping[str, float], refined: Mapping[str, float], harm: float | None
) -> RefineMeasurement:
    rows = {
        "coarse": make_scores(**coarse),
        "refined": make_scores(**refined),
        "truth": make_scores(l1=0.0),
    }
    return RefineMeasurement(
        "clip", rows, RefineCost(0.5, 2), None if harm is None else UntouchedChange(harm, harm / 3)
    )


COARSE = {
    "l1": 10.0,
    "pfd": 0.5,
    "psnr": 30.0,
    "ssim": 0.8,
    "akd": 1.0,
    "flicker": 2.0,
    "csim": 0.7,
    "sharpness": -2.0,
    "apd": 1.0,
}


@pytest.mark.parametrize(
    ("name", "value", "bar"),
    [
        ("l1", 9.1, "l1 / coarse"),
        ("pfd", 0.46, "pfd / coarse"),
        ("psnr", 29.9, "psnr - coarse"),
        ("ssim", 0.8, "ssim - coarse"),
        ("akd", 1.01, "akd / coarse"),
        ("flicker", 2.1, "flicker / coarse"),
        ("csim", 0.69, "csim - coarse"),
        ("apd", 1.1, "apd / coarse"),
        ("sharpness", -1.1, "sharpness regained"),
    ],
)
def test_each_bar_can_be_missed(name: str, value: float, bar: str) -> None:
    good = {
        "l1": 9.0,
        "pfd": 0.45,
        "psnr": 31.0,
        "ssim": 0.81,
        "akd": 1.0,
        "flicker": 2.0,
        "csim": 0.7,
        "sharpness": -1.0,
        "apd": 1.0,
    }
    assert all(one.holds for one in requirements(make_measurement(COARSE, good, 0.9)))
    missed = [
        one.name
        for one in requirements(make_measurement(COARSE, {**good, name: value}, 0.9))
        if not one.holds
    ]
    assert missed == [bar]
    assert [
        one.name for one in requirements(make_measurement(COARSE, good, 1.0)) if not one.holds
    ] == ["change of the untouched crop"]
    assert len(requirements(make_measurement(COARSE, good, None))) == 9


def test_the_mean_of_clips() -> None:
    both = average_measurements(
        [
            make_measurement(COARSE, {"l1": 4.0}, 1.0),
            make_measurement({**COARSE, "l1": 30.0}, {"l1": 8.0}, None),
        ]
    )
    values = {label: row.values["face"] for label, row in both.scores.items()}
    assert (values["coarse"]["l1"], values["refined"]["l1"], values["refined"]["psnr"]) == (
        20.0,
        6.0,
        None,
    )
    assert both.untouched == UntouchedChange(1.0, 1 / 3) and both.scores["coarse"].frames == 20
    (head, lines), (required, limits) = tables(both, METRICS)
    assert head == ["metric", "unit", "where", "coarse", "refined", "truth", "refined / coarse"]
    assert {len(line) for line in lines} == {len(head)}
    assert lines[0] == ["l1 ↓", "0..255", "face", "20", "6", "0", "0.3"]
    assert required == ["required, of the face", "limit", "value", "result"]
    assert limits[0] == ["l1 / coarse", "at most 0.90", "0.3", "holds"]


def test_degraded_clips_are_coarse_and_repeatable(tmp_path: Path) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 4, 192)
    true = read_frame(clip, ReadOptions(), 2)
    degraded = degrade(true, 2)
    assert degraded.shape == true.shape
    assert np.array_equal(degraded, degrade(true, 2))
    assert not np.array_equal(degraded, degrade(true, 3))
    assert relative_sharpness(true, degraded) < -1
    files = [degrade_clip(clip, tmp_path / name) for name in ("one.mkv", "two.mkv")]
    first, second = (read_frame(path, ReadOptions(), 3) for path in files)
    assert np.array_equal(first, second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "one.mkv", "two.mkv"]


def test_thirds_by_distance_divide_the_frames(tmp_path: Path) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 7, 192)
    numbers = iter(range(7))

    def track(image: Image) -> Face:
        angle = 0.1 * next(numbers)
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        )
        mesh = (100 * neutral() @ turn.T).astype(np.float32)
        return Face(bounding_box(mesh), 1.0, mesh=mesh)

    found = []
    for third in THIRDS:
        numbers = iter(range(7))
        found.append(frames_at_distance(clip, ReadOptions(), track, 0, third))
    assert [sorted(one.counted) for one in found] == [[0, 1, 2], [3, 4], [5, 6]]
    assert all(one.counted | one.skipped == frozenset(range(7)) for one in found)


def test_a_finished_coarse_video_is_measured(blush: None, tmp_path: Path, capsys: Any) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 5, 192)
    argv = ["eval", "refine", str(clip), "--coarse", str(clip), "--no-untouched", "--json"]
    assert run([*argv, "--distance", "far"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"]["coarse"]["face"]["l1"] == 0
    assert 0 < printed["rows"]["coarse"]["frames"] < 4
    assert run([*argv, str(clip)]) == 2
    assert run([*argv, "--coarse-engine", "degraded"]) == 2
    assert run([*argv, "--eta", "0.5"]) == 2


def test_messages_name_the_clip_of_the_user(
    blush: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They named the temporary file of the coarse frames."""
    names = []

    def observe(footage: ReplayableFrames[Frame], *given: Any) -> ObservedFaces:
        names.append(footage.name)
        return observe_subjects(footage, *given)

    monkeypatch.setattr(refine, "observe_subjects", observe)
    clip = write_test_clip(tmp_path / "clip.mp4", 3, 192)
    argv = ["eval", "refine", str(clip), "--no-untouched", "-q"]
    assert run([*argv, "--coarse-engine", "degraded"]) == 0
    assert run([*argv, "--coarse", str(clip)]) == 0
    assert names == [f"the coarse video of {clip}", str(clip)]
