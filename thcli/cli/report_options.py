"""Report of an evaluation: its option classes, which every `thcli eval` command shares."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thcli.core.errors import OutputError
from thcli.core.options import option

if TYPE_CHECKING:
    from thcli.core.types import Image


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Report."""

    output: Path | None = option(
        None, "Also write the report as JSON to this file.", "--output", "-o"
    )
    overwrite: bool = option(False, "Replace outputs that exist.")

    def refuse_existing(self) -> None:
        """Raise OutputError for an output that exists; call it before anything is measured."""
        for item in fields(self):
            path = getattr(self, item.name)
            if isinstance(path, Path) and path.exists() and not self.overwrite:
                raise OutputError(
                    f"{path} exists already.", "Choose another name, or pass --overwrite."
                )

    def save(self, report: dict[str, Any]) -> None:
        """Write the report when an output is given, and record the file in it."""
        from thcli.evaluate.reports.report import save_report

        if self.output is not None:
            save_report(self.output, report)
            report["output"] = str(self.output)


@dataclass(frozen=True, slots=True)
class SheetReportOptions(ReportOptions):
    """Report."""

    sheet: Path | None = option(None, "Also write a contact sheet to this PNG file.")

    def save_with_sheet(self, report: dict[str, Any], render: Callable[[], Image]) -> None:
        """Write contact sheet and report where they are given. render: returns the sheet."""
        from thcli.evaluate.reports.contact_sheet import save_image

        if self.sheet is not None:
            save_image(self.sheet, render())
            report["sheet"] = str(self.sheet)
        self.save(report)


def command_line() -> str:
    """Return the command line of this run, which reports record."""
    return shlex.join(["thcli", *sys.argv[1:]])
