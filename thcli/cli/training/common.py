"""Arguments and the run that all trainings share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.core.options import ShowOptions, TrainOptions

app = typer.Typer(
    help="Train a model on your own data.", no_args_is_help=True, rich_markup_mode=None
)

Dataset = Annotated[
    Path | None,
    typer.Argument(
        help="Dataset of clips from `thcli prepare`, or a folder of videos (optional with --smoke)."
    ),
]
Clips = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of talking clips; index.csv (file, speaker) names the speakers "
        "(optional with --smoke)."
    ),
]
Pairs = Annotated[
    Path | None,
    typer.Argument(
        help="Folder with images/ and masks/ (class numbers), or a folder of such folders "
        "(optional with --smoke)."
    ),
]
Labelled = Annotated[
    Path | None,
    typer.Argument(
        help="Folder with images/, attributes.txt and identities.txt as in CelebA "
        "(optional with --smoke)."
    ),
]
Photographs = Annotated[
    Path | None,
    typer.Argument(help="Folder of photographs with one large face each (optional with --smoke)."),
]
Run = Annotated[
    Path,
    typer.Option("-o", "--output", help="Run folder: log, checkpoints, samples, weights."),
]


@app.callback()
def group() -> None:
    """Train a model on your own data."""


def train_model(
    name: str,
    dataset: Path | None,
    run: Path,
    model_options: Any,
    options: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train a model and print its report."""
    from thcli.train.core.run import train

    with Console(show) as console:
        console.say(f"Log, samples and checkpoints: {run}")
        report = train(name, dataset, run, options, model_options, console)
        losses = ", ".join(f"{key} {value:.4g}" for key, value in report["losses"].items())
        console.result(
            report,
            f"{report['output']}: {report['steps']} updates "
            f"in {report['seconds']:.0f} s ({losses})",
        )
        if report["use"]:
            console.say(f"Use it: {report['use']}")
