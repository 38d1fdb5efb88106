"""`thcli demo`: the main job on what a fresh machine has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import RunOptions, ShowOptions


@flags
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A folder for the video and the pictures.")
    ] = Path("demo-out"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    *,
    run: RunOptions,
    show: ShowOptions,
) -> None:
    """Animate a portrait that comes with scikit-image by the bundled motion: nodding, turning, blinking, talking."""
    from thcli.evaluate.reports.demo import render_demo

    with Console(show) as console:
        report = render_demo(output, run, overwrite, console)
        console.result(
            report.as_json(),
            f"{output}: {', '.join(report.details['files'])} ({report.seconds:.1f} s)",
        )
