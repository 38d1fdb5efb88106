"""`thcli train` of the small models that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.cli.training.common import Clips, Dataset, Labelled, Pairs, Run, app, train_model
from thcli.core.options import (
    A2mTrainOptions,
    AtlasTrainOptions,
    AttributeTrainOptions,
    DvaTrainOptions,
    FadmTrainOptions,
    IdentityTrainOptions,
    JudgeTrainOptions,
    LabelledTrainOptions,
    MouthTrainOptions,
    ParseTrainOptions,
    PatchTrainOptions,
    RemoverTrainOptions,
    ResshiftTrainOptions,
    ShowOptions,
    TrainOptions,
)


@app.command("diffused-heads")
@flags
def diffused_heads(
    dataset: Dataset = None, *, output: Run, train: TrainOptions, show: ShowOptions
) -> None:
    """Train dh-s, the small Diffused Heads (clips with sound)."""
    train_model("diffused-heads", dataset, output, None, train, show)


@app.command()
@flags
def a2m(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of talking clips with sound; index.csv (file, speaker) names the speakers "
            "(optional with --smoke)."
        ),
    ] = None,
    *,
    output: Run,
    model: A2mTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the default voice (a2m-s): from sound to mouth motion."""
    train_model("a2m", dataset, output, model, train, show)


@app.command()
@flags
def patches(
    dataset: Clips = None,
    *,
    output: Run,
    model: PatchTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the eyes and mouths of the mesh engine (patches-s)."""
    train_model("patches", dataset, output, model, train, show)


@app.command()
@flags
def mouths(
    dataset: Pairs = None,
    *,
    output: Run,
    model: MouthTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the insides of mouths of the mesh engine (mouths-s)."""
    train_model("mouths", dataset, output, model, train, show)


@app.command()
@flags
def fadm(
    dataset: Clips = None,
    *,
    output: Run,
    model: FadmTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the small refiner (fadm-s): from a coarse frame to the true frame."""
    train_model("fadm", dataset, output, model, train, show)


@app.command()
@flags
def resshift(
    dataset: Clips = None,
    *,
    output: Run,
    model: ResshiftTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the refiner resshift-s: from a crop with the source's detail to the true crop."""
    train_model("resshift", dataset, output, model, train, show)


@app.command()
@flags
def atlas(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of faces with CelebA's labels (images/, attributes.txt, identities.txt), "
            "or of pairs of a neutral and a smiling image (index.csv) (optional with --smoke)."
        ),
    ] = None,
    *,
    output: Run,
    options: AtlasTrainOptions,
    show: ShowOptions,
) -> None:
    """Estimate the atlas of attributes (atlas-s): their changes of shape and colour."""
    from thcli.train.atlas.train import train_atlas

    with Console(show) as console:
        report = train_atlas(folder, output, options, console)
        console.result(
            report,
            f"{report['output']}: {len(report['attributes'])} attributes "
            f"from {report['pictures']} images in {report['seconds']:.0f} s",
        )


@app.command()
@flags
def removers(
    dataset: Labelled = None,
    *,
    output: Run,
    model: RemoverTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the network that removes glasses, beards and make-up (removers-s)."""
    train_model("removers", dataset, output, model, train, show)


@app.command()
@flags
def dva(
    dataset: Labelled = None,
    *,
    output: Run,
    model: DvaTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train dva-s, the small diffusion video autoencoder that edits faces."""
    train_model("dva", dataset, output, model, train, show)


@app.command()
@flags
def attributes(
    dataset: Annotated[
        Path,
        typer.Argument(help="Folder with images/, attributes.txt and identities.txt as in CelebA."),
    ],
    *,
    output: Run,
    model: AttributeTrainOptions,
    show: ShowOptions,
) -> None:
    """Fit attribute directions in an editor's identity space, for `thcli edit --attr`."""
    from thcli.train.dva.attribute_directions import fit_attribute_directions

    with Console(show) as console:
        report = fit_attribute_directions(dataset, output, model, console)
        console.result(
            report,
            f"{report['output']}: {report['faces']} faces; mean AUC of the 40 directions "
            f"on {report['tested']} held-out faces: {report['auc']:.3f}",
        )


@app.command()
@flags
def clip(
    dataset: Labelled = None,
    *,
    output: Run,
    model: LabelledTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the small image-text model for faces (clip-s), which text edits use."""
    train_model("clip", dataset, output, model, train, show)


@app.command()
@flags
def identity(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Folder with one folder of aligned faces per person (optional with --smoke)."
        ),
    ] = None,
    *,
    output: Run,
    model: IdentityTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the face recognition network (identity-s)."""
    train_model("identity", dataset, output, model, train, show)


@app.command()
@flags
def parse(
    dataset: Pairs = None,
    *,
    output: Run,
    model: ParseTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the face parser (parse-s): 19 regions of a face."""
    train_model("parse", dataset, output, model, train, show)


@app.command()
@flags
def judge(
    dataset: Labelled = None,
    *,
    output: Run,
    model: JudgeTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the classifier of 40 attributes that evaluates edits (attributes-judge)."""
    train_model("judge", dataset, output, model, train, show)
