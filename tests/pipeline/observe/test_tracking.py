"""Pass 1 with a helper that measures: the same readings, whatever becomes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.observe.counting import CountingMeasurer
from thcli import media
from thcli.core.events import silent
from thcli.core.options import FaceOptions, ReadOptions, RunOptions
from thcli.pipeline.job.helper import CallFailedError, Helper, HelperLostError
from thcli.pipeline.job.job import Job
from thcli.pipeline.observe import tracking
from thcli.pipeline.observe.face_finder import FaceFinder
from thcli.pipeline.observe.frame_measurer import FrameMeasurer
from thcli.pipeline.observe.track_log import TrackLog
from thcli.pipeline.observe.tracking import VideoSelection, track_faces

Clip = Callable[..., Path]
FRAMES = 6
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def video(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> VideoSelection:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # for the measurer of tests
    return VideoSelection(media.probe(clip("drive.mp4", FRAMES)), ReadOptions())


def track(video: VideoSelection, measurer: FrameMeasurer, *, with_helper: bool) -> dict[str, Any]:
    """Track a video; return what the log has, and the number of faces."""
    finder = FaceFinder.load(FaceOptions(), RunOptions())
    with Job("reenact", silent) as job, TrackLog() as log:
        helper = Helper() if with_helper else None
        job.helpers = [helper] if helper else []
        try:
            statistics = track_faces(video, log, finder, job, measurer)
        finally:
            if helper:
                helper.kill()
                helper.close()
        (insides,) = log.insides(0, 2 * FRAMES)
        meshes = [mesh.tobytes() for _, _, mesh in log.meshes()]
        cameras = log.cameras(0, log.frames)
        return {
            "insides": insides,
            "kept": (statistics.tracks, log.frames, cameras, log.cuts, meshes),
        }


def test_a_helper_measures_what_this_process_does(video: VideoSelection) -> None:
    finder = FaceFinder.load(FaceOptions(), RunOptions())
    alone, helped = (
        track(video, FrameMeasurer(False, finder.camera_estimator(), True), with_helper=helps)
        for helps in (False, True)
    )
    assert alone == helped and len(alone["insides"]) == FRAMES


def test_the_helper_measures(video: VideoSelection) -> None:
    measurer = CountingMeasurer(home=os.getpid())
    found = track(video, measurer, with_helper=True)
    assert found["insides"] == [number + 0.5 for number in range(FRAMES)] and not measurer.seen


@pytest.mark.parametrize(("ends", "fails"), [(3, -1), (-1, 3)])
def test_what_a_helper_has_measured_is_measured_again_without_it(
    video: VideoSelection, ends: int, fails: int
) -> None:
    measurer = CountingMeasurer(home=os.getpid(), ends=ends, fails=fails)
    found = track(video, measurer, with_helper=True)
    alone = track(video, CountingMeasurer(home=os.getpid()), with_helper=False)
    assert found == alone and found["insides"] == list(range(FRAMES))


def test_large_frames_stay_here(video: VideoSelection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "MOST_HANDED", 100)
    measurer = CountingMeasurer(home=os.getpid())
    assert track(video, measurer, with_helper=True)["insides"] == list(range(FRAMES))


def test_answers_that_nobody_took_are_not_those_of_later_calls() -> None:
    helper, numbers = Helper(), [5, 6]
    try:
        for wanted in (6, 7, 5):
            helper.ask(numbers, "index", wanted)
        assert helper.take_answer() == 1
        with pytest.raises(CallFailedError):  # 7 is not in it
            helper.take_answer()
        assert helper.call(numbers, "count", 8) == 0
        helper.kill()
        with pytest.raises(HelperLostError):
            helper.ask(numbers, "count", 8)
    finally:
        helper.kill()
        helper.close()
