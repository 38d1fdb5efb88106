"""The command `thcli fit`."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faces.model3d.published_weights import PUBLISHED, install
from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli
from thcli.motion.file.reader import MotionFile
from thcli.motion.model3d import EXPRESSION_NAMES, IDENTITY_COUNT


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def test_a_table_has_a_row_a_frame_in_degrees(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    ran = thcli("fit", clip, "-o", tmp_path / "x.csv", "--json")
    assert ran.code == 0
    rows = table(tmp_path / "x.csv")
    assert (len(rows), ran.report["frames"], ran.report["model3d"]) == (FRAMES, FRAMES, "mesh")
    heads = ["index", "pts", "seconds", "seen", "pitch", "yaw", "roll", "scale", "x", "y"]
    assert list(rows[0]) == [
        *heads,
        *EXPRESSION_NAMES,
        *(f"identity_{i + 1}" for i in range(IDENTITY_COUNT)),
    ]
    times = [float(row["seconds"]) for row in rows]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 25, atol=1e-6)
    assert all(row["seen"] == "1" and 0 < float(row["x"]) < SIDE for row in rows)
    angles = np.array([[float(row[name]) for name in ("pitch", "yaw", "roll")] for row in rows])
    for name, column in zip(("pitch", "yaw", "roll"), angles.T, strict=True):
        assert ran.report["pose"][name]["mean"] == pytest.approx(column.mean(), abs=0.01)
        assert ran.report["pose"][name]["max"] == pytest.approx(column.max(), abs=0.01)
    # The image rotates by 0.1 sin(0.31 t) radians, with the head.
    turn = np.degrees(0.1 * np.sin(0.31 * 2 * np.pi * np.array(times)))
    np.testing.assert_allclose(angles[:, 2] - angles[0, 2], turn, atol=1.0)


def test_the_three_formats_agree(thcli: Thcli, clip: Path, tmp_path: Path) -> None:
    for ending in ("csv", "jsonl", "safetensors"):
        assert thcli("fit", clip, "-o", tmp_path / f"x.{ending}", "-q").code == 0
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    stored = MotionFile(tmp_path / "x.safetensors")
    assert (stored.kind, stored.metadata["model"], stored.metadata["expression"]) == (
        "coefficients",
        "mesh",
        " ".join(EXPRESSION_NAMES),
    )
    motion = stored.window(0, len(stored))
    assert motion.valid.all()
    for i, (line, row) in enumerate(zip(lines, table(tmp_path / "x.csv"), strict=True)):
        assert (
            (line["pts"], line["yaw"])
            == (int(row["pts"]), float(row["yaw"]))
            == (motion.pts[i], line["yaw"])
        )
        np.testing.assert_allclose(
            list(line["expression"].values()), motion.arrays["expression"][i], rtol=1e-3, atol=1e-5
        )
        np.testing.assert_allclose(
            line["identity"], motion.arrays["identity"][i], rtol=1e-3, atol=1e-5
        )
        assert float(row["smile"]) == line["expression"]["smile"]
        np.testing.assert_allclose(
            line["own"]["gaze"], motion.arrays["own_gaze"][i], rtol=1e-3, atol=1e-5
        )


def test_an_image_on_standard_output(thcli: Thcli, photo: Path) -> None:
    ran = thcli("fit", photo)
    (row,) = ran.rows
    assert set(row["expression"]) == set(EXPRESSION_NAMES)
    assert abs(row["yaw"]) < 40
    assert "pitch:" in ran.err


def test_frames_without_the_face_are_empty(thcli: Thcli, gap: Path, tmp_path: Path) -> None:
    ran = thcli("fit", gap, "-o", tmp_path / "x.csv", "--json")
    assert (ran.report["frames"], ran.report["passed_through"]) == (13, 4)
    rows = table(tmp_path / "x.csv")
    unseen = [row for row in rows if row["seen"] == "0"]
    assert [int(row["index"]) for row in unseen] == [5, 6, 7, 8]
    assert all(row["yaw"] == row["jaw"] == row["identity_24"] == "" for row in unseen)
    assert thcli("fit", gap, "-o", tmp_path / "x.safetensors", "-q").code == 0
    motion = MotionFile(tmp_path / "x.safetensors").window(0, 13)
    assert motion.valid.sum() == 9 and not motion.arrays["expression"][5:9].any()


def test_one_face_at_a_time(thcli: Thcli, pair: Path, tmp_path: Path) -> None:
    many = thcli("fit", pair, "-o", tmp_path / "x.csv", "--face", "all")
    assert (many.code, list(tmp_path.iterdir())) == (2, [])
    left, right = (
        thcli("fit", pair, "--json", "--face", n).report["pose"]["yaw"]["mean"] for n in (0, 1)
    )
    assert left == pytest.approx(-right, abs=6)  # one is the other's mirror image


def test_errors_have_their_codes_and_leave_no_file(
    thcli: Thcli, photo: Path, blank: Path, tmp_path: Path
) -> None:
    place = tmp_path / "x.csv"
    assert thcli("fit", blank, "-o", place).code == 4
    assert thcli("fit", tmp_path / "no.mp4", "-o", place).code == 3
    assert thcli("fit", photo, "-o", tmp_path / "x.txt").code == 2
    assert thcli("fit", photo, "-o", place, "--model3d", "nose").code == 2
    assert thcli("fit", photo, "-o", "-", "--json").code == 2
    assert thcli("fit", photo, "-o", tmp_path / "no" / "x.csv").code == 7
    assert thcli("fit", photo, "-o", place, "--dry-run", "--json").report["would_make"] == 1
    assert list(tmp_path.iterdir()) == []
    for ending in ("csv", "jsonl", "safetensors"):
        taken = tmp_path / f"x.{ending}"
        taken.write_text("mine")
        assert thcli("fit", photo, "-o", taken).code == 7
        assert taken.read_text() == "mine"
        assert thcli("fit", photo, "-o", taken, "--overwrite").code == 0
        assert taken.read_bytes() != b"mine"


@pytest.mark.slow
def test_a_model_of_images_reads_the_frames(
    thcli: Thcli,
    gap: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Random weights in 3DDFA_V2's layout: any batch size gives the same file."""
    from thcli import weights
    from thcli.weights import cache_folder

    trackers = [
        weights.registry()[name]
        for name in ("blazeface-short", "blazeface-full", "facemesh-attention")
    ]
    home = cache_folder()
    room = tmp_path_factory.mktemp("weights")
    for entry in trackers:
        (room / entry.name).symlink_to(home / entry.name)
    monkeypatch.setenv("THCLI_WEIGHTS", str(room))
    absent = thcli("fit", gap, "-o", tmp_path / "x.csv", "--model3d", "tddfa-mb05")
    assert absent.code == 5 and "thcli weights pull tddfa-mb05" in absent.err
    install(
        next(row for row in PUBLISHED if row.name == "tddfa-mb05"),
        tmp_path_factory.mktemp("published"),
    )
    found: list[Any] = []
    for size in (1, 3, 8):
        path = tmp_path / f"{size}.safetensors"
        assert (
            thcli(
                "fit", gap, "-o", path, "--model3d", "tddfa-mb05", "--batch-size", size, "-q"
            ).code
            == 0
        )
        found.append(MotionFile(path).window(0, 13))
    assert found[0].valid.sum() == 9
    assert found[0].arrays["own_param"].shape == (13, 62)
    assert np.abs(np.diff(found[0].arrays["own_param"][found[0].valid], axis=0)).max() > 1e-4
    for other in found[1:]:
        for name, values in found[0].arrays.items():
            np.testing.assert_allclose(other.arrays[name], values, rtol=1e-3, atol=1e-3)
