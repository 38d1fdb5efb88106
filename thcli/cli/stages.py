"""The stages of the pipeline one by one: `thcli detect | track | fit | crop | align | parse | encode | warp | paste`; they chain through files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
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

if TYPE_CHECKING:
    from thcli.pipeline.job.job import Report

Input = Annotated[str, typer.Argument(help="A picture, video, folder of pictures, or - for stdin.")]
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
        help="Video, picture, GIF, WebP, folder/ of PNGs, or - (default: beside the input).",
    ),
]


@flags
def detect(
    input: Input, output: Lines = None, *, options: DetectOptions, show: ShowOptions
) -> None:
    """Find the faces of every frame: boxes, scores and key points, a line of JSON a frame."""
    from thcli.pipeline.stages.detect_track import detect as run
    from thcli.pipeline.stages.detect_track import only_one_for_stdout

    with Console(show) as console:
        report = run(input, only_one_for_stdout(output, show.as_json), options, console)
        console.result(
            report.as_json(),
            _said(report, f"{report.details.get('detections')} faces in {report.frames} frames"),
        )


@flags
def track(video: Input, output: Lines = None, *, options: TrackOptions, show: ShowOptions) -> None:
    """Follow every face through a clip: a stable number each, box and points, a line of JSON a frame."""
    from thcli.pipeline.stages.detect_track import only_one_for_stdout
    from thcli.pipeline.stages.detect_track import track as run

    with Console(show) as console:
        report = run(video, only_one_for_stdout(output, show.as_json), options, console)
        console.result(
            report.as_json(), _said(report, f"{report.faces} faces in {report.frames} frames")
        )
        for row in report.details.get("tracks", ()):
            choice = f" (--face {row['face']})" if row["face"] is not None else ""
            console.say(
                f"track {row['track']}{choice}: {row['frames']} frames, about {row['area']} square pixels"
            )


@flags
def fit(
    input: Input,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="NAME.csv, NAME.jsonl or NAME.safetensors (default: JSON Lines on stdout; with --json only the summary goes there).",
        ),
    ] = None,
    *,
    options: FitOptions,
    show: ShowOptions,
) -> None:
    """Fit a 3-D model to one face: pose in degrees, identity and expression of every frame."""
    from thcli.pipeline.stages.detect_track import only_one_for_stdout
    from thcli.pipeline.stages.fit import fit as run

    with Console(show) as console:
        report = run(input, only_one_for_stdout(output, show.as_json), options, console)
        unseen = f", {report.passed_through} without the face" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} frames{unseen}"))
        for name, turn in report.details.get("pose", {}).items():
            console.say(
                f"{name}: {turn['mean']} degrees on average, {turn['min']} to {turn['max']}"
            )


@flags
def crop(video: Input, output: Output = None, *, options: CropOptions, show: ShowOptions) -> None:
    """Cut a calm, square crop of one face out of a clip; where it lay goes to NAME.crops.safetensors."""
    from thcli.pipeline.stages.crop_align import crop as run

    with Console(show) as console:
        report = run(video, output, options, console)
        unseen = f", {report.passed_through} without the face" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} frames{unseen}"))


@flags
def align(input: Input, output: Output = None, *, options: AlignOptions, show: ShowOptions) -> None:
    """Cut faces out of pictures, each by itself, as face networks want them."""
    from thcli.pipeline.stages.crop_align import align as run

    with Console(show) as console:
        report = run(input, output, options, console)
        unseen = f", {report.passed_through} without a face" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} faces{unseen}"))


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
    """Take the motion of one face out of a clip, as a small file that `warp` and `reenact` can be driven with."""
    from thcli.pipeline.stages.encode_warp import encode as run

    with Console(show) as console:
        report = run(video, output, options, console)
        unseen = f", {report.passed_through} without the face" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} frames{unseen}"))


@flags
def warp(
    source: Annotated[
        str, typer.Argument(help="The face: a picture, or a video (its first good frame).")
    ],
    driving: Annotated[
        str, typer.Argument(metavar="MOTION", help="A motion file, as `thcli encode` writes it.")
    ],
    output: Output = None,
    *,
    options: WarpOptions,
    show: ShowOptions,
) -> None:
    """Move a face by a motion file: the engine alone."""
    from thcli.pipeline.stages.encode_warp import warp as run

    with Console(show) as console:
        report = run(source, driving, output, options, console)
        console.result(report.as_json(), _said(report, f"{report.frames} frames"))


@flags
def parse(
    input: Input,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder/ or NAME.png, a video for a mask or an overlay (default: beside the input).",
        ),
    ] = None,
    *,
    options: ParseOptions,
    show: ShowOptions,
) -> None:
    """Divide faces into their regions (skin, eyes, lips, hair …): label pictures, a soft mask, or an overlay."""
    from thcli.pipeline.stages.parse import parse as run

    with Console(show) as console:
        report = run(input, output, options, console)
        unseen = f", {report.passed_through} without a face" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} frames{unseen}"))


@flags
def paste(
    cropped: Annotated[
        str,
        typer.Argument(
            metavar="CROPS",
            help="Changed crops: what `thcli crop` wrote, after whatever you did to it.",
        ),
    ],
    frames: Annotated[str, typer.Argument(help="What they were cropped from.")],
    output: Output = None,
    *,
    options: PasteJobOptions,
    show: ShowOptions,
) -> None:
    """Put changed crops back into the clip that they were cut out of."""
    from thcli.pipeline.stages.paste import paste as run

    with Console(show) as console:
        report = run(cropped, frames, output, options, console)
        left = f", {report.passed_through} as they were" if report.passed_through else ""
        console.result(report.as_json(), _said(report, f"{report.frames} frames{left}"))


def _said(report: Report, what: str) -> str:
    dry = "would write " if report.details.get("dry_run") else ""
    where = f"{dry}{report.output}: " if report.output and str(report.output) != "-" else dry
    return f"{where}{what} in {report.seconds:.1f} s"
