"""`thcli reenact`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console, would
from thcli.cli.flags import flags
from thcli.core.options import ReenactOptions, ShowOptions


@flags
def reenact(
    source: Annotated[
        str,
        typer.Argument(
            help="The face: a picture, or a video (its first good frame; liveportrait moves all of it)."
        ),
    ],
    driving: Annotated[
        str,
        typer.Argument(help="The motion: a video, picture, folder, motion file, or - for stdin."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, or - (default: beside DRIVING).",
        ),
    ] = None,
    *,
    options: ReenactOptions,
    show: ShowOptions,
) -> None:
    """Animate a face with the motion of another."""
    from thcli.pipeline.dry_run import rehearse_reenact
    from thcli.pipeline.reenact import reenact as run

    with Console(show) as console:
        if options.dry_run:
            report = rehearse_reenact(source, driving, output, options, console)
            text = would(report)
        else:
            report = run(source, driving, output, options, console)
            text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({report.frames / report.seconds:.0f} a second)"
            if report.passed_through or report.failed:
                text += f"; {report.passed_through} without a face, {report.failed} failed"
        console.result(report.as_json(), text)
