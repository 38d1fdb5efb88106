"""Processes that help to render: the same frames, whatever becomes of them."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipeline.render.numbering import NumberingRenderer
from thcli.cli.app import run
from thcli.core.batches import BatchRunner
from thcli.core.clock import StageClock
from thcli.core.events import Event, Step, silent
from thcli.core.options import ReenactOptions, RunOptions
from thcli.core.types import Image, Motion
from thcli.motion.file.buffer import MotionBuffer
from thcli.pipeline.job import helper
from thcli.pipeline.job.helper import Helper, HelperLostError
from thcli.pipeline.job.helper_main import serve
from thcli.pipeline.job.job import Job
from thcli.pipeline.reenact import reenact
from thcli.pipeline.render import helpers
from thcli.pipeline.render.frames import DrivingFrames, RenderPlan, SourceFace, render_frames
from thcli.pipeline.render.helpers import (
    LEAST_FRAMES,
    SharedRenderer,
    share_rendering,
    without_helpers,
)

Clip = Callable[..., Path]
TWO = RunOptions(threads=2)
REPOSITORY = Path(__file__).parents[3]


class HelpersAlone(SharedRenderer):
    """Waits for its helpers, and leaves all windows to them."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        for thread in self._threads:
            thread.join()
        here = self._free.get()
        assert here is None


class StayingRenderer:
    """Cannot leave its process."""

    parallel = True

    def render(self, source: Any, motion: Motion, frames: Any) -> list[Image]:
        return []


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Give every job one helper that renders alone; yield the processes, which must have ended."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))  # for the renderers of tests
    monkeypatch.setattr(helpers, "SharedRenderer", HelpersAlone)
    monkeypatch.setattr(helpers, "LEAST_FRAMES", 1)
    started: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def record(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = begin(*args, **options)
        if "-P" in args[0]:
            started.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", record)
    yield started
    assert all(process.poll() is not None for process in started)


def numbered_motion(first: int, count: int) -> Motion:
    return Motion(
        "mesh", np.arange(first, first + count), Fraction(1, 25), np.ones(count, bool), {}, {}
    )


def render_all(renderer: NumberingRenderer, warn: Callable[[str], None]) -> list[Image]:
    """Render 40 frames with one helper and this process, once the helper is ready."""
    shared = SharedRenderer(renderer, [Helper()], warn)
    for thread in shared._threads:
        thread.join()
    try:
        face = SourceFace("source", MotionBuffer(numbered_motion(0, 40)))
        plan = RenderPlan(shared, [face], np.zeros((1, 1, 3), np.uint8), BatchRunner())
        run = RunOptions(threads=2, batch_size=4)
        return [f.image for f in render_frames(plan, DrivingFrames(), 0, run, StageClock())]
    finally:
        shared.end()


def test_helper_and_process_share_the_windows(processes: list[Any]) -> None:
    warnings: list[str] = []
    images = render_all(NumberingRenderer(os.getpid()), warnings.append)
    assert [int(image[0, 0, 0]) for image in images] == list(range(40))
    assert 0 < sum(int(image[0, 0, 1]) for image in images) < 40
    assert warnings == [] and len(processes) == 1


def test_a_helper_that_ends_is_done_without(processes: list[Any]) -> None:
    warnings: list[str] = []
    dies = NumberingRenderer(os.getpid(), dies=0)
    shared = HelpersAlone(dies, [Helper()], warnings.append)
    images = shared.render("source", numbered_motion(0, 2), None)
    shared.end()
    assert [image[0, 0].tolist() for image in images] == [[0, 0, 6], [1, 0, 6]]
    (warning,) = warnings
    assert "others go on" in warning


def test_an_exception_is_raised_here(processes: list[Any]) -> None:
    renderer = NumberingRenderer(os.getpid(), fails=7)
    shared = HelpersAlone(renderer, [Helper()], pytest.fail)
    with pytest.raises(ValueError, match="source: frame 7"):
        shared.render("source", numbered_motion(6, 3), None)
    (image,) = shared.render("source", numbered_motion(3, 1), None)  # the helper goes on
    shared.end()
    assert image[0, 0].tolist() == [3, 1, 6]


def test_no_window_is_lost_where_no_helper_starts(
    processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "MAIN", "thcli.no_such_module")
    warnings: list[str] = []
    images = render_all(NumberingRenderer(os.getpid()), warnings.append)
    assert [image[0, 0].tolist() for image in images] == [[i, 0, 6] for i in range(40)]
    assert len(warnings) == 1


def test_a_system_without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    events: list[Event] = []
    with Job("reenact", events.append, ReenactOptions(run=TWO)) as job:
        engine = NumberingRenderer(os.getpid())
        shared = share_rendering(engine, job, TWO, LEAST_FRAMES, (64, 64))
        assert len(shared.render("source", numbered_motion(0, 3), None)) == 3
    assert "cannot be started" in str(events)


def test_what_cannot_be_sent_ends_the_process(processes: list[Any]) -> None:
    """Half of its order is there, for whose other half it would wait as this one for an answer."""
    one, renderer = Helper(), NumberingRenderer(os.getpid())
    with pytest.raises(TypeError, match="pickle"):
        one.call(renderer, "render", threading.Lock())
    with pytest.raises(HelperLostError):
        one.call(renderer, "begin_process")
    one.close()


def test_orders_and_answers() -> None:
    renderer, source = NumberingRenderer(os.getpid(), fails=5), "a source"
    orders, answers = io.BytesIO(), io.BytesIO()
    one = np.zeros((1, 1, 3), np.uint8)
    for order in (
        ({8: renderer}, 8, "begin_process", (), ()),
        ({0: source}, 8, "render", (0,), (numbered_motion(2, 2), None)),
        ({}, 8, "render", (0,), (numbered_motion(4, 2), None)),
        ({1: "another"}, 8, "render_frames", (1,), ([one], numbered_motion(0, 1))),
    ):
        pickle.dump(order, orders)
    orders.seek(0)
    serve(orders, answers)
    answers.seek(0)
    assert pickle.load(answers) == (True, None)
    done, images = pickle.load(answers)
    assert done and [image[0, 0].tolist() for image in images] == [[2, 0, 8], [3, 0, 8]]
    assert pickle.load(answers) == (False, None)
    done, images = pickle.load(answers)
    assert done and images[0].tolist() == [[[1, 1, 1]]]
    assert answers.read() == b""


@pytest.mark.parametrize(
    "run_options, frames, size",
    [
        (replace(TWO, threads=1), 10_000, (512, 512)),
        (TWO, LEAST_FRAMES - 1, (512, 512)),
        (TWO, None, (512, 512)),
        (TWO, 10_000, (7680, 4320)),
        (replace(TWO, threads=3), 10_000, (3840, 2160)),
    ],
)
def test_jobs_without_helpers(
    processes: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    run_options: RunOptions,
    frames: int | None,
    size: tuple[int, int],
) -> None:
    monkeypatch.setattr(helpers, "LEAST_FRAMES", LEAST_FRAMES)
    engine = NumberingRenderer(os.getpid())
    with Job("reenact", silent, ReenactOptions(run=run_options)) as job:
        assert share_rendering(engine, job, run_options, frames, size) is engine
        with without_helpers():
            assert share_rendering(engine, job, TWO, 10_000, (512, 512)) is engine
        bound = StayingRenderer()
        assert share_rendering(bound, job, TWO, 10_000, (512, 512)) is bound
    assert processes == []


@pytest.mark.parametrize(
    "command",
    [
        "reenact {picture} {video} --mouth driver",
        "reenact {video} {video} --region expression",
        "speak {picture} {video}",
        "speak {video} {video}",
    ],
)
def test_helpers_give_the_same_packets(
    processes: list[Any], portrait: Path, clip: Clip, tmp_path: Path, command: str
) -> None:
    words = [
        word.format(picture=portrait, video=clip("drive.mp4", 12, tone=True))
        for word in command.split()
    ]
    alone, helped = tmp_path / "alone.mkv", tmp_path / "helped.mkv"
    for threads, out in (("1", alone), ("2", helped)):
        assert run([*words, "--codec", "ffv1", "--threads", threads, "-o", str(out)]) == 0
    assert len(processes) == 1
    assert alone.read_bytes() == helped.read_bytes()


def test_an_interrupt_ends_them(
    processes: list[Any], portrait: Path, clip: Clip, tmp_path: Path
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.stage == "render" and event.done == 2:
            raise KeyboardInterrupt

    drive, threads = clip("drive.mp4", 12, tone=True), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        reenact(portrait, drive, tmp_path / "out.mp4", ReenactOptions(run=TWO), interrupt)
    assert len(processes) == 1 and list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads
