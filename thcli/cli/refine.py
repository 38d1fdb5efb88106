"""`thcli refine`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console, would
from thcli.cli.flags import flags
from thcli.core.options import RefineJobOptions, ShowOptions


@flags
def refine(
    video: Annotated[
        str,
        typer.Argument(
            help="What is made better: a video, picture, folder of pictures, or - for stdin."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, or - (default: NAME_refined beside VIDEO).",
        ),
    ] = None,
    *,
    options: RefineJobOptions,
    show: ShowOptions,
) -> None:
    """Make a reenacted face better: what a coarse engine blurred, bent or lit wrongly."""
    from thcli.pipeline.dry_run import rehearse_refine
    from thcli.pipeline.refine import refine as run

    with Console(show) as console:
        if options.dry_run:
            report = rehearse_refine(video, output, options, console)
            text = would(report, "refine")
        else:
            report = run(video, output, options, console)
            text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({report.frames / report.seconds:.2f} a second)"
            if report.passed_through:
                text += f"; {report.passed_through} without the face"
        console.result(report.as_json(), text)
