"""`thcli demo`: the main job on the files of the installation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.wording import duration
from thcli.core.options import RunOptions, ShowOptions


@flags
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the video and the images.")
    ] = Path("demo-out"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that exist.")
    ] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Animate scikit-image's portrait with the bundled motion: nod, turn, blink, talk."""
    from thcli.evaluate.reports.demo import render_demo

    with Console(show) as console:
        report = render_demo(output, run, overwrite, console)
        files = ", ".join(report.details["files"])
        console.result(report.as_json(), f"{output}: {files} in {duration(report.seconds)}")
