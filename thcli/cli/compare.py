"""`thcli compare`: videos side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import CompareOptions, OutputOptions, ReadOptions, ShowOptions


@flags
def compare(
    inputs: Annotated[
        list[str], typer.Argument(help="Two or more videos or pictures, from left to right.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to (default: beside the first).")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Name of an input, in order; '' for none.")
    ] = None,
    *,
    compare: CompareOptions,
    read: ReadOptions,
    encode: OutputOptions,
    show: ShowOptions,
) -> None:
    """Put videos side by side, in step, with labels; the first one's time stamps and sound are kept."""
    from thcli.pipeline import compare as sidebyside

    target = output or Path(inputs[0]).with_name(
        f"{'_'.join(Path(name).stem for name in inputs)}.mp4"
    )
    with Console(show) as console:
        report = sidebyside.compare(inputs, target, label or (), compare, encode, read, console)
    console.result(report.as_json(), f"{report.output}: {report.frames} frames")
