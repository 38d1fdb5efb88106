"""Report of an evaluation: its option classes, which every `thcli eval` command shares."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.core.errors import OutputError
from thcli.core.options import option
from thcli.core.options.base import require

if TYPE_CHECKING:
    from thcli.core.types import Image
    from thcli.evaluate.reports.html.page import Page, ReportFolder
    from thcli.evaluate.reports.tables import Table


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

    def refuse_existing(self) -> None:
        """Raise OutputError for an output that exists; call it before anything is measured."""
        for item in fields(self):
            path = getattr(self, item.name)
            if item.name == "rates":
                continue
            if isinstance(path, Path) and path.exists() and not self.overwrite:
                raise OutputError(
                    f"{path} exists already.", "Choose another name, or pass --overwrite."
                )

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
    rates: Path | None = option(
        None, "Add charts of quality over bitrate to --report, from a CSV (method, kbit_s, ...)."
    )

    @contextmanager
    def folder(self) -> Iterator[ReportFolder | None]:
        """Open the folder of the HTML report; None without one.

        Raises OutputError, and MediaError for rates that cannot be read.
        """
        from thcli.evaluate.reports.html.page import ReportFolder
        from thcli.evaluate.reports.html.rates import rate_section

        if self.report is None:
            require(self.rates is None, "--rates", "left out without --report", self.rates)
            yield None
            return
        more = [] if self.rates is None else [rate_section(self.rates)]
        with ReportFolder(self.report, self.overwrite, more) as opened:
            yield opened

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


def command_line() -> str:
    """Return the command line of this run, which reports record."""
    return shlex.join(["thcli", *sys.argv[1:]])
