"""What the user sees: a bar on a terminal, quiet lines in a pipe, one JSON object for scripts. stdout is for results alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thcli.core.errors import ThcliError
from thcli.core.events import Event, Finished, Started, Step, Warned
from thcli.core.options import ShowOptions

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from thcli.pipeline.job.job import Report


@dataclass
class Console:
    """Renders events and results. Use as a context manager around the work, so that the bar is always taken down."""

    show: ShowOptions
    warnings: list[str] = field(default_factory=list)
    _bar: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)

    def __enter__(self) -> Console:
        if sys.stderr.isatty() and not self.show.quiet:
            from rich.console import Console as RichConsole
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description:>10}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=RichConsole(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def __call__(self, event: Event) -> None:
        """The Listener to hand to the core."""
        if isinstance(event, Warned):
            if event.message not in self.warnings:
                self.warnings.append(event.message)
                self.say(f"warning: {event.message}")
        elif self._bar:
            self._draw(self._bar, event)
        elif isinstance(event, Finished):
            rate = (
                f", {event.done / event.seconds:.1f}/s" if event.done and event.seconds > 0 else ""
            )
            self.say(f"{event.stage}: {event.done} in {event.seconds:.1f} s{rate}")

    def _draw(self, bar: Progress, event: Started | Step | Finished) -> None:
        if isinstance(event, Started):
            self._tasks[event.stage] = bar.add_task(event.stage, total=event.total, unit=event.unit)
        elif event.stage in self._tasks:
            done = {"total": event.done} if isinstance(event, Finished) else {}
            bar.update(self._tasks[event.stage], completed=event.done, **done)  # type: ignore[arg-type]  # rich's own Any

    def say(self, text: str) -> None:
        """A line for people, on stderr; nothing with --quiet."""
        if self.show.quiet:
            return
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr)

    def result(self, report: Mapping[str, Any], text: str) -> None:
        """The command's result: JSON on stdout with --json, else a line for people."""
        if self.show.as_json:
            print(
                json.dumps({**report, "warnings": self.warnings}, ensure_ascii=False, default=str)
            )
        else:
            self.say(text)

    def table(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[Any]],
        report: Mapping[str, Any],
        *,
        headed: bool = False,
    ) -> None:
        """A result that is a table: JSON with --json, a ruled table on a terminal, tab-separated lines in a pipe (all on stdout).

        headed: the lines in a pipe begin with the heading, for tables whose columns differ from run to run.
        """
        if self.show.as_json:
            print(
                json.dumps({**report, "warnings": self.warnings}, ensure_ascii=False, default=str)
            )
        elif sys.stdout.isatty():
            from rich.console import Console as RichConsole
            from rich.table import Table

            ruled = Table(*head, box=None, pad_edge=False)
            for row in rows:
                ruled.add_row(*map(str, row))
            RichConsole().print(ruled, markup=False)
        else:
            for row in [head, *rows] if headed else rows:
                print("\t".join(map(str, row)))


def would(report: Report, do: str = "make") -> str:
    """What a dry run found, for people."""
    facts = report.details
    return f"would {do} {facts['would_make']} frames of {facts['size']} in about {facts['estimate']} s: {report.output}"


def complain(error: ThcliError) -> None:
    """One clear sentence with the remedy, on stderr."""
    print(f"thcli: {error}", file=sys.stderr)
