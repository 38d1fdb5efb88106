"""`thcli speak`."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console, would
from thcli.cli.flags import flags
from thcli.core.errors import UsageError
from thcli.core.options import ShowOptions, SpeakOptions


@flags
def speak(
    face: Annotated[
        str, typer.Argument(help="The face: a picture, or a video (its first good frame).")
    ],
    sounds: Annotated[
        list[str],
        typer.Argument(
            metavar="AUDIO...", help="What it says: any file with sound; several: a video each."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Video, GIF, WebP, folder/ of PNGs, - or NAME.motion.safetensors; a folder for several (default: beside AUDIO).",
        ),
    ] = None,
    *,
    options: SpeakOptions,
    show: ShowOptions,
) -> None:
    """Make a face say what is heard."""
    from thcli.pipeline.dry_run import rehearse_speak
    from thcli.pipeline.speak import speak as run
    from thcli.pipeline.speak import speak_each

    with Console(show) as console:
        if len(sounds) > 1:
            if options.dry_run:
                raise UsageError("A dry run takes one sound.", "Give one AUDIO.")
            reports = speak_each(face, sounds, output, options, console)
            lines = [report.as_json() for report in reports]
            whole = {
                "command": "speak",
                "frames": sum(r.frames for r in reports),
                "seconds": sum(r.seconds for r in reports),
                "lines": lines,
            }
            console.result(
                whole,
                "\n".join(f"{r.output}: {r.frames} frames in {r.seconds:.1f} s" for r in reports),
            )
            return
        if options.dry_run:
            report = rehearse_speak(face, sounds[0], output, options, console)
            text = would(report)
        else:
            report = run(face, sounds[0], output, options, console)
            text = f"{report.output}: {report.frames} frames in {report.seconds:.1f} s ({report.frames / report.seconds:.0f} a second)"
        console.result(report.as_json(), text)
