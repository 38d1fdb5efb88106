"""Jobs cut into parts: the packets of one process, whichever workers make them and die of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.pipeline.face_clip import write_face_clip
from thcli.cli.app import app
from thcli.cli.batch.jobs import Job, read_jobs
from thcli.cli.batch.pool import JobEnded, JobProgress, JobStarted, Pool, StepEnded
from thcli.cli.batch.steps import plan_courses
from thcli.core.errors import OutputError
from thcli.evaluate.datasets.sample_clip import astronaut_clip
from thcli.media.parts import Part, join_parts, plan_parts, remove_work
from thcli.media.writing.journal import Journal, Segment
from thcli.media.writing.timing import TimelineState

FRAMES = 100


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a clip, a source and whole.mp4, which one process made."""
    folder = tmp_path_factory.mktemp("split")
    write_face_clip(folder / "drive.mp4", FRAMES, size=96)
    Image.fromarray(next(iter(astronaut_clip(1, 96))).pixels).save(folder / "face.png")
    words = ["reenact", f"{folder}/face.png", f"{folder}/drive.mp4", "-o", f"{folder}/whole.mp4"]
    threads = {**os.environ, "OMP_NUM_THREADS": "2"}  # workers of this test's process have one
    command = [sys.executable, "-m", "thcli", *words, "--resume", "--quiet"]
    subprocess.run(command, check=True, env=threads)
    return folder


def job_to(room: Path, output: Path, **more: Any) -> list[Job]:
    import typer

    source = {"source": f"{room}/face.png", "driving": f"{room}/drive.mp4", "output": str(output)}
    file = output.with_suffix(".jsonl")
    file.write_text(json.dumps({"command": "reenact", **source, **more}))
    commands: Any = typer.main.get_command(app)
    return read_jobs(commands.commands, file)


def packets(path: Path) -> list[tuple[int | None, int | None, bytes]]:
    with av.open(str(path)) as file:
        return [(packet.pts, packet.dts, bytes(packet)) for packet in file.demux(video=0)]


def killing(events: Iterator[Any], kill: Any) -> Iterator[Any]:
    """Yield events; the worker that first reports a frame of its part of the video is killed."""
    step: dict[int, str] = {}
    killed = False
    for event in events:
        if isinstance(event, JobStarted):
            step[event.worker] = event.step
        rendering = isinstance(event, JobProgress) and event.event.get("stage") == "render"
        if rendering and not killed and step[event.worker].startswith("frames"):
            killed = True
            kill(event.worker)
        yield event
    assert killed


def stages_of_parts(events: list[Any]) -> set[str]:
    """Return the stages that workers report while they encode parts."""
    step: dict[int, str] = {}
    stages: set[str] = set()
    for event in events:
        if isinstance(event, JobStarted):
            step[event.worker] = event.step
        elif isinstance(event, JobProgress) and step[event.worker].startswith("frames"):
            stages.add(str(event.event.get("stage")))
    return stages


def check(events: list[Any], room: Path, output: Path) -> None:
    (end,) = [event for event in events if isinstance(event, JobEnded)]
    assert end.exit_code == 0, end.result
    assert end.result["frames"] == FRAMES
    assert end.reasons  # of the attempt whose worker was killed
    assert packets(output) == packets(room / "whole.mp4")
    steps = [event.step for event in events if isinstance(event, StepEnded)]
    assert steps[0] == "pass 1" and sorted(steps[1:]) == [
        "frames 0-48",
        "frames 48-96",
        "frames 96-",
    ]
    assert "track" not in stages_of_parts(events)  # the motion of pass 1 is shared
    hidden = [path.name for path in output.parent.iterdir() if path.name.startswith(".")]
    assert not hidden


@pytest.mark.slow
def test_parts_are_joined_to_the_packets_of_one_process(room: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    jobs = job_to(room, output)
    with Pool(2, 1) as pool:

        def kill(number: int) -> None:
            (worker,) = [w for w in pool._workers if w.number == number]
            os.kill(worker.process.pid, signal.SIGKILL)  # type: ignore[attr-defined]  # local ones

        events = list(killing(pool.run(jobs, {}, plan_courses(jobs, 48)), kill))
    check(events, room, output)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (thcli[ray])")
@pytest.mark.filterwarnings("ignore")  # of Ray, at import and at its end
def test_ray_gives_the_packets_of_one_process_though_a_worker_is_killed(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from thcli.cli.batch.ray_cluster import RayCluster, RayWorker

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: a busy machine starves it
    output = tmp_path / "out.mp4"
    jobs = job_to(room, output)
    with (
        RayCluster.connect("local", 0.5, 0) as cluster,
        Pool(2, 1, cluster.start, cluster.free_memory) as pool,
    ):

        def kill(number: int) -> None:
            (worker,) = [w for w in pool._workers if w.number == number]
            assert isinstance(worker, RayWorker)
            os.kill(ray.get(worker.actor.pid.remote()), signal.SIGKILL)

        events = list(killing(pool.run(jobs, {}, plan_courses(jobs, 48)), kill))
    check(events, room, output)


def test_failed_part_ends_the_job_once(room: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    jobs = job_to(room, output, engine="liveportrait", offline=True, licence="free")
    with Pool(1, 0) as pool:
        events = list(pool.run(jobs, {}, plan_courses(jobs, 48)))
    (end,) = [event for event in events if isinstance(event, JobEnded)]
    assert end.exit_code == 5
    assert len([event for event in events if isinstance(event, JobStarted)]) == 1


def test_which_jobs_are_cut(room: Path, tmp_path: Path) -> None:
    def steps(length: int, name: str = "o.mp4", **more: Any) -> list[list[str]]:
        (course,) = plan_courses(job_to(room, tmp_path / name, **more), length).values() or [None]
        return [[step.name() for step in group] for group in course.groups] if course else []

    assert steps(48) == [
        ["pass 1"],
        ["frames 0-48", "frames 48-96", "frames 96-"],
        ["joining"],
    ]
    assert steps(50) == [["pass 1"], ["frames 0-96", "frames 96-"], ["joining"]]
    assert not plan_courses(job_to(room, tmp_path / "o.mp4"), 0)
    for more in ({"fps": 10}, {"start": 1}, {"preview": True}, {"compare": "b.mp4"}):
        assert not plan_courses(job_to(room, tmp_path / "o.mp4", **more), 48)
    for name in ("o.gif", "o.unknown"):  # the second one's job fails by itself
        assert not plan_courses(job_to(room, tmp_path / name), 48)
    assert not plan_courses(job_to(room, tmp_path / "o.mp4"), 200)


def test_parts_of_an_output() -> None:
    assert plan_parts(100, 1) == [Part(0, 48), Part(48, 96), Part(96, None)]
    assert plan_parts(96, 48) == [Part(0, 48), Part(48, None)]
    assert plan_parts(0, 48) == [Part(0, None)]


def test_parts_that_do_not_belong_together(tmp_path: Path) -> None:
    target = tmp_path / "o.mp4"
    parts = [Part(0, 48), Part(48, None)]
    join_parts(target, parts)  # nothing to join
    assert not list(tmp_path.iterdir())
    for part in parts:
        journal = Journal.open(part.path(target), (f"key {part.start}",), lambda _: None)
        journal.start()
        journal.begin(Fraction(0), Fraction(0))
        journal.segment(0).write_bytes(b"x")
        journal.add(Segment.of(journal.segment(0), part.start + 48, 0, TimelineState()))
        journal.release()
    with pytest.raises(OutputError, match="different weights"):
        join_parts(target, parts)
    assert Journal.read(target).done == 48
    remove_work(target, parts)
    assert [path.name for path in tmp_path.iterdir()] == [".o.mp4.thcli-resume"]
