"""A network that runs after the detail: its change is added, and a failure passes through."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.pipeline.job.interruption import interrupted_behind
from tests.pipeline.refining.test_driving import read_images, still_video
from thcli import media
from thcli.cli.app import run
from thcli.core.errors import NotFiniteError
from thcli.core.options import RefineOptions, RunOptions
from thcli.core.types import Array32, Image
from thcli.pipeline.refining import detail_pass
from thcli.pipeline.refining.refine_pass import RefinePass
from thcli.refiners.backends import REFINERS
from thcli.refiners.detail.backend import UnchangedCrops
from thcli.refiners.shared.residual import ResidualInput
from thcli.weights.backend import Backend

SIDE, FRAMES, BROKEN, LEVELS = 32, 4, 2, 12.0
SEEN: dict[int, ResidualInput] = {}


class Brighter(UnchangedCrops):
    """Refiner that adds light to every crop but one."""

    residual_side = SIDE

    def predict_residual(self, view: ResidualInput, number: int, options: RefineOptions) -> Array32:
        SEEN[number] = view
        if number == BROKEN:
            raise NotFiniteError
        return np.full((SIDE, SIDE, 3), LEVELS, np.float32)


class Numbered(UnchangedCrops):
    """Refiner that adds another light to every frame; crops are computed side by side."""

    residual_side, parallel = SIDE, True

    def predict_residual(self, view: ResidualInput, number: int, options: RefineOptions) -> Array32:
        return np.full((SIDE, SIDE, 3), 4.0 * number, np.float32)


class OneByOne(Brighter):
    """Refiner of a device: it counts how many threads use it at once."""

    parallel = False

    def __init__(self) -> None:
        self.now = self.most = 0

    def predict_residual(self, view: ResidualInput, number: int, options: RefineOptions) -> Array32:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.01)
        self.now -= 1
        return np.zeros((SIDE, SIDE, 3), np.float32)


def load(run: RunOptions) -> Brighter:
    return Brighter()


def load_numbered(run: RunOptions) -> Numbered:
    return Numbered()


@pytest.fixture
def refined(
    portrait: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> tuple[Image, list[Image], int]:
    """Return a still image, its refined frames and the number of failed ones."""
    monkeypatch.setitem(REFINERS.rows, "brighter", Backend(f"{__name__}:load", "a fake"))
    SEEN.clear()
    image = np.asarray(media.read_image(portrait), np.uint8)
    footage, out = still_video(tmp_path, image, FRAMES), tmp_path / "out.mkv"
    common = ["--engine", "brighter", "--codec", "ffv1", "--threads", "2", "--json"]
    assert run(["refine", str(footage), "-o", str(out), *common]) == 0
    report = json.loads(capfd.readouterr().out)
    return image, read_images(out), int(report["failed"])


def test_a_residual_is_added_and_a_failed_frame_stays(
    refined: tuple[Image, list[Image], int],
) -> None:
    image, frames, failed = refined
    assert failed == 1 and len(frames) == FRAMES and set(SEEN) == set(range(FRAMES))
    changes = [frame.astype(float) - image for frame in frames]
    assert not changes[BROKEN].any()
    for number in {*range(FRAMES)} - {BROKEN}:
        assert abs(np.percentile(changes[number], 99) - LEVELS) <= 1.5
        rows, columns = (np.flatnonzero(changes[number].any((axis, 2))) for axis in (1, 0))
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        edge = (right - left) // 10
        for part in (np.s_[top : top + edge], np.s_[bottom - edge : bottom]):
            crop = changes[number][part, left:right]
            assert not crop[:, :edge].any() and not crop[:, -edge:].any()  # beside the head
    for view in SEEN.values():
        images = (view.detailed, view.coarse, view.source)
        assert {one.shape for one in images} == {(SIDE, SIDE, 3)}
        assert all(one.min() >= 0 and one.max() <= 1 for one in (*images, view.visibility))
        assert np.abs(view.detailed - view.source)[8:24, 8:24].mean() < 0.05


def test_a_resumed_run_and_one_thread_give_the_same_frames(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REFINERS.rows, "numbered", Backend(f"{__name__}:load_numbered", "a fake"))
    monkeypatch.setattr("thcli.media.writing.segments.SEGMENT_FRAMES", 2)
    image = np.asarray(media.read_image(portrait), np.uint8)
    base = ["refine", str(still_video(tmp_path, image, FRAMES)), "--engine", "numbered"]
    base += ["--codec", "ffv1", "-q"]
    resumed, whole = tmp_path / "resumed.mkv", tmp_path / "whole.mkv"
    again = [*base, "-o", str(resumed), "--resume", "--threads", "2"]
    with interrupted_behind(3, RefinePass, "frames"):
        assert run(again) == 130
    assert (tmp_path / ".resumed.mkv.thcli-resume" / "000000.packets").exists()
    assert run(again) == 0
    assert run([*base, "-o", str(whole), "--threads", "1"]) == 0
    frames = read_images(whole)
    assert all(np.array_equal(a, b) for a, b in zip(read_images(resumed), frames, strict=True))
    brightest = [int((frame.astype(int) - image).max()) for frame in frames]
    assert brightest == sorted(set(brightest)) and len(frames) == FRAMES


def test_a_device_gets_one_crop_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail_pass, "view_residual", lambda *_: None)
    refiner = OneByOne()
    last = detail_pass.LastNetwork(refiner, RefineOptions())
    crop: Any = SimpleNamespace(image=np.zeros((SIDE, SIDE, 3), np.uint8))
    nothing: Any = None
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda number: last.residual(crop, nothing, nothing, number), range(8))
        assert not any(change.any() for change in found)
    assert refiner.most == 1
