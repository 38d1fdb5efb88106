"""Tests of `thcli eval reenact`, `thcli bench` and `thcli compare`: tables, JSON, files, errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.evaluate.made_clips import write_frames
from thcli import media, weights
from thcli.cli.app import run
from thcli.core.errors import NoFaceError, OutputError
from thcli.core.types import Image
from thcli.evaluate.datasets.sample_clip import portrait, write_test_clip


def thcli(*argv: str | Path) -> int:
    """Return the exit code of a command line."""
    return run([str(word) for word in argv])


@pytest.fixture
def tracked() -> None:
    """Require the tracker's models."""
    if not all(
        weights.is_ready(name)
        for name in ("blazeface-short", "blazeface-full", "facemesh-attention")
    ):
        if os.environ.get("CI") == "true":
            pytest.fail("the tracker's weights are missing in CI")
        pytest.skip("needs the tracker's weights (thcli weights pull)")


def write_image(path: Path, image: Image) -> Path:
    Pillow.fromarray(image).save(path)
    return path


def test_compare_prints_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (
        write_frames(tmp_path / "a", 3),
        write_image(tmp_path / "b.png", np.zeros((64, 32, 3), np.uint8)),
    )
    assert not thcli(
        "compare", a, b, "-o", tmp_path / "out.mp4", "--label", "left", "--height", "64", "--json"
    )
    report = json.loads(capsys.readouterr().out)
    assert (report["command"], report["frames"], report["size"]) == ("compare", 3, [96, 64])
    assert media.probe(tmp_path / "out.mp4").size == (96, 64)


def test_compare_names_its_output_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_frames(tmp_path / "a", 2), write_frames(tmp_path / "b", 2)
    assert thcli("compare", a, b, "--quiet") == 0
    assert (tmp_path / "a_b.mp4").is_file()
    assert thcli("compare", a, b, "--quiet") == OutputError.exit_code
    assert "exists" in capsys.readouterr().err


def test_eval_of_finished_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracked: None
) -> None:
    truth = write_test_clip(tmp_path / "truth.mp4", 4, 192)
    still = write_image(tmp_path / "still.png", portrait(192))
    report, sheet = tmp_path / "report.json", tmp_path / "sheet.png"
    made = ("-o", report, "--sheet", sheet, "--columns", "3")
    assert (
        thcli(
            "eval",
            "reenact",
            truth,
            "--result",
            truth,
            "--result",
            still,
            *made,
            "--frames",
            "3",
            "--json",
        )
        == 0
    )
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads(report.read_text("utf-8"))
    assert kept["rows"] == printed["rows"]
    assert list(kept["rows"]) == ["truth.mp4", "still.png", "copy", "align", "truth"]
    assert kept["rows"]["truth.mp4"]["face"]["l1"] == 0
    assert media.probe(sheet).size[0] == 3 * 194 + 2
    assert thcli("eval", "reenact", truth, "--result", truth, "-o", report) == OutputError.exit_code
    assert thcli("eval", "reenact", truth, "--result", still, "--frames", "3", "--quiet") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == [
        "metric",
        "unit",
        "where",
        "still.png",
        "copy",
        "align",
        "truth",
    ]
    assert lines[1].startswith("l1") and all(line.count("\t") == 6 for line in lines)


def test_eval_of_the_engine_and_of_its_own_mouth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracked: None
) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 5, 192)
    assert thcli("eval", "reenact", clip, "--own-mouth", "--smooth", "0", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert list(rows) == ["mesh", "mesh, own mouth", "copy", "align", "truth"]
    assert rows["mesh"]["frames"] == 4
    assert rows["mesh"]["face"]["l1"] < rows["copy"]["face"]["l1"]
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_eval_without_a_face(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracked: None
) -> None:
    blank = write_image(tmp_path / "blank.png", np.zeros((64, 64, 3), np.uint8))
    assert thcli("eval", "reenact", blank) == NoFaceError.exit_code
    assert "shows no face" in capsys.readouterr().err


def test_bench_prints_one_object(capsys: pytest.CaptureFixture[str], tracked: None) -> None:
    assert thcli("bench", "--frames", "6", "--size", "192", "--repeat", "1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames"] == 6 and report["fps"] > 0
    assert set(report["alone"]) == {
        "load",
        "decode",
        "track",
        "follow",
        "motion",
        "render",
        "encode",
    }
    assert report["clock"]["track"] > 0 and report["overhead"]["cpu"] > 0
