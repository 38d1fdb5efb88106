"""Tests of the benchmark: synthetic clip, yardsticks and report; and a run with the real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from thcli import media, weights
from thcli.core.events import Event, Finished, Step
from thcli.core.imaging import to_uint8
from thcli.core.options import (
    BenchOptions,
    EvaluateOptions,
    FaceOptions,
    OutputOptions,
    ReadOptions,
    ReenactOptions,
    RunOptions,
)
from thcli.evaluate.benchmarks.baseline import (
    FollowedFaces,
    Timing,
    decode_alone,
    encode_alone,
    fastest_run,
    plain_transcode,
    timing,
)
from thcli.evaluate.benchmarks.reenactment.reenact import MeasureSetup, evaluate_self
from thcli.evaluate.benchmarks.speed import BenchResult, bench
from thcli.evaluate.datasets.sample_clip import astronaut_clip, portrait, write_test_clip
from thcli.evaluate.metrics.face_geometry import keypoint_distance
from thcli.evaluate.metrics.tracker import main_face_tracker
from thcli.motion.file.reader import MotionFile
from thcli.pipeline.observe.face_finder import load_camera_estimator
from thcli.pipeline.stages.encode_warp import encode

TRACKER = ("blazeface-short", "blazeface-full", "facemesh-attention")
BENCH = BenchResult(
    "clip.mp4",
    (512, 512),
    100,
    "mesh",
    Timing(2, 3),
    {"render": 1.5},
    {
        "load": Timing(0.1, 0.1),
        "decode": Timing(9, 9),
        "track": Timing(0.4, 0.5),
        "render": Timing(1, 1),
        "encode": Timing(9, 9),
    },
    Timing(0.5, 0.9),
    300 * 2**20,
)


@pytest.fixture(scope="module")
def tracked() -> None:
    """Require the tracker's models."""
    if not all(weights.is_ready(name) for name in TRACKER):
        if os.environ.get("CI") == "true":
            pytest.fail("the tracker's weights are missing in CI")
        pytest.skip("needs the tracker's weights (thcli weights pull)")


def test_the_made_clip_is_the_same_every_time_and_moves() -> None:
    first, again = (list(astronaut_clip(6, 64)) for _ in range(2))
    assert all((a.pixels == b.pixels).all() for a, b in zip(first, again, strict=True))
    assert (first[0].pixels == portrait(64)).all()
    assert np.abs(first[0].pixels.astype(int) - first[5].pixels).mean() > 2
    assert [f.pts for f in first] == list(range(6))


def test_the_overhead_excludes_the_stages_of_the_transcode() -> None:
    assert BENCH.fps == 50
    assert BENCH.overhead("wall") == pytest.approx(2 / (0.5 + 0.1 + 0.4 + 1))
    assert BENCH.overhead("cpu") == pytest.approx(3 / (0.9 + 0.1 + 0.5 + 1))


def test_the_report_is_json_and_the_table_has_every_stage() -> None:
    report = json.loads(json.dumps(BENCH.as_json(), allow_nan=False))
    assert report["overhead"] == {"wall": 1.0, "cpu": 1.2}
    head, lines = BENCH.table()
    assert [line[0] for line in lines] == [*BENCH.alone, "plain transcode", "end to end"]
    assert all(len(line) == len(head) for line in lines)
    assert "overhead 1.00 wall, 1.20 CPU" in BENCH.summary()


def test_the_best_run_is_the_quickest() -> None:
    lengths = iter([400_000, 1_000, 200_000])
    taken, total = fastest_run(lambda: sum(range(next(lengths))), 3)
    assert total == sum(range(1_000))
    with timing() as whole:
        sum(range(1_000))
    assert 0 <= taken.cpu < 0.05 and whole().wall > 0


def test_yardsticks_work_on_all_frames(tmp_path: Path) -> None:
    clip = write_test_clip(tmp_path / "clip.mp4", 7, 64)
    assert media.probe(clip).size == (64, 64)
    frames = decode_alone(clip, ReadOptions())
    assert len(frames) == 7
    assert plain_transcode(clip, 5, tmp_path / "plain.mp4", OutputOptions()) == 5
    assert encode_alone(frames, tmp_path / "encoded.mp4", OutputOptions()) == 7
    for name, count in (("plain.mp4", 5), ("encoded.mp4", 7)):
        again = decode_alone(tmp_path / name, ReadOptions())
        assert len(again) == count
        assert np.abs(again[3].pixels.astype(int) - frames[3].pixels).mean() < 4


def test_a_whole_benchmark(tmp_path: Path, tracked: None) -> None:
    heard: list[Event] = []

    def work(
        source: Path, drive: Path, target: Path, options: ReenactOptions
    ) -> Mapping[str, float]:
        """Replace the pipeline."""
        assert media.probe(source).size == (192, 192)
        plain_transcode(drive, 6, target, options.output)
        return {"all": 1.0}

    found = bench(
        None, None, ReenactOptions(), BenchOptions(frames=6, size=192, repeat=1), work, heard.append
    )
    assert (found.frames, found.size, found.clock) == (6, (192, 192), {"all": 1.0})
    assert list(found.alone) == ["load", "decode", "track", "follow", "motion", "render", "encode"]
    assert found.alone["render"].wall > 0 and found.peak > 2**20
    steps = [event.done for event in heard if isinstance(event, Step)]
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(heard[-1], Finished) and heard[-1].done == len(steps)


def test_the_isolated_stages_give_the_motion_of_the_program(tmp_path: Path, tracked: None) -> None:
    clip = write_test_clip(tmp_path / "clip.mkv", 12, 256)
    options = ReenactOptions()
    frames = decode_alone(clip, options.read)
    track = main_face_tracker(options.faces, options.run)()
    camera = load_camera_estimator(options.run)
    faces = [track(to_uint8(frame.pixels)) for frame in frames]
    alone = FollowedFaces.of(frames, faces, camera).observe(frames)
    encode(clip, tmp_path / "clip.motion.safetensors")
    motion = MotionFile(tmp_path / "clip.motion.safetensors").window(0, len(frames))
    assert set(motion.arrays) == set(alone.arrays)
    for name in set(motion.arrays) - {"track", "cut"}:
        found, expected = (np.asarray(one.arrays[name], float) for one in (alone, motion))
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=name)


def test_the_real_tracker_measures_a_similarity(tmp_path: Path, tracked: None) -> None:
    clip = write_test_clip(tmp_path / "clip.mkv", 10, 256)
    tracker = main_face_tracker(FaceOptions(), RunOptions())
    found = evaluate_self(clip, {}, MeasureSetup(tracker), EvaluateOptions(), ReadOptions())
    copied, aligned, truth = (
        found.rows[label].values["face"] for label in ("copy", "align", "truth")
    )
    assert all(row["missed"] == 0 for row in (copied, aligned, truth))
    assert (
        copied["akd_iod"] is not None
        and aligned["akd_iod"] is not None
        and aligned["apd"] is not None
    )
    # The clip *is* a similarity of its first frame.
    assert aligned["akd_iod"] < 2 < copied["akd_iod"]
    assert aligned["apd"] < 1
    assert (
        aligned["ssim"] is not None
        and copied["ssim"] is not None
        and aligned["ssim"] > copied["ssim"] + 0.1
    )


def test_the_main_face_stays_the_same_one(tracked: None) -> None:
    small, large = portrait(128), portrait(256)
    both = np.zeros((256, 400, 3), np.uint8)
    both[:, :256] = large
    both[64:192, 262:390] = small
    tracker = main_face_tracker(FaceOptions(), RunOptions())()
    first = tracker(both)
    assert first is not None and first.mesh is not None and first.box[0] < 200
    later = tracker(both)
    assert (
        later is not None
        and later.mesh is not None
        and keypoint_distance(first.mesh, later.mesh) < 3
    )
    assert tracker(np.zeros_like(both)) is None
