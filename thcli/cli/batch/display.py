"""Progress of a batch: a live table on a terminal, a line per job in a pipe, JSON lines."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thcli.cli.batch.pool import BatchEvent, JobEnded, JobProgress, JobStarted, StepEnded
from thcli.cli.console import Console
from thcli.cli.wording import count, duration, printable

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

REFRESH = 4  # times a second


@dataclass(slots=True)
class _Row:
    """The work of one worker: job, stage, units done and in all."""

    job: str
    stage: str = ""
    done: int = 0
    total: int | None = None


@dataclass(slots=True)
class BatchDisplay:
    """Display of a batch: a context manager around its run.

    console: prints lines and warnings.
    jobs: number of jobs to run.
    """

    console: Console
    jobs: int
    ended: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)
    _rows: dict[int, _Row] = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> BatchDisplay:
        show = self.console.show
        if sys.stderr.isatty() and not show.quiet and show.progress == "auto":
            from rich.console import Console as RichConsole
            from rich.live import Live

            self._live = Live(
                console=RichConsole(stderr=True),
                get_renderable=self._table,
                refresh_per_second=REFRESH,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, event: BatchEvent) -> None:
        """Show an event."""
        if isinstance(event, JobStarted):
            self._rows[event.worker] = _Row(f"{event.job.name} {event.step}".rstrip())
        elif isinstance(event, JobProgress):
            self._update(self._rows[event.worker], event.event)
        elif isinstance(event, StepEnded):
            self._rows.pop(event.worker, None)
        else:
            self._end(event)
        if self.console.show.progress == "json":
            self.console.line(_as_json(event))

    def _update(self, row: _Row, event: dict[str, Any]) -> None:
        if event["event"] == "started":
            row.stage, row.done, row.total = event["stage"], 0, event["total"]
        elif event["event"] == "step":
            row.done = event["done"]

    def _end(self, event: JobEnded) -> None:
        self._rows.pop(event.worker, None)
        self.ended += 1
        self.failed += event.exit_code != 0
        place = f"{self.ended}/{self.jobs} {event.job.name}"
        if event.exit_code:
            reason = f"{event.result.get('message', '')} {event.result.get('hint', '')}".strip()
            self._say(f"{place}: failed ({event.exit_code}): {reason}")
        else:
            frames = event.result.get("frames")
            made = "" if frames is None else f"{count(frames, 'frame')} in "
            self._say(f"{place}: {made}{duration(event.seconds)}")

    def _say(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(printable(text), markup=False, highlight=False)
        else:
            self.console.say(text)

    def _table(self) -> Table:
        """Return the running jobs, and below them the whole batch with the time it will take."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        for number, row in sorted(self._rows.items()):
            table.add_row(
                f"worker {number}",
                Text(printable(row.job), overflow="ellipsis", no_wrap=True),
                row.stage,
                ProgressBar(row.total or 1, row.done, width=20),
                f"{row.done}/{row.total or '?'}",
            )
        table.add_row(
            "batch",
            f"{self.failed} failed" if self.failed else "",
            self._remaining(),
            ProgressBar(self.jobs, self.ended, width=20),
            f"{self.ended}/{self.jobs}",
        )
        return table

    def _remaining(self) -> str:
        if not self.ended:
            return ""
        spent = time.monotonic() - self.began
        return f"{duration(spent / self.ended * (self.jobs - self.ended))} left"


def _as_json(event: BatchEvent) -> dict[str, Any]:
    """Return an event as one object of `--progress json`."""
    job = {"job": event.job.name, "number": event.job.number, "worker": event.worker}
    if isinstance(event, JobStarted):
        step = {"step": event.step} if event.step else {}
        return {"event": "job-started", **job, **step, "attempt": event.attempt}
    if isinstance(event, StepEnded):
        return {"event": "step-ended", **job, "step": event.step}
    if isinstance(event, JobProgress):
        return {**event.event, **job}
    return {
        "event": "job-ended",
        **job,
        "exit_code": event.exit_code,
        "seconds": round(event.seconds, 3),
        "attempts": len(event.reasons) + 1,
    }
