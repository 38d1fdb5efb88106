"""`thcli detect` and `thcli track`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli


def test_detect_writes_a_line_a_frame_to_stdout(thcli: Thcli, photo: Path) -> None:
    ran = thcli("detect", photo)
    assert ran.code == 0
    (row,) = ran.rows
    assert (row["index"], row["pts"], row["seconds"]) == (0, 0, 0.0)
    (face,) = row["faces"]
    x0, y0, x1, y1 = face["box"]
    assert 0 <= x0 < SIDE / 2 < x1 <= SIDE
    assert 0 <= y0 < 0.36 * SIDE < y1 <= SIDE
    assert len(face["keypoints"]) == 6
    assert 0.5 < face["score"] <= 1
    assert "1 frame in " in ran.err and ", 1 face\n" in ran.err


def test_detect_counts_every_face_of_every_frame(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    lines = tmp_path / "faces.jsonl"
    ran = thcli("detect", pair, "-o", lines, "--json", "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.report["frames"], ran.report["faces"], ran.report["detections"]) == (6, 2, 12)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(6))
    assert all(len(row["faces"]) == 2 for row in rows)
    assert np.allclose([row["seconds"] for row in rows], np.arange(6) / 25)
    assert [p.name for p in tmp_path.iterdir()] == ["faces.jsonl"]


def test_detect_with_json_alone_prints_one_object(thcli: Thcli, photo: Path) -> None:
    ran = thcli("detect", photo, "--json")
    assert ran.report["command"] == "detect"
    assert ran.report["output"] is None


@pytest.mark.parametrize("command", ["detect", "track"])
def test_errors_have_exit_codes_and_write_nothing(
    thcli: Thcli, command: str, photo: Path, blank: Path, tmp_path: Path
) -> None:
    lines = tmp_path / "faces.jsonl"
    no_face = thcli(command, blank, "-o", lines)
    assert no_face.code == 4
    assert "shows a face" in no_face.err
    missing = thcli(command, tmp_path / "nothing.mp4", "-o", lines)
    assert (missing.code, list(tmp_path.iterdir())) == (3, [])
    assert thcli(command, photo, "-o", lines, "--detector", "nose").code == 2
    assert thcli(command, photo, "-o", "-", "--json").code == 2
    assert thcli(command, photo, "-o", tmp_path / "no" / "faces.jsonl").code == 7
    assert list(tmp_path.iterdir()) == []
    lines.write_text("mine")
    assert thcli(command, photo, "-o", lines).code == 7
    assert lines.read_text() == "mine"
    assert thcli(command, photo, "-o", lines, "--overwrite").code == 0
    assert json.loads(lines.read_text())["faces"]


@pytest.mark.parametrize("command", ["detect", "track", "encode", "crop", "align"])
def test_a_dry_run_writes_nothing(thcli: Thcli, command: str, clip: Path, tmp_path: Path) -> None:
    ending = {"crop": "x.mp4", "align": "x/"}.get(command, "x.safetensors")
    ran = thcli(command, clip, "-o", f"{tmp_path}/{ending}", "--dry-run", "--json")
    assert ran.code == 0
    assert (ran.report["dry_run"], ran.report["would_make"], ran.report["frames"]) == (
        True,
        FRAMES,
        0,
    )
    assert list(tmp_path.iterdir()) == []


def test_track_reports_the_number_that_face_takes(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    lines = tmp_path / "tracks.jsonl"
    ran = thcli("track", pair, "-o", lines, "--json")
    assert ran.code == 0
    left, right = ran.report["tracks"]
    assert (left["face"], right["face"]) == (0, 1)
    assert left["frames"] == right["frames"] == 6
    assert left["area"] == pytest.approx(right["area"], rel=0.15)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [row["cut"] for row in rows] == [False] * 6
    for row in rows:
        first = next(face for face in row["faces"] if face["track"] == left["track"])
        assert first["box"][2] < SIDE
        assert np.array(first["keypoints"]).shape == (5, 2)
        assert "points" not in first


@pytest.mark.parametrize(("points", "shape"), [(0, None), (68, (68, 3)), (468, (468, 3))])
def test_track_writes_the_requested_points(
    thcli: Thcli, photo: Path, points: int, shape: tuple[int, int] | None
) -> None:
    (face,) = thcli("track", photo, "--points", points).rows[0]["faces"]
    assert ("keypoints" in face) == (points > 0)
    assert (np.array(face["points"]).shape if "points" in face else None) == shape


@pytest.mark.parametrize(("name", "cuts"), [("gap", []), ("scenes", [5, 9])])
def test_track_reports_cuts_and_frames_without_a_face(
    thcli: Thcli, name: str, cuts: list[int], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    lines = tmp_path / "tracks.jsonl"
    ran = thcli("track", request.getfixturevalue(name), "-o", lines, "--json")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert (ran.report["passed_through"], ran.report["cuts"]) == (4, len(cuts))
    assert [row["index"] for row in rows if row["cut"]] == cuts
    assert [row["index"] for row in rows if not row["faces"]] == [5, 6, 7, 8]


def test_bad_options_are_usage_errors(thcli: Thcli, photo: Path) -> None:
    assert thcli("track", photo, "--points", 7).code == 2
    assert thcli("detect", photo, "--start", -1).code == 2
    assert thcli("detect").code == 2


def test_standard_input_is_read(thcli: Thcli, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with photo.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        ran = thcli("detect", "-")
    assert ran.code == 0
    assert len(ran.rows[0]["faces"]) == 1
