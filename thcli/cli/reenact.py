"""`thcli reenact`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.cli.flags import flags
from thcli.cli.wording import summary
from thcli.core.options import ReenactOptions, ShowOptions, ViewerOptions


@flags
def reenact(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Face to animate: an image, or a video (mesh and liveportrait: all of it).",
        ),
    ],
    driving: Annotated[
        str | None,
        typer.Argument(
            metavar="[DRIVING]",
            help="Motion: a video, image, folder of images, motion file, or - for stdin. Without "
            "one, sliders and turns move a face at rest.",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, image, GIF, WebP, folder/ of PNGs, or - (default: beside DRIVING).",
        ),
    ] = None,
    *,
    options: ReenactOptions,
    viewer: ViewerOptions,
    show: ShowOptions,
) -> None:
    """Animate a face with the motion of another."""
    import thcli

    check_viewer(viewer, output)
    with Console(show) as console:
        report = thcli.reenact(source, driving, output, options, console)
        console.result(report.as_json(), summary(report))
        open_output(viewer, report.output, console)
