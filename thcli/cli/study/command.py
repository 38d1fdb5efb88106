"""`thcli eval study` and `thcli eval answers`: blind studies with people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.report_options import ReportOptions, command_line
from thcli.cli.wording import count
from thcli.core.options import ShowOptions, StudyOptions


@flags
def study(
    folder: Annotated[
        Path, typer.Argument(help="Folder with a folder of clips for each method, of equal names.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the page; its key is written beside.")
    ] = Path("study"),
    *,
    options: StudyOptions,
    show: ShowOptions,
) -> None:
    """Make a blind page on which people judge results: pairs, opinions, real or made."""
    from thcli.evaluate.study.page import write_study
    from thcli.evaluate.study.plan import plan_study

    console = Console(show)
    plan = plan_study(folder, options)
    key = write_study(plan, output, options.most)
    report = {
        "command": "eval study",
        "output": str(output),
        "key": str(key),
        "clips": len(plan.clips),
        "questions": len(plan.questions),
    }
    sizes = f"{count(len(plan.clips), 'clip')}, {count(len(plan.questions), 'question')}"
    console.result(report, f"{output}: {sizes}. Keep {key} to yourself.")


@flags
def answers(
    key: Annotated[Path, typer.Argument(help="FOLDER.key.json of `thcli eval study`.")],
    files: Annotated[list[Path], typer.Argument(help="CSV files that the page made.")],
    *,
    report: ReportOptions,
    show: ShowOptions,
) -> None:
    """Analyse the answers of a study, with 95 % intervals."""
    from thcli.evaluate.study.answers import analyse

    report.refuse_existing([key, *files])
    console = Console(show)
    found = analyse(key, files)
    content = {"command": "eval answers", "run": command_line(), **found.report()}
    report.save(content, [found.table()])
    console.table(*found.table(), content, headed=True)
