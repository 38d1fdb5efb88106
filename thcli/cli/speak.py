"""`thcli speak`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.files.viewer import check_viewer, open_output
from thcli.cli.flags import flags
from thcli.cli.wording import count, summary
from thcli.core.errors import UsageError
from thcli.core.options import ShowOptions, SpeakOptions, ViewerOptions


@flags
def speak(
    face: Annotated[
        str,
        typer.Argument(
            metavar="FACE", help="Face: an image to animate, or a video whose lips are re-spoken."
        ),
    ],
    sounds: Annotated[
        list[str],
        typer.Argument(
            metavar="AUDIO...", help="Speech: any file with sound; several give a video each."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, - or NAME.motion.safetensors; a folder for "
            "several sounds (default: beside AUDIO).",
        ),
    ] = None,
    *,
    options: SpeakOptions,
    viewer: ViewerOptions,
    show: ShowOptions,
) -> None:
    """Animate a face with speech."""
    import thcli

    check_viewer(viewer, output)
    with Console(show) as console:
        if len(sounds) == 1:
            report = thcli.speak(face, sounds[0], output, options, console)
            console.result(report.as_json(), summary(report))
            open_output(viewer, report.output, console)
            return
        if viewer.open:
            raise UsageError("--open shows one result.", "Give one recording, or leave --open out.")
        results = thcli.speak_each(face, sounds, output, options, console)
        reports = [result.report for result in results if result.report is not None]
        errors = [result.error for result in results if result.error is not None]
        whole = {
            "command": "speak",
            "frames": sum(report.frames for report in reports),
            "seconds": sum(report.seconds for report in reports),
            "failed_items": len(errors),
            "lines": [result.as_json() for result in results],
        }
        lines = [
            summary(result.report) if result.report else f"{result.item}: {result.error}"
            for result in results
        ]
        if errors:
            lines.append(f"{len(errors)} of {count(len(results), 'recording')} failed.")
        console.result(whole, "\n".join(lines))
        if errors:
            raise typer.Exit(errors[0].exit_code)  # of the first one
