"""Worker processes of a batch, and which of them gets which job when.

A job waits while the memory that is left would not hold it. A job that ended with its worker, or
for lack of memory, is tried again alone.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from thcli.cli.batch.jobs import Job
from thcli.cli.batch.memory import available_memory
from thcli.cli.batch.steps import Course
from thcli.cli.batch.worker_process import Attempt, Inbox, Worker, WorkerProcess
from thcli.core.errors import INTERRUPTED, DeviceError

FIRST_GUESS = 1 << 30  # bytes that a job may need before any has ended
GRACE_SECONDS = 20.0  # for interrupted workers to remove their partial files
GONE = 1  # exit code of a job whose worker died
WORKER_DIED = "WorkerDied"
NOTHING: Mapping[str, bool] = MappingProxyType({})
NO_COURSES: Mapping[int, Course] = MappingProxyType({})
REPEATED_ERRORS = (WORKER_DIED, "DeviceMemoryError")


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A job is about to be given to a worker; no output of this attempt exists yet.

    attempt: from 1.
    owns_output: the output did not exist before the first attempt.
    step: of a job that is cut into parts, in words.
    """

    job: Job
    worker: int
    attempt: int
    owns_output: bool
    step: str = ""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job. event: object of `--progress json`."""

    job: Job
    worker: int
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A worker ended a step of a job that goes on. step: in words."""

    job: Job
    worker: int
    step: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The end of a job.

    result: object of the command's `--json`, a report or an error.
    reasons: of earlier attempts that were repeated, one sentence each.
    log: last messages of the job.
    """

    job: Job
    worker: int
    exit_code: int
    seconds: float
    result: dict[str, Any]
    reasons: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


BatchEvent = JobStarted | JobProgress | StepEnded | JobEnded


class Pool:
    """Workers: a context manager that interrupts them when it is left early.

    Args:
        workers: most of them at a time.
        retries: how often a job is tried again after its worker died or memory was used up.
        start: starts a worker, given its number and the inbox.
        free_memory: returns the bytes that are left for further workers, None where unknown.
    """

    def __init__(
        self,
        workers: int,
        retries: int,
        start: Callable[[int, Inbox], Worker] = WorkerProcess,
        free_memory: Callable[[], int | None] = available_memory,
    ) -> None:
        self._most, self._retries = workers, retries
        self._start_worker, self._free_memory = start, free_memory
        self._waiting: list[Attempt] = []
        self._repeated: list[Attempt] = []  # each runs when nothing else waits or runs
        self._workers: list[Worker] = []
        self._started = 0
        self._inbox: Inbox = queue.SimpleQueue()
        self._need = FIRST_GUESS  # most bytes that a worker had

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()
        limit = time.monotonic() + GRACE_SECONDS
        for worker in self._workers:
            worker.wait(max(limit - time.monotonic(), 0))

    def run(
        self,
        jobs: Sequence[Job],
        interrupted: Mapping[str, bool] = NOTHING,
        courses: Mapping[int, Course] = NO_COURSES,
    ) -> Iterator[BatchEvent]:
        """Run all jobs and yield what happens.

        Args:
            jobs: in the order in which they begin.
            interrupted: command line -> `JobStarted.owns_output` of jobs that a batch before
                this one did not end.
            courses: `Job.number` -> steps of a job that is cut into parts.

        Raises:
            DeviceError: workers cannot be started.
            ThcliError: `Worker.refusal`.
        """
        self._waiting = [
            Attempt(job, interrupted.get(job.line()), step=step)
            for job in jobs
            for step in (courses[job.number].next_group() if job.number in courses else (None,))
        ]
        while self._waiting or self._repeated or self._running():
            yield from self._dispatch()
            worker, kind, text = self._inbox.get()
            if kind == "answer":
                row = json.loads(text)
                told = self._message if "line" in row else self._answer
                yield from told(worker, row)
            elif kind == "stderr" and worker.attempt is not None:
                worker.attempt.remember(text)
            elif kind == "end":
                yield from self._death(worker)

    def _running(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.attempt is not None]

    def _dispatch(self) -> Iterator[BatchEvent]:
        """Give waiting jobs to workers; a repeated one runs when nothing else waits or runs."""
        while self._waiting or (self._repeated and not self._running()):
            running = len(self._running())
            if running >= self._most or (running and not self._fits()):
                return
            idle = [worker for worker in self._workers if worker.attempt is None]
            worker = idle[0] if idle else self._start()
            attempt = (self._waiting or self._repeated).pop(0)
            attempt.begin()
            yield JobStarted(
                attempt.job,
                worker.number,
                len(attempt.reasons) + 1,
                bool(attempt.owns_output),
                attempt.step.name() if attempt.step else "",
            )
            worker.give(attempt)
            course = attempt.step.course if attempt.step else None
            if course is not None and not course.began:
                course.began = attempt.began

    def _fits(self) -> bool:
        """Return True if the memory that is left would hold one more job."""
        free = self._free_memory()
        idle = max((worker.rss for worker in self._workers if worker.attempt is None), default=0)
        growing = sum(max(self._need - worker.rss, 0) for worker in self._running())
        return free is None or free >= self._need - idle + growing

    def _start(self) -> Worker:
        self._started += 1
        try:
            worker = self._start_worker(self._started, self._inbox)
        except OSError as exc:
            raise DeviceError(f"A worker cannot be started: {exc.strerror}.") from exc
        self._workers.append(worker)
        return worker

    def _message(self, worker: Worker, row: dict[str, Any]) -> Iterator[BatchEvent]:
        """Yield a line of progress as an event; any other line is kept as the job's log."""
        attempt, event = worker.attempt, None
        assert attempt is not None
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(row["line"])
        if isinstance(event, dict) and "event" in event:
            yield JobProgress(attempt.job, worker.number, event)
        else:
            attempt.remember(row["line"])

    def _answer(self, worker: Worker, answer: dict[str, Any]) -> Iterator[BatchEvent]:
        attempt, worker.attempt = worker.attempt, None
        assert attempt is not None
        worker.rss = answer["rss"]
        self._need = max(self._need, answer["peak"])
        code, result = answer["exit_code"], answer["result"]
        if code == INTERRUPTED:  # after this answer the worker ends
            self._workers.remove(worker)
            worker.close()
            worker.wait(GRACE_SECONDS)
            result = _death_notice("an interruption")
        yield from self._ended(worker, attempt, code, result)

    def _death(self, worker: Worker) -> Iterator[BatchEvent]:
        """Remove a worker that ended, and tell the end of its job."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        worker.close()
        code = worker.wait(GRACE_SECONDS)
        if worker.refusal is not None:
            raise worker.refusal
        attempt, worker.attempt = worker.attempt, None
        if attempt is not None:
            is_bug = code == GONE and attempt.log
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            result = _bug_notice(attempt.log) if is_bug else _death_notice(how)
            yield from self._ended(worker, attempt, GONE, result)

    def _ended(
        self, worker: Worker, attempt: Attempt, code: int, result: dict[str, Any]
    ) -> Iterator[BatchEvent]:
        """Yield the end of a job or step, or put it back when another attempt may succeed."""
        step = attempt.step
        if step is not None and step.course.failed:
            yield StepEnded(attempt.job, worker.number, step.name())
            return
        if result.get("error") in REPEATED_ERRORS and len(attempt.reasons) < self._retries:
            self._repeated.append(attempt.again(str(result["message"])))
            return
        began, reasons = attempt.began, attempt.reasons
        if step is not None:
            course = step.course
            began, reasons = course.began, (*course.reasons, *attempt.reasons)
            course.reasons, course.failed = reasons, bool(code)
            course.running -= 1
            if not code and (course.running or course.groups):
                if not course.running:
                    self._waiting[:0] = [
                        Attempt(attempt.job, attempt.owns_output, step=following)
                        for following in course.next_group()
                    ]
                yield StepEnded(attempt.job, worker.number, step.name())
                return
            self._waiting, self._repeated = (
                [one for one in left if one.step is None or not one.step.course.failed]
                for left in (self._waiting, self._repeated)
            )
        seconds, log = time.monotonic() - began, tuple(attempt.log)
        yield JobEnded(attempt.job, worker.number, code, seconds, result, reasons, log)


def _death_notice(cause: str) -> dict[str, Any]:
    """Return the result of a job whose worker ended."""
    return {
        "error": WORKER_DIED,
        "message": f"The worker ended with {cause}.",
        "hint": "With little memory, use fewer --workers.",
    }


def _bug_notice(log: Sequence[str]) -> dict[str, Any]:
    """Return the result of a job that met a bug, from what the worker wrote at its end."""
    return {"error": "Bug", "message": " ".join(log[-2:]), "hint": ""}
