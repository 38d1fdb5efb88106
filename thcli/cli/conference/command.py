"""`thcli transmit` and `thcli receive`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.cli.flags import flags
from thcli.cli.wording import count, summary
from thcli.core.errors import UsageError
from thcli.core.options import ReceiveOptions, ShowOptions, TransmitOptions, ViewerOptions


@flags
def transmit(
    clip: Annotated[
        str, typer.Argument(metavar="CLIP", help="Video, folder of images, or - for stdin.")
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="NAME.thc, or - for stdout (default: beside CLIP)."),
    ] = None,
    *,
    options: TransmitOptions,
    show: ShowOptions,
) -> None:
    """Send the motion of a face, and its sound, as a stream of a few kbit/s."""
    import thcli

    with Console(show) as console:
        if output == "-":
            console.lines_target(output)  # refuses --json
        report = thcli.transmit(clip, output, options, console)
        console.result(report.as_json(), summary(report))
        rates = report.details
        if not options.dry_run:
            console.say(
                f"kbit/s: motion {rates['motion_kbits']}, sound {rates['sound_kbits']}, "
                f"pictures {rates['pictures_kbits']}; {count(rates['keys'], 'key frame')}"
            )


@flags
def receive(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="[FACE] STREAM",
            help="Picture of the face (left out: those in the stream), then the stream, - for "
            "stdin.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="Video, folder/ of PNGs, or - (default: beside STREAM)."
        ),
    ] = None,
    *,
    options: ReceiveOptions,
    viewer: ViewerOptions,
    show: ShowOptions,
) -> None:
    """Animate a picture with a stream of transmit, frame by frame."""
    import thcli

    if len(inputs) > 2:
        raise UsageError(f"receive takes a picture and a stream, not {len(inputs)} files.")
    face, stream = (None, inputs[0]) if len(inputs) == 1 else (inputs[0], inputs[1])
    check_viewer(viewer, output)
    with Console(show) as console:
        report = thcli.receive(face, stream, output, options, console)
        console.result(report.as_json(), summary(report))
        open_output(viewer, report.output, console)
