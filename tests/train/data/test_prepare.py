"""Preparation of datasets: segments, crops, motion files, resume and failures."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from thcli import media
from thcli.cli.app import run
from thcli.core.errors import WeightsError
from thcli.core.events import Event, Step
from thcli.core.geometry import transform_points
from thcli.core.options import OutputOptions, PrepareOptions, TrainOptions
from thcli.core.types import Face, Frame
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.faces.crops.crop import transform_face
from thcli.faces.landmarks.topology import POINTS
from thcli.motion.canonical import unpack_pose
from thcli.motion.file.reader import MotionFile
from thcli.train.data.dataset import MOTION, list_clips
from thcli.train.data.prepare import prepare
from thcli.train.data.segments import Segment, Segmenter
from thcli.train.keypoint_models.pairs import FramePairs, head_angles
from thcli.weights import locate

BLANK = np.broadcast_to(np.uint8(0), (240, 320, 3))
SMALL = PrepareOptions(size=64, min_frames=3, max_frames=100, min_face=10)


def frame(index: int) -> Frame:
    return Frame(BLANK, 2 * index, Fraction(1, 50), index, 2)


def face(x: float, y: float, side: float = 40, track: int = 0) -> Face:
    """Create a square face whose mesh points are inside its box."""
    mesh = np.zeros((POINTS, 3), np.float32)
    mesh[:, :2] = np.array([x, y]) + side * np.random.default_rng(0).uniform(-0.5, 0.5, (POINTS, 2))
    box = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)
    return Face(box, 1.0, mesh=mesh, iris=np.zeros((2, 5, 2), np.float32), track=track)


def segment_track(
    rows: Sequence[Sequence[Face]], cuts: Sequence[int] = (), options: PrepareOptions = SMALL
) -> tuple[list[tuple[int, int, int]], int]:
    """Return (track, start, frames) of the segments of a track, and the number of dropped ones."""
    found: list[tuple[int, int, int]] = []

    def note(segment: Segment) -> None:
        assert segment.log.frames == segment.frames
        found.append((segment.track, segment.start, segment.frames))

    with Segmenter(options) as segmenter:
        for index, faces in enumerate(rows):
            for segment in segmenter.feed(frame(index), faces, cut=index in cuts):
                note(segment)
        for segment in segmenter.finish():
            note(segment)
    return sorted(found), segmenter.dropped


def test_a_still_face_is_one_segment() -> None:
    assert segment_track([[face(100, 100)]] * 10) == ([(0, 0, 10)], 0)


def test_a_cut_a_gap_and_a_large_movement_start_new_segments() -> None:
    still = [[face(100, 100)]] * 10
    assert segment_track(still, cuts=[4]) == ([(0, 0, 4), (0, 4, 6)], 0)
    assert segment_track([*still[:4], [], *still[:5]]) == ([(0, 0, 4), (0, 5, 5)], 0)
    wandering = [
        [face(60 + 4 * i, 100)] for i in range(20)
    ]  # overlap over union of a quarter is left after 24 pixels
    assert segment_track(wandering)[0] == [(0, 0, 7), (0, 7, 7), (0, 14, 6)]


def test_short_small_and_long_segments() -> None:
    assert segment_track([[face(100, 100)]] * 2) == ([], 1)
    assert segment_track([[face(100, 100, 9)]] * 9) == ([], 1)
    long = PrepareOptions(size=64, min_frames=3, max_frames=4, min_face=10)
    assert segment_track([[face(100, 100)]] * 10, options=long) == ([(0, 0, 4), (0, 4, 4)], 1)


def test_two_faces_are_two_segments() -> None:
    both = [[face(100, 100, track=3), face(220, 100, track=5)]] * 6
    assert segment_track(both)[0] == [(3, 0, 6), (5, 0, 6)]


@pytest.mark.parametrize(("x", "y"), [(160, 120), (15, 20), (310, 230)])
def test_the_crop_contains_all_faces_and_stays_in_the_frame(x: float, y: float) -> None:
    faces = [face(x + d, y - d) for d in (0, 4, -3)]
    with Segmenter(SMALL) as running:
        for index, one in enumerate(faces):
            assert not list(running.feed(frame(index), [one], cut=False))
        (segment,) = running.finish()
        where = segment.crop(SMALL)
    edges = np.linalg.inv(where.crop_from_frame) @ np.array([[-0.5, 63.5], [-0.5, 63.5], [1, 1]])
    assert (
        edges[0, 0] >= -0.51
        and edges[1, 0] >= -0.51
        and edges[0, 1] <= 319.51
        and edges[1, 1] <= 239.51
    )
    side = edges[0, 1] - edges[0, 0]
    assert side == pytest.approx(edges[1, 1] - edges[1, 0]) == pytest.approx(47 + 0.6 * 40)
    if 40 < x < 280:  # not at a border: the faces are complete and centred
        boxes = transform_points(
            where.crop_from_frame, np.concatenate([f.box.reshape(2, 2) for f in faces])
        )
        assert boxes.min() > 0 and boxes.max() < 63
        assert boxes.mean(0) == pytest.approx([31.5, 31.5], abs=1)


def test_a_face_is_transformed_to_crop_pixels() -> None:
    one = face(100, 90)
    with Segmenter(SMALL) as running:
        for index in range(3):
            list(running.feed(frame(index), [one], cut=False))
        where = next(running.finish()).crop(SMALL)
    moved = transform_face(one, where.crop_from_frame)
    assert moved.mesh is not None and one.mesh is not None
    scale = where.crop_from_frame[0, 0]
    assert np.allclose(moved.mesh[:, :2], (one.mesh[:, :2] - [100, 90]) * scale + 31.5, atol=0.05)
    assert np.allclose(moved.mesh[:, 2], one.mesh[:, 2] * scale)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two.mp4 with a cut after 16 of 32 frames, wall.mp4 without a face, and text.mp4."""
    try:
        locate("facemesh-attention")
    except WeightsError as exc:
        pytest.skip(f"needs the tracker: {exc}")
    folder = tmp_path_factory.mktemp("videos")
    step = Fraction(1, 25)
    wall = np.repeat(
        np.repeat(np.linspace(60, 200, 192, dtype=np.uint8)[None, :, None], 192, 0), 3, 2
    )
    with (
        media.write(
            folder / "two.mp4",
            (192, 192),
            None,
            OutputOptions(),
            media.WritePlan(time_base=step, rate=Fraction(25)),
        ) as two,
        media.write(
            folder / "wall.mp4",
            (192, 192),
            None,
            OutputOptions(),
            media.WritePlan(time_base=step, rate=Fraction(25)),
        ) as empty,
    ):
        for shot in astronaut_clip(32, 192):
            other = (
                255 - np.roll(shot.pixels[:, ::-1], 40, 1)[:, :, ::-1] // 2
                if shot.index >= 16
                else shot.pixels
            )
            two.write(np.ascontiguousarray(other), shot.index, 1)
            empty.write(wall, shot.index, 1)
    (folder / "text.mp4").write_text("no video")
    return folder


ARGUMENTS = ("--size", "64", "--min-frames", "8", "--min-face", "20", "--no-audio", "--json")


def test_clips_index_and_motion(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    assert run(["prepare", str(videos), "-o", str(out), *ARGUMENTS]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["failed"] == 2 and report["videos"] == 3
    assert {Path(e["video"]).name: e["code"] for e in report["errors"]} == {
        "wall.mp4": 4,
        "text.mp4": 3,
    }
    assert any("text.mp4 is left out" in warning for warning in report["warnings"])
    with (out / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (
        report["clips"] == len(rows) >= 1
        and int(rows[0]["start"]) == 0
        and int(rows[0]["frames"]) == 16
    )
    assert float(rows[0]["fps"]) == 25
    for row in rows:
        info = media.probe(out / row["clip"])
        assert info.size == (64, 64)
        with media.read(out / row["clip"]) as reader:
            assert sum(1 for _ in reader) == int(row["frames"])
        motion = MotionFile((out / row["clip"]).with_suffix("").with_suffix(MOTION))
        assert len(motion) == int(row["frames"])
        window = motion.window(0, 1)
        posed = unpack_pose(window.arrays["pose"][0], np.zeros((POINTS, 3)), (64, 64))
        assert np.abs(posed.centre[:2] - 32).max() < 12, "the head is in the middle of the clip"
        angles = head_angles(motion, len(motion))
        assert angles is not None and np.abs(angles[0]).max() < 35
    assert {p.path.name for p in list_clips(out)} == {Path(row["clip"]).name for row in rows}


def test_mirrored_pairs_have_mirrored_poses(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert run(["prepare", str(videos / "two.mp4"), "-o", str(out), *ARGUMENTS]) == 0
    plain, mirrored = (
        FramePairs(out, TrainOptions(size=128, jitter=0, flip=flip), 4) for flip in (False, True)
    )
    turned = 0
    for step in range(3):
        a, b = plain.batch(step), mirrored.batch(step)
        assert a["known"].tolist() == [1.0] * 4 and float(a["angles"].abs().max()) > 0.5
        for i in range(4):
            flipped = torch.equal(b["driving"][i], a["driving"][i].flip(-1))
            assert flipped or torch.equal(b["driving"][i], a["driving"][i])
            assert torch.equal(
                b["angles"][i],
                a["angles"][i] * torch.tensor([-1.0, 1, -1]) if flipped else a["angles"][i],
            )
            turned += flipped
    assert 2 <= turned <= 10
    plain.close()
    mirrored.close()


def test_a_resumed_run_skips_finished_videos(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    arguments = [str(videos / "two.mp4"), "-o", str(out), *ARGUMENTS]
    assert run(["prepare", *arguments]) == 0
    before = (out / "index.csv").read_bytes()
    stamps = {p.name: p.stat().st_mtime_ns for p in (out / "clips").iterdir()}
    assert run(["prepare", *arguments]) == 7, "a folder in use"
    capfd.readouterr()
    assert run(["prepare", *arguments, "--resume"]) == 0
    assert json.loads(capfd.readouterr().out)["skipped"] == 1
    assert (out / "index.csv").read_bytes() == before
    assert {p.name: p.stat().st_mtime_ns for p in (out / "clips").iterdir()} == stamps
    assert run(["prepare", *arguments, "--resume", "--scale", "2"]) == 2, "other options"
    for record in out.rglob("video-*.json"):
        for broken in (b"{", b"[]", b"{}", b"\xff", b'{"video": [], "rows": [{}], "dropped": 0}'):
            record.write_bytes(broken)
            assert run(["prepare", *arguments, "--resume"]) == 2, broken


def test_an_interrupted_run_can_be_resumed(videos: Path, tmp_path: Path) -> None:
    two = tmp_path / "again.mp4"
    shutil.copy(videos / "two.mp4", two)
    inputs = [videos / "two.mp4", two]
    options = PrepareOptions(size=64, min_frames=8, min_face=20, audio=False)
    seen = 0

    def impatient(event: Event) -> None:
        nonlocal seen
        seen += isinstance(event, Step)
        if seen == 50:  # in the second video, after its first clip
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(inputs, tmp_path / "parts", options, impatient)
    report = prepare(inputs, tmp_path / "parts", replace(options, resume=True))
    assert report["skipped"] == 1
    prepare(inputs, tmp_path / "whole", options)
    assert (tmp_path / "parts" / "index.csv").read_bytes() == (
        tmp_path / "whole" / "index.csv"
    ).read_bytes()
    names = [
        sorted(p.name for p in (tmp_path / run / "clips").iterdir()) for run in ("parts", "whole")
    ]
    assert names[0] == names[1], "nothing half done is left"


def test_the_first_failure_is_raised_when_the_dataset_is_empty(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wall, text = str(videos / "wall.mp4"), str(videos / "text.mp4")
    assert run(["prepare", wall, text, "-o", str(tmp_path / "a")]) == 4
    assert run(["prepare", text, wall, "-o", str(tmp_path / "b")]) == 3
    assert run(["prepare", str(tmp_path / "absent.mp4"), "-o", str(tmp_path / "c")]) == 3
    assert (
        run(["prepare", str(videos / "two.mp4"), "-o", str(tmp_path / "d"), "--min-frames", "200"])
        == 4
    )
    assert "--min-frames" in capfd.readouterr().err
    assert run(["prepare", str(videos / "two.mp4"), "-o", str(tmp_path / "e"), "--size", "63"]) == 2
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    (tmp_path / "none").mkdir()
    assert run(["prepare", str(tmp_path / "none"), "-o", str(tmp_path / "f")]) == 3


def test_a_dry_run_writes_nothing(
    videos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["prepare", str(videos), "-o", str(tmp_path / "set"), "--dry-run", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["frames"] == 64 and report["failed"] == 1 and not (tmp_path / "set").exists()
