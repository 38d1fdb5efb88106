"""Output of commands: a bar on a terminal, lines in a pipe, JSON for scripts.

stdout is for results alone, stderr for everything else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from thcli.cli.wording import duration, printable, rate
from thcli.core.byte_sizes import size_text
from thcli.core.errors import ThcliError, UsageError
from thcli.core.events import Event, Finished, Started, Step, Warned
from thcli.core.json_text import to_json
from thcli.core.options import ShowOptions

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass
class Console:
    """Renderer of events and results: a context manager around the work, which removes the bar."""

    show: ShowOptions
    warnings: list[str] = field(default_factory=list)
    _bar: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _units: dict[str, str] = field(default_factory=dict)  # of each stage

    def __enter__(self) -> Console:
        if sys.stderr.isatty() and not self.show.quiet and self.show.progress == "auto":
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
        """Show an event: this object is the Listener that the core gets."""
        if self.show.progress == "json":
            self.line({"event": type(event).__name__.lower(), **asdict(event)})
            if isinstance(event, Warned) and event.message not in self.warnings:
                self.warnings.append(event.message)
        elif isinstance(event, Warned):
            if event.message not in self.warnings:
                self.warnings.append(event.message)
                self.say(f"warning: {event.message}")
        elif self._bar:
            self._draw(self._bar, event)
        elif isinstance(event, Started):
            self._units[event.stage] = event.unit
        elif isinstance(event, Finished) and self._units.get(event.stage) == "bytes":
            self.say(f"{event.stage}: {size_text(event.done)} in {duration(event.seconds)}")
        elif isinstance(event, Finished):
            unit = self._units.get(event.stage, "frames")
            timed = event.done and event.seconds
            speed = f", {rate(event.done, event.seconds, unit)}" if timed else ""
            self.say(f"{event.stage}: {event.done} in {duration(event.seconds)}{speed}")

    def line(self, row: Mapping[str, Any]) -> None:
        """Print a row of --progress json on stderr."""
        print(to_json(row), file=sys.stderr, flush=True)

    def lines_target(self, output: str | None) -> str | None:
        """Return where a stage's lines go: stdout by default, nowhere when --json needs it.

        Raises UsageError for `-o -` with --json.
        """
        if output == "-" and self.show.as_json:
            raise UsageError(
                "--json and -o - both need standard output.", "Write the lines to a file: -o FILE."
            )
        return output if output is not None or self.show.as_json else "-"

    def _draw(self, bar: Progress, event: Started | Step | Finished) -> None:
        if isinstance(event, Started):
            self._tasks[event.stage] = bar.add_task(event.stage, total=event.total, unit=event.unit)
        elif event.stage in self._tasks:
            done = {"total": event.done} if isinstance(event, Finished) else {}
            bar.update(self._tasks[event.stage], completed=event.done, **done)  # type: ignore[arg-type]  # rich's own Any

    def say(self, text: str) -> None:
        """Print a line for people on stderr, unless --quiet."""
        if self.show.quiet or self.show.progress == "json":
            return
        if self._bar:
            self._bar.console.print(printable(text), markup=False, highlight=False)
        else:
            print(printable(text), file=sys.stderr)

    def result(self, report: Mapping[str, Any], text: str) -> None:
        """Print the command's result: JSON on stdout with --json, else a line for people."""
        if self.show.as_json:
            print(to_json({**report, "warnings": self.warnings}))
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
        """Print a table on stdout: JSON with --json, ruled on a terminal, else tab-separated.

        headed: begin the tab-separated lines with the heading, for tables of varying columns.
        """
        self.tables([(head, rows)], report, headed=headed)

    def tables(
        self,
        tables: Sequence[tuple[Sequence[str], Sequence[Sequence[Any]]]],
        report: Mapping[str, Any],
        *,
        headed: bool = True,
    ) -> None:
        """Print tables one after another with an empty line between them; see `table`."""
        if self.show.as_json:
            print(to_json({**report, "warnings": self.warnings}))
            return
        for number, (head, rows) in enumerate(tables):
            if number:
                print()
            if sys.stdout.isatty():
                from rich.console import Console as RichConsole
                from rich.table import Table

                ruled = Table(*head, box=None, pad_edge=False)
                for row in rows:
                    ruled.add_row(*(printable(str(cell)) for cell in row))
                RichConsole().print(ruled, markup=False)
            else:
                for row in [head, *rows] if headed else rows:
                    print("\t".join(printable(str(cell)) for cell in row))


def complain(error: ThcliError, command: str = "", *, as_json: bool = False) -> None:
    """Print a failure as one sentence on stderr and, with --json, as an object on stdout."""
    if as_json:
        print(to_json({"command": command, **error.as_json()}))
    print(f"thcli: {printable(str(error))}", file=sys.stderr)
