"""`thcli edit`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.cli.flags import flags
from thcli.cli.wording import summary
from thcli.core.options import EditOptions, ShowOptions, ViewerOptions


@flags
def edit(
    video: Annotated[
        str,
        typer.Argument(metavar="VIDEO", help="A video, image, folder of images, or - for stdin."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, or - (default: NAME_edit beside VIDEO).",
        ),
    ] = None,
    *,
    options: EditOptions,
    viewer: ViewerOptions,
    show: ShowOptions,
) -> None:
    """Edit facial attributes of a video by attribute or by text."""
    import thcli

    check_viewer(viewer, output)
    with Console(show) as console:
        report = thcli.edit(video, output, options, console)
        console.result(report.as_json(), summary(report))
        open_output(viewer, report.output, console)
