"""Stages of the pipeline as commands, which chain through files."""

from __future__ import annotations

from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.wording import count, summary
from thcli.core.options import (
    AlignOptions,
    CropOptions,
    DetectOptions,
    EncodeOptions,
    FitOptions,
    ParseOptions,
    PasteJobOptions,
    ShowOptions,
    TrackOptions,
    WarpOptions,
)

Input = Annotated[
    str,
    typer.Argument(metavar="INPUT", help="A video, image, folder of images, or - for stdin."),
]
Lines = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="JSON Lines file (default: stdout; with --json only the summary goes there).",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        help="Video, image, GIF, WebP, folder/ of PNGs, or - (default: beside the input).",
    ),
]


@flags
def detect(
    input: Input, output: Lines = None, *, options: DetectOptions, show: ShowOptions
) -> None:
    """Detect the faces of every frame: boxes, scores and keypoints as JSON Lines."""
    import thcli

    with Console(show) as console:
        report = thcli.detect(input, console.lines_target(output), options, console)
        found = count(report.details.get("detections", 0), "face")
        console.result(report.as_json(), f"{summary(report)}, {found}")


@flags
def track(video: Input, output: Lines = None, *, options: TrackOptions, show: ShowOptions) -> None:
    """Track every face through a clip: a stable number, box and points as JSON Lines."""
    import thcli

    with Console(show) as console:
        report = thcli.track(video, console.lines_target(output), options, console)
        console.result(report.as_json(), f"{summary(report)}, {count(report.faces, 'face')}")
        for row in report.details.get("tracks", ()):
            choice = f" (--face {row['face']})" if row["face"] is not None else ""
            seen = count(row["frames"], "frame")
            console.say(f"track {row['track']}{choice}: {seen}, about {row['area']} square pixels")


@flags
def fit(
    input: Input,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="NAME.csv, NAME.jsonl or NAME.safetensors (default: JSON Lines on stdout; with "
            "--json only the summary goes there).",
        ),
    ] = None,
    *,
    options: FitOptions,
    show: ShowOptions,
) -> None:
    """Fit a 3-D model to one face: pose in degrees, identity and expression per frame."""
    import thcli

    with Console(show) as console:
        report = thcli.fit(input, console.lines_target(output), options, console)
        console.result(report.as_json(), summary(report))
        for name, turn in report.details.get("pose", {}).items():
            span = f"{turn['min']} to {turn['max']}"
            console.say(f"{name}: {turn['mean']} degrees on average, {span}")


@flags
def crop(video: Input, output: Output = None, *, options: CropOptions, show: ShowOptions) -> None:
    """Crop one face out of a clip, stabilised, and keep its placement in NAME.crops.safetensors."""
    import thcli

    with Console(show) as console:
        report = thcli.crop(video, output, options, console)
        console.result(report.as_json(), summary(report))


@flags
def align(input: Input, output: Output = None, *, options: AlignOptions, show: ShowOptions) -> None:
    """Align the faces of images, each by itself, as face networks expect them."""
    import thcli

    with Console(show) as console:
        report = thcli.align(input, output, options, console)
        console.result(report.as_json(), summary(report, "face"))


@flags
def encode(
    video: Input,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Motion file (default: NAME.motion.safetensors beside the video).",
        ),
    ] = None,
    *,
    options: EncodeOptions,
    show: ShowOptions,
) -> None:
    """Encode the motion of one face as a small file for `warp` and `reenact`."""
    import thcli

    with Console(show) as console:
        report = thcli.encode(video, output, options, console)
        console.result(report.as_json(), summary(report))


@flags
def warp(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="Face to animate: an image, or a video (one frame of it)."
        ),
    ],
    driving: Annotated[
        str, typer.Argument(metavar="MOTION", help="A motion file, as `thcli encode` writes it.")
    ],
    output: Output = None,
    *,
    options: WarpOptions,
    show: ShowOptions,
) -> None:
    """Warp a face by a motion file."""
    import thcli

    with Console(show) as console:
        report = thcli.warp(source, driving, output, options, console)
        console.result(report.as_json(), summary(report))


@flags
def parse(
    input: Input,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder/ or NAME.png; a video for a mask or an overlay (default: beside INPUT).",
        ),
    ] = None,
    *,
    options: ParseOptions,
    show: ShowOptions,
) -> None:
    """Parse faces into 19 regions: label images, a soft mask, or an overlay."""
    import thcli

    with Console(show) as console:
        report = thcli.parse(input, output, options, console)
        console.result(report.as_json(), summary(report))


@flags
def paste(
    cropped: Annotated[
        str,
        typer.Argument(metavar="CROPS", help="Changed crops of a clip that `thcli crop` cropped."),
    ],
    frames: Annotated[str, typer.Argument(metavar="FRAMES", help="The clip they come from.")],
    output: Output = None,
    *,
    options: PasteJobOptions,
    show: ShowOptions,
) -> None:
    """Paste changed crops back into their clip."""
    import thcli

    with Console(show) as console:
        report = thcli.paste(cropped, frames, output, options, console)
        console.result(report.as_json(), summary(report))
