"""Worker processes of a batch, and which of them gets which job when.

A job waits while the memory that is left would not hold it. A job that ended with its worker, or
for lack of memory, is tried again alone.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from thcli.cli.batch.jobs import Job
from thcli.cli.batch.memory import available_memory
from thcli.core.errors import INTERRUPTED, DeviceError

WORKER = ("-m", "thcli", "batch-worker")
FIRST_GUESS = 1 << 30  # bytes that a job may need before any has ended
GRACE_SECONDS = 20.0  # for interrupted workers to remove their partial files
LOG_LINES = 20  # last messages of a job that are kept
GONE = 1  # exit code of a job whose worker died
WORKER_DIED = "WorkerDied"
NOTHING: Mapping[str, bool] = MappingProxyType({})
REPEATED_ERRORS = (WORKER_DIED, "DeviceMemoryError")


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A worker took a job.

    attempt: from 1.
    owns_output: the output did not exist before the first attempt.
    """

    job: Job
    worker: int
    attempt: int
    owns_output: bool


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of a job. event: object of `--progress json`."""

    job: Job
    worker: int
    event: dict[str, Any]


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


BatchEvent = JobStarted | JobProgress | JobEnded


@dataclass(slots=True)
class _Attempt:
    """A job that waits or runs, with what became of earlier attempts.

    owns_output: the output did not exist before the first attempt, None before that.
    """

    job: Job
    owns_output: bool | None = None
    reasons: tuple[str, ...] = ()
    began: float = 0.0
    log: list[str] = field(default_factory=list)

    def remember(self, line: str) -> None:
        """Add a line to the log, which keeps the last LOG_LINES."""
        self.log = [*self.log, line.rstrip()][-LOG_LINES:]

    def argv(self) -> list[str]:
        """Return the command line, which continues an interrupted attempt of this batch.

        An output that such an attempt finished without telling so is replaced.
        """
        output = self.job.output
        more: set[str] = set() if self.owns_output is None else {"--resume"}
        if self.owns_output:
            more.add("--overwrite")
        else:
            self.owns_output = output is not None and not Path(output).exists()
        return [self.job.command, *sorted(self.job.flags & more), *self.job.argv]


class _Worker:
    """A worker process and the threads that read from it."""

    def __init__(self, number: int, inbox: queue.SimpleQueue[tuple[_Worker, str, str]]) -> None:
        self.number = number
        self.rss = 0
        self.attempt: _Attempt | None = None
        self.process = subprocess.Popen(
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the batch alone, which interrupts its workers
        )
        self._threads = (
            threading.Thread(target=self._read_errors, args=(inbox,)),
            threading.Thread(target=self._read_answers, args=(inbox,)),
        )
        for thread in self._threads:
            thread.start()

    def _read_errors(self, inbox: queue.SimpleQueue[tuple[_Worker, str, str]]) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                inbox.put((self, "stderr", line))

    def _read_answers(self, inbox: queue.SimpleQueue[tuple[_Worker, str, str]]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                inbox.put((self, "answer", line))
        self._threads[0].join()  # a bug's message comes before the end
        inbox.put((self, "end", ""))

    def give(self, attempt: _Attempt) -> None:
        """Give the worker a job. A worker that has just died is noticed by its end."""
        attempt.began, self.attempt = time.monotonic(), attempt
        line = json.dumps({"argv": attempt.argv()})
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """Let the worker end: now when it is idle, else its job is interrupted."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def wait(self, seconds: float) -> int:
        """Return the exit code of a closed worker, which is killed after so many seconds."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
        code = self.process.wait()
        for thread in self._threads:
            thread.join()
        return code


class Pool:
    """Worker processes: a context manager that interrupts them when it is left early.

    Args:
        workers: most processes at a time.
        retries: how often a job is tried again after its worker died or memory was used up.
    """

    def __init__(self, workers: int, retries: int) -> None:
        self._most, self._retries = workers, retries
        self._workers: list[_Worker] = []
        self._started = 0
        self._inbox: queue.SimpleQueue[tuple[_Worker, str, str]] = queue.SimpleQueue()
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
        self, jobs: Sequence[Job], interrupted: Mapping[str, bool] = NOTHING
    ) -> Iterator[BatchEvent]:
        """Run all jobs and yield what happens.

        Args:
            jobs: in the order in which they begin.
            interrupted: command line -> `JobStarted.owns_output` of jobs that a batch before
                this one did not end.

        Raises:
            DeviceError: workers cannot be started.
        """
        waiting = [_Attempt(job, interrupted.get(job.line())) for job in jobs]
        repeated: list[_Attempt] = []
        while waiting or repeated or self._running():
            yield from self._dispatch(waiting, repeated)
            worker, kind, text = self._inbox.get()
            if kind == "answer":
                row = json.loads(text)
                told = self._message if "line" in row else self._answer
                yield from told(worker, row, repeated)
            elif kind == "stderr" and worker.attempt is not None:
                worker.attempt.remember(text)
            elif kind == "end":
                yield from self._death(worker, repeated)

    def _running(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.attempt is not None]

    def _dispatch(self, waiting: list[_Attempt], repeated: list[_Attempt]) -> Iterator[BatchEvent]:
        """Give waiting jobs to workers; a repeated one runs when nothing else waits or runs."""
        while waiting or (repeated and not self._running()):
            running = len(self._running())
            if running >= self._most or (running and not self._fits()):
                return
            idle = [worker for worker in self._workers if worker.attempt is None]
            worker = idle[0] if idle else self._start()
            attempt = (waiting or repeated).pop(0)
            worker.give(attempt)
            owns_output = bool(attempt.owns_output)
            yield JobStarted(attempt.job, worker.number, len(attempt.reasons) + 1, owns_output)

    def _fits(self) -> bool:
        """Return True if the memory that is left would hold one more job."""
        free = available_memory()
        idle = max((worker.rss for worker in self._workers if worker.attempt is None), default=0)
        growing = sum(max(self._need - worker.rss, 0) for worker in self._running())
        return free is None or free >= self._need - idle + growing

    def _start(self) -> _Worker:
        self._started += 1
        try:
            worker = _Worker(self._started, self._inbox)
        except OSError as exc:
            raise DeviceError(f"A worker cannot be started: {exc.strerror}.") from exc
        self._workers.append(worker)
        return worker

    def _message(
        self, worker: _Worker, row: dict[str, Any], repeated: list[_Attempt]
    ) -> Iterator[BatchEvent]:
        """Yield a line of progress as an event; any other line is kept as the job's log."""
        attempt, event = worker.attempt, None
        assert attempt is not None
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(row["line"])
        if isinstance(event, dict) and "event" in event:
            yield JobProgress(attempt.job, worker.number, event)
        else:
            attempt.remember(row["line"])

    def _answer(
        self, worker: _Worker, answer: dict[str, Any], repeated: list[_Attempt]
    ) -> Iterator[BatchEvent]:
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
        yield from self._ended(worker, attempt, code, result, repeated)

    def _death(self, worker: _Worker, repeated: list[_Attempt]) -> Iterator[BatchEvent]:
        """Remove a worker that ended, and tell the end of its job."""
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        worker.close()
        code = worker.wait(GRACE_SECONDS)
        attempt, worker.attempt = worker.attempt, None
        if attempt is not None:
            is_bug = code == GONE and attempt.log
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            result = _bug_notice(attempt.log) if is_bug else _death_notice(how)
            yield from self._ended(worker, attempt, GONE, result, repeated)

    def _ended(
        self,
        worker: _Worker,
        attempt: _Attempt,
        code: int,
        result: dict[str, Any],
        repeated: list[_Attempt],
    ) -> Iterator[BatchEvent]:
        """Yield the end of a job, or put it back when another attempt may succeed."""
        if result.get("error") in REPEATED_ERRORS and len(attempt.reasons) < self._retries:
            reasons = (*attempt.reasons, str(result["message"]))
            repeated.append(_Attempt(attempt.job, attempt.owns_output, reasons))
            return
        seconds = time.monotonic() - attempt.began
        log = tuple(attempt.log)
        yield JobEnded(attempt.job, worker.number, code, seconds, result, attempt.reasons, log)


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
