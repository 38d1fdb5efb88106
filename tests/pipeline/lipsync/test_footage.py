"""Order of the frames of a video, the spoken ones among them, and motion in that order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.motion import synthetic_motion
from thcli.core.errors import UsageError
from thcli.core.options import FootageOptions, ReadOptions
from thcli.faces.compositing.paste import add_change
from thcli.media.info import MediaInfo
from thcli.motion.file.reader import MotionFile
from thcli.motion.file.writer import MotionWriter
from thcli.pipeline.sources.footage import Footage, ShownMotion, plan_footage, split_runs

INFO = MediaInfo(Path("talk.mp4"), "video", time_base=Fraction(1, 1000))
UNEVEN = [100, 140, 230, 260, 350]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[MotionFile]:
    motion = synthetic_motion.driver(len(UNEVEN))
    cut = np.zeros(len(UNEVEN), bool)
    cut[2] = True
    path = tmp_path / "own.motion.safetensors"
    with MotionWriter(path, {"last_duration": "50"}) as writer:
        arrays = {**motion.arrays, "cut": cut, "gaze": motion.arrays["gaze"]}
        writer.append(
            replace(motion, pts=np.array(UNEVEN), time_base=INFO.time_base, arrays=arrays)
        )
    yield MotionFile(path)


def plan(own: MotionFile, seconds: str, **options: Any) -> Footage:
    return plan_footage(INFO, ReadOptions(), own, Fraction(seconds), FootageOptions(**options))


def test_it_ends_with_the_shorter_one(own: MotionFile) -> None:
    whole, part = plan(own, "2"), plan(own, "0.15")
    assert whole.order.tolist() == [0, 1, 2, 3, 4] and whole.ends_with_video
    assert part.order.tolist() == [0, 1, 2] and not part.ends_with_video
    assert part.pts.tolist() == UNEVEN[:3] and part.durations.tolist() == [40, 90, 30]
    assert (part.first, part.stop) == (0, 3) and whole.seconds == Fraction(3, 10)
    times = [int(tick) * part.speech_base for tick in part.speech_pts]
    assert times == [0, Fraction(1, 25), Fraction(13, 100)]
    assert (part.fades() == 1).all()


def test_loops_keep_the_duration_of_every_frame(own: MotionFile) -> None:
    forth = plan(own, "0.6", loop="pingpong")
    assert forth.order.tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1]
    assert np.diff(forth.pts).tolist() == [40, 90, 30, 90, 50, 90, 30, 90, 40]
    again = plan(own, "0.6", loop="repeat")
    assert again.order.tolist() == [0, 1, 2, 3, 4] * 2 and again.seconds == Fraction(6, 10)
    assert not again.ends_with_video and plan(own, "0.1", loop="repeat").order.tolist() == [0, 1]


def test_a_place_keeps_the_rest(own: MotionFile) -> None:
    footage = plan(own, "0.1", place=0.035)
    assert (footage.first, footage.stop, len(footage.order)) == (1, 3, 5)
    times = [float(t * footage.speech_base) for t in footage.speech_pts]
    assert times == pytest.approx([0.005, 0.095])
    assert footage.fades().max() < 1 and footage.ends_with_video
    with pytest.raises(UsageError, match=r"--from 0\.3 is after the last frame"):
        plan(own, "0.1", place=0.3)


def test_motion_follows_the_order_and_its_cuts(own: MotionFile) -> None:
    footage = plan(own, "0.6", loop="pingpong")
    weight = np.linspace(0, 1, len(footage.order))
    shown = ShownMotion(own, footage, weight)
    whole, recorded = shown.window(0, 99), own.window(0, 5)
    assert len(shown) == len(whole) == 10 and whole.pts.tolist() == footage.pts.tolist()
    for name in ("pose", "expression"):
        assert np.array_equal(whole.arrays[name], recorded.arrays[name][footage.order])
    assert np.flatnonzero(whole.arrays["cut"]).tolist() == [2, 7]  # into frame 2, and back from it
    assert np.array_equal(whole.arrays["weight"], weight)
    parts = [shown.window(i, i + 2) for i in range(0, 10, 2)]
    assert np.array_equal(np.concatenate([p.arrays["cut"] for p in parts]), whole.arrays["cut"])
    assert len(shown.window(10, 12)) == 0
    jump = ShownMotion(own, plan(own, "0.5", loop="repeat"), np.ones(10)).window(0, 10)
    assert np.flatnonzero(jump.arrays["cut"]).tolist() == [2, 5, 7]


def test_runs_ascend_or_descend() -> None:
    order = np.array([0, 1, 2, 1, 0, 1, 2, 0, 1])
    assert [run.tolist() for run in split_runs(order)] == [[0, 1, 2], [1, 0], [1, 2], [0, 1]]
    assert [run.tolist() for run in split_runs(np.array([0, 1, 0, 1]))] == [[0, 1], [0, 1]]
    assert [run.tolist() for run in split_runs(np.array([0, 0]))] == [[0], [0]]


def test_deep_frames_take_the_change_alone() -> None:
    deep = np.array([[[1000, 30000, 65000]]], np.uint16)
    before = np.array([[[4, 117, 253]]], np.uint8)
    same = add_change(deep, before, before)
    assert same.dtype == np.uint16 and np.array_equal(same, deep)
    after = before + np.array([0, 2, 2], np.uint8)
    assert add_change(deep, before, after).tolist() == [[[1000, 30514, 65514]]]
    assert add_change(before, before, after) is after
