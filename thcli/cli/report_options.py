"""Report of an evaluation: its option classes, which every `thcli eval` command shares."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.core.errors import OutputError
from thcli.core.options import option
from thcli.core.options.base import require

if TYPE_CHECKING:
    from thcli.core.types import Image
    from thcli.evaluate.reports.html.page import Page, ReportFolder, Section
    from thcli.evaluate.reports.tables import Table


# A name without a suffix is JSON, such as /dev/stdout.
REPORT_SUFFIXES = ("", ".json", ".csv", ".md")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Report."""

    output: Path | None = option(
        None,
        "Also write the report to this file: JSON, or the tables as .csv or .md.",
        "--output",
        "-o",
    )
    overwrite: bool = option(False, "Replace outputs that exist.")

    def refuse_existing(self, inputs: Iterable[Path | None] = (), *options: object) -> None:
        """Check the outputs; call it before anything is measured.

        Args:
            inputs: files and folders that are measured.
            options: option classes, whose inputs are kept too.

        Raises:
            OutputError: an output exists.
            UsageError: the report has another suffix than those of its formats, or an output would
                replace an input.
        """
        from thcli.media.destination import kept_inputs, resolve_destination
        from thcli.pipeline.job.fingerprint import named_inputs

        kept = [str(path) for path in inputs if path is not None]
        kept += [name for each in (self, *options) for name in named_inputs(each)]
        suffix = "" if self.output is None else self.output.suffix.lower()
        known = suffix in REPORT_SUFFIXES
        require(known, "--output", "a name that ends in .json, .csv or .md", str(self.output))
        for item in fields(self):
            path = getattr(self, item.name)
            is_input = item.metadata.get("path") == "input"
            if isinstance(path, Path) and path.exists() and not (self.overwrite or is_input):
                raise OutputError(
                    f"{path} exists already.", "Choose another name, or pass --overwrite."
                )
            if isinstance(path, Path) and not is_input and (path.is_file() or path.is_dir()):
                with kept_inputs(kept):
                    resolve_destination(path)

    def save(self, report: dict[str, Any], tables: Sequence[Table]) -> None:
        """Write the report when an output is given, and record the file in it."""
        from thcli.evaluate.reports import tables as writing
        from thcli.evaluate.reports.report import save_report

        if self.output is None:
            return
        if self.output.suffix.lower() in writing.ENDINGS:
            writing.save_tables(self.output, tables)
        else:
            save_report(self.output, report)
        report["output"] = str(self.output)


@dataclass(frozen=True, slots=True)
class PageReportOptions(ReportOptions):
    """Report."""

    report: Path | None = option(
        None, "Also write an HTML report with charts, sheets and players to this folder."
    )

    @contextmanager
    def folder(self) -> Iterator[ReportFolder | None]:
        """Open the folder of the HTML report; None without one.

        Raises OutputError, and MediaError for further sections that cannot be read.
        """
        from thcli.evaluate.reports.html.page import ReportFolder

        more = self.further_sections()
        if self.report is None:
            yield None
            return
        with ReportFolder(self.report, self.overwrite, more) as opened:
            yield opened

    def further_sections(self) -> list[Section]:
        """Return sections of the page that are read from files."""
        return []

    def save_page(
        self, content: dict[str, Any], tables: Sequence[Table], folder: ReportFolder | None
    ) -> None:
        """Write the report and its HTML where they are given; see `folder`."""
        from thcli.evaluate.reports.html.page import Page, Section

        page = Page(content["command"], content["run"], [Section("Result", tables=tables)])
        self.save(content, tables)
        self._finish(content, page, folder)

    def _finish(self, content: dict[str, Any], page: Page, folder: ReportFolder | None) -> None:
        if folder is None:
            return
        content["report"] = str(self.report)
        folder.finish(page, content)


@dataclass(frozen=True, slots=True)
class SheetReportOptions(PageReportOptions):
    """Report."""

    sheet: Path | None = option(None, "Also write a contact sheet to this PNG file.")

    def save_all(
        self,
        content: dict[str, Any],
        tables: Sequence[Table],
        sheet: Callable[[], Image],
        page: Page,
        folder: ReportFolder | None,
    ) -> None:
        """Write contact sheet, report and HTML report where they are given.

        Args:
            content: the report.
            tables: heading and lines of each.
            sheet: returns the contact sheet.
            page: the HTML report.
            folder: of `folder`.
        """
        from thcli.evaluate.reports.contact_sheet import save_image

        if self.sheet is not None:
            save_image(self.sheet, sheet())
            content["sheet"] = str(self.sheet)
        self.save(content, tables)
        self._finish(content, page, folder)


@dataclass(frozen=True, slots=True)
class RatedReportOptions(SheetReportOptions):
    """Report."""

    rates: Path | None = option(
        None,
        "Add charts of quality over bitrate to --report, from a CSV (method, kbit_s, ...).",
        path="input",
    )

    def further_sections(self) -> list[Section]:
        """Return the charts of --rates. Raises MediaError for a file that cannot be read."""
        from thcli.evaluate.reports.html.rates import rate_section

        if self.rates is None:
            return []
        require(self.report is not None, "--rates", "left out without --report", str(self.rates))
        return [rate_section(self.rates)]


def command_line() -> str:
    """Return the command line of this run, which reports record."""
    return shlex.join(["thcli", *sys.argv[1:]])
