"""`thcli edit`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console, would
from thcli.cli.flags import flags
from thcli.core.options import EditOptions, ShowOptions


@flags
def edit(
    video: Annotated[
        str,
        typer.Argument(help="The clip: a video, a picture, a folder of pictures, or - for stdin."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, or - (default: beside VIDEO).",
        ),
    ] = None,
    *,
    options: EditOptions,
    show: ShowOptions,
) -> None:
    """Change what a face is like (smiling, beard, eyeglasses, younger …), steadily through a clip."""
    from thcli.pipeline.dry_run_edit import rehearse_edit
    from thcli.pipeline.edit import edit as run

    with Console(show) as console:
        if options.dry_run:
            report = rehearse_edit(video, output, options, console)
            text = would(report)
        else:
            report = run(video, output, options, console)
            text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({report.frames / report.seconds:.1f} a second), by {report.engine}"
            if report.passed_through:
                text += f"; {report.passed_through} without the face"
        console.result(report.as_json(), text)
