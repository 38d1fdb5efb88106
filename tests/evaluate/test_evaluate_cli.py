"""`thcli eval reenact` and `thcli compare` as typed: tables, JSON, files, and errors of the one tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image as Pillow

from tests.evaluate.world import folder
from thcli import media, weights
from thcli.cli import compare, evaluate
from thcli.core.errors import OutputError, UsageError
from thcli.core.types import Image
from thcli.evaluate.bench import write_test_clip
from thcli.evaluate.testclip import portrait

Run = Callable[..., object]


@pytest.fixture
def run() -> Run:
    """Runs a command line of the two commands, as thcli.cli.app does."""
    app = typer.Typer()
    app.command()(compare.compare)
    app.add_typer(evaluate.app, name="eval")

    def typed(*argv: str | Path) -> object:
        return typer.main.get_command(app).main([str(word) for word in argv], standalone_mode=False)

    return typed


def saved(path: Path, picture: Image) -> Path:
    Pillow.fromarray(picture).save(path)
    return path


def test_compare_prints_one_object(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folder(tmp_path / "a", 3), saved(tmp_path / "b.png", np.zeros((64, 32, 3), np.uint8))
    run("compare", a, b, "-o", tmp_path / "out.mp4", "--label", "left", "--height", "64", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["command"], report["frames"], report["size"]) == ("compare", 3, [96, 64])
    assert media.probe(tmp_path / "out.mp4").size == (96, 64)


def test_compare_names_its_output_and_never_overwrites(tmp_path: Path, run: Run) -> None:
    a, b = folder(tmp_path / "a", 2), folder(tmp_path / "b", 2)
    run("compare", a, b, "--quiet")
    assert (tmp_path / "a_b.mp4").is_file()
    with pytest.raises(OutputError, match="exists"):
        run("compare", a, b, "--quiet")


def test_eval_of_finished_videos(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    if not weights.present("facemesh-attention"):
        pytest.skip("needs the tracker's weights (thcli weights pull)")
    truth = write_test_clip(tmp_path / "truth.mp4", 6, 192)
    still = saved(tmp_path / "still.png", portrait(192))
    report, sheet = tmp_path / "report.json", tmp_path / "sheet.png"
    run("eval", "reenact", truth, truth, still, "-o", report, "--sheet", sheet, "--frames", 5, "--columns", 3, "--json")
    printed = json.loads(capsys.readouterr().out)
    kept = json.loads(report.read_text("utf-8"))
    assert kept["rows"] == printed["rows"]
    assert list(kept["rows"]) == ["truth.mp4", "still.png", "copy", "align", "truth"]
    assert kept["rows"]["truth.mp4"]["face"]["l1"] == 0
    assert media.probe(sheet).size[0] == 3 * 194 + 2
    with pytest.raises(OutputError, match="exists already"):
        run("eval", "reenact", truth, truth, "-o", report)
    run("eval", "reenact", truth, still, "--frames", 3, "--quiet")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["metric", "unit", "where", "still.png", "copy", "align", "truth"]
    assert lines[1].startswith("l1") and all(line.count("\t") == 6 for line in lines)


def test_two_results_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    a, b = tmp_path / "a" / "x.mp4", tmp_path / "b" / "x.mp4"
    assert evaluate.labels([a, b]) == {str(a): a, str(b): b}
    assert evaluate.labels([a]) == {"x.mp4": a}
    with pytest.raises(UsageError, match="twice"):
        evaluate.labels([a, a])
    with pytest.raises(UsageError, match="'copy'"):
        evaluate.labels([Path("copy")])
