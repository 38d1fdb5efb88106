"""Requests of edits: several strengths, edit files, texts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.command_line import to_argv
from tests.pipeline.editing.fakes import (
    Clip,
    GreenPainter,
    read_frames,
    run_edit,
)
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import UsageError
from thcli.core.options import EditOptions
from thcli.pipeline.editing.request import parse_request, text_region

pytestmark = pytest.mark.usefixtures("fakes")


def test_an_edit_file_repeats_the_edit(clip: Clip, tmp_path: Path) -> None:
    source, edit_file = clip("c4.mp4", 4), tmp_path / "a.edit.safetensors"
    words = ("--save-edit", str(edit_file), "--attr", "young=0.7")
    assert run_edit(source, tmp_path / "a.mkv", *words) == 0
    argv = to_argv("edit", source, "-q --codec ffv1 --edit", edit_file, "-o", tmp_path / "b.mkv")
    assert run(argv) == 0
    assert GreenPainter.seen[0][1] == pytest.approx(0.7)
    assert [f.pixels.tobytes() for f in read_frames(tmp_path / "a.mkv")] == [
        f.pixels.tobytes() for f in read_frames(tmp_path / "b.mkv")
    ]
    assert run_edit(source, tmp_path / "c.mkv", "--save-edit", str(edit_file)) == 7
    assert not (tmp_path / "c.mkv").exists()


def test_compare_and_dry_run(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    source = clip("c30.mp4", 30)
    argv = to_argv("edit", source, "-o", tmp_path / "a.mp4", "--engine blusher --attr blush")
    assert run([*argv, "--dry-run", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["would_make"] == 30 and report["estimate"] > 0 and report["size"] == "192x192"
    assert list(tmp_path.iterdir()) == []
    assert run([*argv, "-q", "--end", "0.1", "--compare", str(tmp_path / "both.mp4")]) == 0
    assert media.probe(tmp_path / "both.mp4").size == (384, 192)


def test_several_strengths_are_analysed_once(
    clip: Clip, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, each the same as of a run by itself."""
    source = clip("c4.mp4", 4)
    words = "--engine blusher --codec ffv1 --json"
    assert (
        run(to_argv("edit", source, "-o", tmp_path / "a.mkv", words, "--attr blush=0.5,1,2")) == 0
    )
    report = json.loads(capsys.readouterr().out)
    files = [tmp_path / f"a_rosy_cheeks_{s}.mkv" for s in ("0.5", "1", "2")]
    assert list(report["outputs"]) == [str(path) for path in files]
    assert "a.mkv" not in {path.name for path in tmp_path.iterdir()}
    alone = tmp_path / "alone.mkv"
    assert run(to_argv("edit", source, "-o", alone, words, "--attr blush=2")) == 0
    capsys.readouterr()
    pixels = [[f.pixels.tobytes() for f in read_frames(path)] for path in (*files, alone)]
    assert pixels[2] == pixels[3] and len({tuple(frames) for frames in pixels}) == 3
    for more in ("--save-edit x.edit.safetensors", "--compare both.mp4"):
        argv = to_argv("edit", source, "-o", tmp_path / "b.mkv", words, "--attr blush=1,2", more)
        assert run(argv) == 2 and "one result" in capsys.readouterr().err
    argv = to_argv("edit", source, "-o", tmp_path / "b.mkv", words, "--attr blush=1,1")
    assert run(argv) == 2 and "equal" in capsys.readouterr().err


REJECTED: dict[str, tuple[int, list[str], str]] = {
    "unknown": (2, ["--attr", "beart"], "beard"),
    "contradictory": (2, ["--attr", "young", "--attr", "old"], "young and old"),
    "both ways": (2, ["--attr", "beard", "--attr", "beard=-1"], "beard"),
    "no number": (2, ["--attr", "beard=much"], "number"),
    "nothing": (2, [], "--attr"),
    "two things": (2, ["--attr", "beard", "--text", "a beard"], "exclude"),
    "engine": (2, ["--attr", "beard", "--engine", "magic"], "dva-s"),
    "cannot": (2, ["--attr", "beard", "--engine", "blusher"], "rosy_cheeks"),
    "text with a painter": (2, ["--text", "a beard", "--engine", "blusher"], "by text"),
    "unknown word": (2, ["--text", "a zombie"], "zombie"),
    "no weights": (5, ["--attr", "beard", "--engine", "dva"], "thcli weights pull dva"),
    "not free": (5, ["--attr", "young", "--licence", "free"], "research"),
    "not believable": (2, ["--attr", "bald"], "shape cannot"),
    "no such edit": (3, ["--edit", "nowhere.edit.safetensors"], "nowhere"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected_requests(case: str, clip: Clip, tmp_path: Path, capsys: Any) -> None:
    code, words, said = REJECTED[case]
    assert run(["edit", str(clip("c4.mp4", 4)), "-o", str(tmp_path / "a.mp4"), *words]) == code
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_the_bundled_painters(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """A smile and glasses change their own regions, by the same amount in every frame."""
    source, out = clip("c4.mp4", 4), tmp_path / "a.mkv"
    argv = to_argv("edit", source, "-o", out, "--codec ffv1 --attr glasses --attr smile --json")
    assert run(argv) == 0
    assert json.loads(capsys.readouterr().out)["engines"] == {
        "atlas": {"smiling": 1.0},
        "drawn": {"eyeglasses": 1.0},
    }
    apart = [
        np.abs(a.pixels.astype(int) - b.pixels).max(2)
        for a, b in zip(read_frames(out), read_frames(source), strict=True)
    ]
    eyes, mouth, ground = (
        [float(image[rows].mean()) for image in apart]
        for rows in (
            (slice(50, 75), slice(60, 130)),
            (slice(95, 125), slice(70, 120)),
            (slice(0, 8), slice(0, 192)),
        )
    )
    assert min(eyes) > 5 and min(mouth) > 2 and max(ground) == 0  # the face smiles already
    assert max(eyes) < 1.5 * min(eyes) and max(mouth) < 1.5 * min(mouth)


def test_a_text_of_attributes(clip: Clip, tmp_path: Path, capsys: Any) -> None:
    """It is edited by attribute unless an editor is named; what no painter does is refused."""
    source, named, worded = clip("c1.mp4", 1), tmp_path / "a.png", tmp_path / "b.png"
    free = ("--licence", "free")
    assert run(["edit", str(source), "-o", str(named), "--attr", "eyeglasses", *free]) == 0
    capsys.readouterr()
    argv = ["edit", str(source), "-o", str(worded), "--text", "a woman with glasses", *free]
    assert run([*argv, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["attributes"] == {"eyeglasses": 1.0} and report["text"] == "a woman with glasses"
    assert report["engines"] == {"drawn": {"eyeglasses": 1.0}}
    assert named.read_bytes() == worded.read_bytes()
    for text in ("a woman with glasses", "a woman with a hat"):
        request = parse_request(EditOptions(text=text, engine="dva-s"))
        assert (
            request.text == text
            and request.neutral == "a woman"
            and list(request.engines) == ["dva-s"]
        )
    with pytest.raises(UsageError, match="hat"):
        parse_request(EditOptions(text="a woman with a hat"))
    assert text_region("a woman with glasses", "a woman") == text_region("a zombie", "") == "all"
    assert text_region("a smiling woman", "a woman") == "face"
    assert text_region("a woman with black hair", "a woman") == "hair"
