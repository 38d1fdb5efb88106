"""Attempts at jobs, and the worker processes that they are given to."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from thcli.cli.batch.jobs import Job
from thcli.cli.batch.steps import Step
from thcli.core.errors import ThcliError

WORKER = ("-m", "thcli", "batch-worker")
LOG_LINES = 20  # last messages of a job that are kept


@dataclass(slots=True)
class Attempt:
    """A job, or a step of one, that waits or runs, with what became of earlier attempts.

    owns_output: the output did not exist before the first attempt, None before that.
    is_retry: an earlier attempt was begun.
    step: of a job that is cut into parts.
    """

    job: Job
    owns_output: bool | None = None
    is_retry: bool = False
    reasons: tuple[str, ...] = ()
    began: float = 0.0
    log: list[str] = field(default_factory=list)
    step: Step | None = None

    def begin(self) -> None:
        """Note, before any worker has the job, whether its output is this batch's own."""
        self.is_retry = self.owns_output is not None
        if self.owns_output is None:
            output = self.job.output
            # Path.exists raises for a name too long, of which the job's own error tells.
            self.owns_output = output is not None and not os.path.exists(output)  # noqa: PTH110

    def remember(self, line: str) -> None:
        """Add a line to the log, which keeps the last LOG_LINES."""
        self.log = [*self.log, line.rstrip()][-LOG_LINES:]

    def again(self, reason: str) -> Attempt:
        """Return the next attempt. reason: one sentence on the end of this one."""
        reasons = (*self.reasons, reason)
        return Attempt(self.job, self.owns_output, reasons=reasons, step=self.step)

    def order(self, device: str = "") -> dict[str, Any]:
        """Return the order for a worker, see `orders`. device: of the worker, "" for any."""
        return {"argv": self.argv(device), **(self.step.order() if self.step else {})}

    def argv(self, device: str = "") -> list[str]:
        """Return the command line, which continues an interrupted attempt of this batch.

        An output that such an attempt finished without telling so is replaced.
        """
        more = {"--resume"} if self.is_retry or self.step is not None else set[str]()
        if self.is_retry and self.owns_output:
            more.add("--overwrite")
        if device and "--device" in self.job.flags:
            more.add(f"--device={device}")
        given = sorted(flag for flag in more if flag.partition("=")[0] in self.job.flags)
        return [self.job.command, *given, *self.job.argv]


class Worker(Protocol):
    """A warm process, here or on another machine.

    It puts (itself, "answer", line), (itself, "stderr", line) and (itself, "end", "") into the
    inbox of its pool.

    number: from 1.
    rss: bytes that it holds while idle.
    attempt: what it works on, None while it is idle.
    refusal: why it ended, where no other worker would do better; it ends the batch.
    """

    number: int
    rss: int
    attempt: Attempt | None
    refusal: ThcliError | None

    def give(self, attempt: Attempt) -> None: ...
    def close(self) -> None: ...
    def wait(self, seconds: float) -> int: ...


Inbox = queue.SimpleQueue[tuple[Worker, str, str]]


class WorkerProcess:
    """A worker on this machine: a process and the threads that read from it.

    device: for jobs that do not give theirs, "" for any.
    """

    def __init__(
        self, number: int, inbox: Inbox, device: str = "", folder: str | None = None
    ) -> None:
        self.number, self.device = number, device
        self.rss = 0
        self.attempt: Attempt | None = None
        self.refusal: ThcliError | None = None
        self.process = subprocess.Popen(
            [sys.executable, *WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=folder,
            start_new_session=True,  # Ctrl-C reaches the batch alone, which interrupts its workers
        )
        self._threads = (
            threading.Thread(target=self._read_errors, args=(inbox,)),
            threading.Thread(target=self._read_answers, args=(inbox,)),
        )
        for thread in self._threads:
            thread.start()

    def _read_errors(self, inbox: Inbox) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                inbox.put((self, "stderr", line))

    def _read_answers(self, inbox: Inbox) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                inbox.put((self, "answer", line))
        self._threads[0].join()  # a bug's message comes before the end
        inbox.put((self, "end", ""))

    def give(self, attempt: Attempt) -> None:
        """Give the worker a job. A worker that has just died is noticed by its end."""
        attempt.began, self.attempt = time.monotonic(), attempt
        self.send(json.dumps(attempt.order(self.device)))

    def send(self, line: str) -> None:
        """Send an order as a line."""
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


def devices_by_turns(devices: Sequence[str]) -> Callable[[int, Inbox], WorkerProcess]:
    """Return a function that starts workers, each on the device with the fewest living ones.

    devices: such as cuda:0 and cuda:1; without any, jobs choose theirs.
    """
    started: list[WorkerProcess] = []

    def start(number: int, inbox: Inbox) -> WorkerProcess:
        living = [worker.device for worker in started if worker.process.poll() is None]
        device = min(devices, key=living.count, default="")
        worker = WorkerProcess(number, inbox, device)
        started.append(worker)
        return worker

    return start
