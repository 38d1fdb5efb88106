"""`thcli refine`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.cli.flags import flags
from thcli.cli.wording import summary
from thcli.core.options import RefineJobOptions, ShowOptions, ViewerOptions


@flags
def refine(
    video: Annotated[
        str,
        typer.Argument(
            metavar="VIDEO", help="Coarse video, image, folder of images, or - for stdin."
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
    viewer: ViewerOptions,
    show: ShowOptions,
) -> None:
    """Refine the face of a coarse video: detail, geometry and light."""
    import thcli

    check_viewer(viewer, output)
    with Console(show) as console:
        report = thcli.refine(video, output, options, console)
        console.result(report.as_json(), summary(report))
        open_output(viewer, report.output, console)
