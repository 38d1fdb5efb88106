"""`thcli prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import PrepareOptions, ShowOptions


@flags
def prepare(
    inputs: Annotated[list[Path], typer.Argument(help="Videos, or folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the dataset.")],
    *,
    options: PrepareOptions,
    show: ShowOptions,
) -> None:
    """Extract clips of faces from videos: track, crop, resize, index."""
    from thcli.train.data.prepare import prepare as run

    with Console(show) as console:
        report = run(inputs, output, options, console)
        failed = f", {report['failed']} videos could not be used" if report["failed"] else ""
        console.result(
            report,
            f"{output}: {report['clips']} clips, {report['frames']} frames{failed}, "
            f"in {report['seconds']:.1f} s",
        )
