"""`thcli encode` and `thcli warp`."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.pipeline.stages.made_videos import FRAMES, SIDE, Thcli, read_images
from thcli import media
from thcli.core.imaging import to_uint8
from thcli.motion.file.reader import MotionFile


@pytest.fixture
def motion(thcli: Thcli, clip: Path, room: Path) -> Path:
    path = room / "clip.motion.safetensors"
    if not path.exists():
        assert thcli("encode", clip).code == 0
    return path


def test_encode_writes_a_motion_file_beside_the_clip(
    thcli: Thcli, clip: Path, motion: Path
) -> None:
    file = MotionFile(motion)
    assert (file.kind, len(file), file.metadata["source"]) == ("mesh", FRAMES, "clip.mp4")
    assert file.window(0, FRAMES).valid.all()
    again = thcli("encode", clip)
    assert again.code == 7
    assert "exists already" in again.err


@pytest.fixture
def squeezed(clip: Path, tmp_path: Path) -> Path:
    """Return the clip with pixels that are shown twice as wide as high."""
    path = tmp_path / "squeezed.mp4"
    with media.read(clip) as frames:
        size = SIDE // 2, SIDE
        like = replace(frames.info, size=size, sar=Fraction(2))
        with media.write(path, size, like) as writer:
            for frame in frames:
                writer.write(cv2.resize(to_uint8(frame.pixels), size), frame.pts)
    return path


def test_encode_sees_anamorphic_frames_as_they_are_shown(
    thcli: Thcli, squeezed: Path, motion: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.motion.safetensors"
    assert thcli("encode", squeezed, "-o", path).code == 0
    made, wanted = (MotionFile(file).window(0, FRAMES) for file in (path, motion))
    assert made.constants["size"].tolist() == [SIDE, SIDE]
    shape, shape_wanted = (np.asarray(one.arrays["expression"], float) for one in (made, wanted))
    assert np.abs(shape - shape_wanted).mean() < 0.02


def test_fit_sees_anamorphic_frames_as_they_are_shown(
    thcli: Thcli, squeezed: Path, clip: Path, tmp_path: Path
) -> None:
    pitches = []
    for video in (squeezed, clip):
        path = tmp_path / f"{video.stem}.csv"
        assert thcli("fit", video, "-o", path).code == 0
        with path.open(newline="") as rows:
            pitches.append([float(row["pitch"]) for row in csv.DictReader(rows)])
    assert np.abs(np.array(pitches[0]) - pitches[1]).mean() < 1.5


def test_encode_reports_frames_without_the_face(thcli: Thcli, gap: Path, tmp_path: Path) -> None:
    ran = thcli("encode", gap, "-o", tmp_path / "x.motion.safetensors", "--json")
    assert (ran.report["frames"], ran.report["passed_through"], ran.report["faces"]) == (13, 4, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["x.motion.safetensors"]


def test_warp_moves_a_face_by_a_motion_file(
    thcli: Thcli, photo: Path, motion: Path, clip: Path, tmp_path: Path
) -> None:
    video = tmp_path / "out.mp4"
    ran = thcli("warp", photo, motion, "-o", video, "--json")
    assert ran.code == 0
    assert (ran.report["command"], ran.report["frames"]) == ("warp", FRAMES)
    made = read_images(video)
    assert len(made) == FRAMES
    assert media.probe(video).size == (SIDE, SIDE)
    first, last = made[0].astype(float), made[-1].astype(float)
    assert np.abs(last - first).mean() > 1  # the face moves
    assert thcli("warp", photo, motion, "-o", video).code == 7


def test_warp_dry_run_writes_nothing(
    thcli: Thcli, photo: Path, motion: Path, tmp_path: Path
) -> None:
    ran = thcli("warp", photo, motion, "-o", tmp_path / "out.mp4", "--dry-run", "--json")
    assert (ran.code, ran.report["command"], ran.report["would_make"]) == (0, "warp", FRAMES)
    assert list(tmp_path.iterdir()) == []


def test_errors(
    thcli: Thcli, photo: Path, blank: Path, clip: Path, motion: Path, tmp_path: Path
) -> None:
    video = tmp_path / "out.mp4"
    wrong = thcli("warp", photo, clip, "-o", video)
    assert wrong.code == 2
    assert f"thcli encode {clip}" in wrong.err
    assert thcli("warp", blank, motion, "-o", video).code == 4
    assert thcli("warp", photo, tmp_path / "no.motion.safetensors", "-o", video).code == 3
    assert thcli("encode", blank, "-o", tmp_path / "x.motion.safetensors").code == 4
    assert thcli("encode", motion).code == 2
    assert thcli("encode", clip, "--engine", "nose").code == 2
    assert thcli("encode", "-").code == 2
    broken = tmp_path / "broken.motion.safetensors"
    broken.write_bytes(b"nothing of the kind")
    refused = thcli("warp", photo, broken, "-o", video)
    assert refused.code == 3
    assert "thcli encode VIDEO" in refused.err
    assert [p.name for p in tmp_path.iterdir()] == ["broken.motion.safetensors"]
