"""`thcli compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.wording import summary
from thcli.core.options import CompareOptions, ShowOptions


@flags
def compare(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Two or more videos or images, left to right."),
    ],
    output: Annotated[
        str | None, typer.Option("-o", "--output", help="Video (default: beside the first input).")
    ] = None,
    *,
    options: CompareOptions,
    show: ShowOptions,
) -> None:
    """Put videos side by side, synchronised and labelled."""
    import thcli

    with Console(show) as console:
        report = thcli.compare(inputs, output, options, console)
        console.result(report.as_json(), summary(report))
