"""Workers of a batch: deaths, repetitions, memory. The worker is a script that obeys its jobs."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from thcli.cli.batch import pool as pools
from thcli.cli.batch import worker_process
from thcli.cli.batch.jobs import Job
from thcli.cli.batch.pool import JobEnded, JobProgress, JobStarted, Pool
from thcli.cli.batch.ray_cluster import RayCluster, RayWorker
from thcli.cli.batch.steps import Course, Step
from thcli.core.errors import WeightsError
from thcli.media.parts import Part

FLAGS = frozenset({"--resume", "--overwrite"})
OBEDIENT = """
import json, os, signal, sys, time
for line in sys.stdin:
    argv = json.loads(line)["argv"]
    order, resumed = argv[-1], "--resume" in argv
    answer = {"exit_code": 0, "result": {"argv": argv, "pid": os.getpid()}, "rss": 1, "peak": 1}
    if order == "die" or (order == "die once" and not resumed):
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "interrupted" and not resumed:
        answer["exit_code"] = 130
    if order == "bug":
        sys.exit("thcli: KeyError: 'x'")
    if order == "memory" and not resumed:
        answer |= {"exit_code": 6, "result": {"error": "DeviceMemoryError", "message": "Full."}}
    if order == "fail":
        answer |= {"exit_code": 3, "result": {"error": "MediaError", "message": "No."}}
    if order == "speak":
        for text in ('{"event":"step","stage":"render","done":3}', "a remark", '{"a": 1}'):
            print(json.dumps({"line": text}), flush=True)
    if order == "hungry":
        answer["peak"] = 1 << 50
    if order == "slow":
        time.sleep(60)
    print(json.dumps(answer), flush=True)
    if answer["exit_code"] == 130:
        sys.exit(130)
"""


@pytest.fixture(autouse=True)
def obedient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "WORKER", ("-c", OBEDIENT))


def as_jobs(orders: Sequence[str]) -> list[Job]:
    return [
        Job(n, f"{n} {order}", "do", (order,), flags=FLAGS) for n, order in enumerate(orders, 1)
    ]


def run(orders: Sequence[str], workers: int = 2, retries: int = 1) -> list[Any]:
    with Pool(workers, retries) as pool:
        return list(pool.run(as_jobs(orders)))


def ended(events: list[Any]) -> dict[str, JobEnded]:
    return {event.job.argv[0]: event for event in events if isinstance(event, JobEnded)}


def test_every_job_ends_once_and_workers_are_used_again() -> None:
    events = run([f"job {n}" for n in range(8)])
    ends = ended(events)
    assert len(ends) == 8 and all(end.exit_code == 0 for end in ends.values())
    assert len({end.result["pid"] for end in ends.values()}) <= 2
    assert sum(isinstance(event, JobStarted) for event in events) == 8


@pytest.mark.parametrize("order", ["die once", "interrupted", "memory"])
def test_job_whose_worker_ended_is_repeated_and_resumed(order: str) -> None:
    end = ended(run([order, "after"]))[order]
    assert end.exit_code == 0 and len(end.reasons) == 1
    assert end.result["argv"] == ["do", "--resume", order]


def test_job_that_kills_every_worker_is_given_up_and_the_others_go_on() -> None:
    ends = ended(run(["die", "a", "b"], retries=2))
    assert ends["die"].exit_code == 1 and len(ends["die"].reasons) == 2
    assert f"signal {int(signal.SIGKILL)}" in ends["die"].result["message"]
    assert ends["a"].exit_code == ends["b"].exit_code == 0


@pytest.mark.parametrize(("order", "code"), [("fail", 3), ("bug", 1)])
def test_failures_that_would_repeat_are_not_repeated(order: str, code: int) -> None:
    end = ended(run([order, "after"], workers=1))[order]
    assert end.exit_code == code and not end.reasons
    assert end.result["message"] in ("No.", "thcli: KeyError: 'x'")


def test_repeated_job_runs_alone() -> None:
    events = run(["memory", *(f"job {n}" for n in range(5))])
    started = [event for event in events if isinstance(event, JobStarted)]
    assert started[-1].job.argv == ("memory",) and started[-1].attempt == 2
    assert isinstance(events[-1], JobEnded) and len(ended(events[: events.index(started[-1])])) == 5


def test_progress_and_remarks_are_told_apart() -> None:
    events = run(["speak"])
    progress = [event for event in events if isinstance(event, JobProgress)]
    assert [event.event["done"] for event in progress] == [3]
    assert ended(events)["speak"].log == ("a remark", '{"a": 1}')


def test_one_worker_runs_while_memory_is_short() -> None:
    free: list[int | None] = [1 << 40]
    with Pool(3, 0, free_memory=lambda: free[0]) as pool:
        list(pool.run(as_jobs(["hungry"])))
        events = list(pool.run(as_jobs([f"job {n}" for n in range(5)])))
        assert len(ended(events)) == 5
        assert len({event.worker for event in events}) == 1
        free[0] = None  # unknown
        assert len({e.worker for e in pool.run(as_jobs(["a", "b", "c"]))}) == 3


def test_only_an_output_of_its_own_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "old.mp4").touch()
    for name, more in (("old", ["--resume"]), ("new", ["--overwrite", "--resume"])):
        path = str(tmp_path / f"{name}.mp4")
        job = Job(1, name, "do", ("die once",), output=path, flags=FLAGS)
        with Pool(1, 1) as pool:
            events = list(pool.run([job]))
            assert isinstance(events[0], JobStarted)
            assert events[0].owns_output == (name == "new")
            (tmp_path / f"{name}.mp4").touch()
            again = list(pool.run([job], {job.line(): events[0].owns_output}))
        for end in (events[-1], again[-1]):
            assert isinstance(end, JobEnded)
            assert end.result["argv"] == ["do", *more, "die once"]


def test_leaving_early_ends_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "GRACE_SECONDS", 0.2)
    with Pool(2, 0, free_memory=lambda: None) as pool:
        events = pool.run(as_jobs(["slow", "slow"]))
        assert [type(next(events)) for _ in range(2)] == [JobStarted] * 2  # the first one runs
        workers = list(pool._workers)
    assert len(workers) == 2
    for worker in workers:
        assert isinstance(worker, worker_process.WorkerProcess)
        assert worker.process.returncode is not None
        with pytest.raises(ProcessLookupError):
            os.kill(worker.process.pid, 0)


def test_a_beginning_is_told_before_the_worker_has_the_job() -> None:
    """A batch that is interrupted meanwhile has recorded every job that can have an output."""
    with Pool(1, 0) as pool:
        for event in pool.run(as_jobs(["a", "b"])):
            if isinstance(event, JobStarted):
                assert [worker.attempt for worker in pool._workers] == [None]


def test_orders_are_json_lines() -> None:
    name = 'odd\n"name"\u2028.mp4'
    end = ended(run([name]))[name]
    assert end.exit_code == 0 and json.dumps(end.result["argv"])


def test_workers_take_the_devices_by_turns() -> None:
    inbox: worker_process.Inbox = queue.SimpleQueue()
    start = worker_process.devices_by_turns(("cuda:0", "cuda:1"))
    workers = [start(number, inbox) for number in (1, 2)]
    assert [worker.device for worker in workers] == ["cuda:0", "cuda:1"]
    for lost in (0, 1):
        workers[lost].process.kill()
        workers[lost].wait(10)
        workers.append(start(3 + lost, inbox))
    assert [worker.device for worker in workers[2:]] == ["cuda:0", "cuda:1"]
    for worker in workers:
        worker.close()
        worker.wait(10)


def test_device_of_a_job_is_kept() -> None:
    own = Job(1, "own", "do", ("--device=cpu",), flags=FLAGS)
    free = Job(2, "free", "do", ("x",), flags=FLAGS | {"--device"})
    orders = [worker_process.Attempt(job).order("cuda:1")["argv"] for job in (own, free)]
    assert orders == [["do", "--device=cpu"], ["do", "--device=cuda:1", "x"]]


ANSWER_BY_PART = """
import json, sys
for line in sys.stdin:
    error = "MediaError" if json.loads(line)["part"][0] else "DeviceMemoryError"
    answer = {"exit_code": 3, "result": {"error": error, "message": "No."}, "rss": 1, "peak": 1}
    print(json.dumps(answer), flush=True)
"""


def test_part_of_a_failed_job_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "WORKER", ("-c", ANSWER_BY_PART))
    course, parts = Course([]), (Part(0, 48), Part(48, None))
    course.groups = [[Step(course, "o.mp4", parts, part) for part in parts]]
    with Pool(1, 1) as pool:
        events = list(pool.run(as_jobs(["x"]), courses={1: course}))
    assert [type(event) for event in events] == [JobStarted, JobStarted, JobEnded]


@pytest.mark.parametrize("error", [WeightsError("Altered.", "Again."), ValueError()])
def test_end_of_a_machine_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class RayError(Exception):
        pass

    class RayTaskError(RayError):
        pass

    names = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
    fake: Any = SimpleNamespace(exceptions=names, kill=lambda _: None)
    monkeypatch.setitem(sys.modules, "ray", fake)
    cluster = RayCluster(1, 0)

    def prepare(_: RayCluster, __: Any) -> None:
        raise error

    monkeypatch.setattr(RayCluster, "prepare", prepare)
    with Pool(1, 1, lambda number, inbox: RayWorker(number, inbox, None, cluster)) as pool:
        if isinstance(error, WeightsError):
            with pytest.raises(WeightsError, match="Altered"):
                list(pool.run(as_jobs(["x"])))
        else:
            end = ended(list(pool.run(as_jobs(["x"]))))["x"]
            assert end.result["error"] == "Bug" and "ValueError" in end.result["message"]
