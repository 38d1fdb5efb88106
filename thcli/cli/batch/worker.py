"""Worker of a batch: a warm process that runs command lines one after another.

It reads one JSON object per line from standard input, `{"argv": [...]}`; an order of a job that is
cut into parts says more, see `orders`. On standard output it
sends a `{"line"}` for each line of progress and messages, as `--progress json` prints them, and
then the answer, `{"exit_code", "result", "rss", "peak"}`. Loaded backends stay for the next job.
When its input ends, as when the batch is killed, the running job is interrupted and leaves no
debris.
"""

from __future__ import annotations

import _thread
import io
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

from thcli.core.errors import INTERRUPTED
from thcli.core.json_text import to_json


def serve(run: Callable[[Sequence[str]], int]) -> int:
    """Run the jobs of standard input.

    Args:
        run: runs a command line and returns its exit code.

    Returns:
        Exit code: 0, or 130 when a job was interrupted.
    """
    from thcli.pipeline.render.helpers import without_helpers
    from thcli.weights.backend import loaded_backends_kept

    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    with (
        os.fdopen(os.dup(1), "w", encoding="utf-8") as stream,
        loaded_backends_kept(),
        without_helpers(),
    ):
        os.dup2(2, 1)  # what a library prints must not reach the answers
        threading.Thread(target=_listen, args=(sys.stdin, lines, busy), daemon=True).start()
        messages = _Messages(stream)
        while (line := lines.get()) is not None:
            busy.set()
            with redirect_stderr(messages):
                answer = _run_job(run, json.loads(line))
            busy.clear()
            messages.send(answer)
            if answer["exit_code"] == INTERRUPTED:
                return INTERRUPTED
    return 0


class _Messages(io.TextIOBase):
    """A text stream that sends each line as an object, in order with the answers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Keep the text up to its last line break back, and send the complete lines."""
        with self._lock:
            *complete, self._text = (self._text + text).split("\n")
            for line in complete:
                self.send({"line": line})
        return len(text)

    def send(self, row: dict[str, Any]) -> None:
        """Send one object."""
        print(to_json(row), file=self._stream, flush=True)


def _listen(stream: TextIO, lines: queue.SimpleQueue[str | None], busy: threading.Event) -> None:
    """Pass lines on; at the end of the stream interrupt the running job."""
    for line in stream:
        lines.put(line)
    lines.put(None)
    if busy.is_set():
        _thread.interrupt_main()


def _run_job(run: Callable[[Sequence[str]], int], order: dict[str, Any]) -> dict[str, Any]:
    """Run one command line and return the answer. A bug ends the process."""
    from thcli.cli.batch.orders import perform
    from thcli.evaluate.benchmarks.memory import peak_rss, reset_peak, rss

    reset_peak()
    text = io.StringIO()
    with redirect_stdout(text):
        code = perform(run, order)
    lines = text.getvalue().splitlines()
    result = json.loads(lines[-1]) if lines else {}
    return {"exit_code": code, "result": result, "rss": rss(), "peak": peak_rss()}
