"""Folder of an HTML report: index.html, tables as CSV and Markdown, JSON, images and videos."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from thcli.core.types import Image
from thcli.evaluate.datasets.result_pairs import RESERVED
from thcli.evaluate.reports.contact_sheet import save_image
from thcli.evaluate.reports.html.charts import Chart
from thcli.evaluate.reports.tables import Table, csv_text, markdown_text, read_number
from thcli.media.failures import to_output_error
from thcli.media.writing.target import OutputTarget

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file:; media-src 'self' file:"
)
UNEDITED, GAIN = "clip, unedited", "refined / coarse"  # columns of tables that are no methods


@dataclass(frozen=True)
class Section:
    """A part of a page.

    videos: caption -> file in the folder. images: caption -> pixels.
    """

    heading: str
    note: str = ""
    tables: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    videos: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """An HTML report. command: the command line."""

    title: str
    command: str
    sections: Sequence[Section]


class ReportFolder:
    """A report's folder, as a context manager; without `finish` nothing is left.

    path: temporary folder, where videos go.
    """

    def __init__(self, folder: Path, overwrite: bool, more: Sequence[Section] = ()) -> None:
        """Raise OutputError when the folder exists, unless `overwrite`.

        more: last sections of the page.
        """
        self._more = more
        self._target = OutputTarget(f"{folder}/", overwrite)
        self._target.check(0)
        self.path = self._target.partial

    def __enter__(self) -> ReportFolder:
        self._target.guard()
        self.path.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        self._target.abort()

    def finish(self, page: Page, report: Mapping[str, Any]) -> None:
        """Write everything. Raises OutputError."""
        whole = replace(page, sections=[*page.sections, *self._more])
        try:
            write_page(self.path, whole, report)
        except OSError as exc:
            raise to_output_error(self._target.name, exc) from exc
        self._target.commit()


def write_page(folder: Path, page: Page, report: Mapping[str, Any]) -> None:
    """Write index.html, report.json and the tables and images of a page into a folder."""
    numbers = {"table": 0, "sheet": 0}

    def next_name(kind: str, ending: str) -> str:
        numbers[kind] += 1
        return f"{kind}-{numbers[kind]}{ending}"

    parts = [_head(page)]
    for section in page.sections:
        parts.append(_section(section, folder, next_name))
    parts.append("</main>\n</html>\n")
    text = json.dumps(report, indent=1, ensure_ascii=True, default=str)
    (folder / "report.json").write_text(text + "\n", "utf-8")
    (folder / "index.html").write_text("".join(parts), "utf-8", "xmlcharrefreplace")


def _head(page: Page) -> str:
    style = files("thcli.evaluate.reports.html").joinpath("page.css").read_text("utf-8")
    title = escape(page.title)
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n<main>\n<h1>{title}</h1>\n"
        f"<pre>{escape(page.command)}</pre>\n"
        '<p>All values: <a href="report.json">report.json</a></p>\n'
    )


def _section(section: Section, folder: Path, next_name: Callable[[str, str], str]) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>\n"]
    if section.note:
        parts.append(f"<p>{escape(section.note)}</p>\n")
    for table in section.tables:
        name = next_name("table", "")
        (folder / f"{name}.csv").write_text(csv_text(table), "utf-8", newline="")
        (folder / f"{name}.md").write_text(markdown_text(table), "utf-8")
        parts.append(_table(table))
        parts.append(f'<p><a href="{name}.csv">CSV</a>, <a href="{name}.md">Markdown</a></p>\n')
    parts.append(_charts([chart for chart in section.charts if not chart.clip]))
    clips = dict.fromkeys(
        [*section.videos, *section.images, *(c.clip for c in section.charts if c.clip)]
    )
    for clip in clips:
        parts.append(f"<h3>{escape(clip)}</h3>\n")
        if clip in section.videos:
            source = escape(section.videos[clip])
            parts.append(f'<video src="{source}" controls loop muted preload="auto"></video>\n')
        if clip in section.images:
            name = next_name("sheet", ".png")
            save_image(folder / name, section.images[clip])
            parts.append(f'<img src="{name}" alt="Contact sheet of {escape(clip)}">\n')
        parts.append(_charts([chart for chart in section.charts if chart.clip == clip]))
    return "".join(parts)


def _charts(charts: Sequence[Chart]) -> str:
    if not charts:
        return ""
    return f'<div class="charts">{"".join(chart.svg for chart in charts)}</div>\n'


def _table(table: Table) -> str:
    head, lines = table
    parts = ['<div class="wide"><table>\n<tr>']
    parts += [f"<th>{escape(cell)}</th>" for cell in head]
    for line in lines:
        best = best_cell(head, line)
        cells = [
            f"<td><b>{escape(cell)}</b></td>" if at == best else f"<td>{escape(cell)}</td>"
            for at, cell in enumerate(line)
        ]
        parts.append(f"</tr>\n<tr>{''.join(cells)}")
    return "".join([*parts, "</tr>\n</table></div>\n"])


def best_cell(head: Sequence[str], line: Sequence[str]) -> int | None:
    """Return the column of the best value of two or more methods, None where methods share it.

    Baselines do not count. The direction is the arrow at the end of the first cell.
    """
    signs = {"↓": 1.0, "↑": -1.0}
    sign = signs.get(line[0][-1:])
    if sign is None or len(line) != len(head):
        return None
    values = {}
    for at in range(1, len(line)):
        number = read_number(line[at])
        if head[at] not in (*RESERVED, UNEDITED, GAIN) and number is not None:
            values[at] = sign * number
    best = sorted(values, key=lambda at: values[at])[:2]
    return best[0] if len(best) > 1 and values[best[0]] < values[best[1]] else None
