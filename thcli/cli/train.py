"""The commands `thcli train MODEL` and `thcli prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from thcli.cli.console import Console
from thcli.cli.flags import flags
from thcli.core.options import (
    A2mTrainOptions,
    AtlasTrainOptions,
    AttributeTrainOptions,
    DiffusedHeadsTrainOptions,
    FaceVid2VidTrainOptions,
    FadmTrainOptions,
    FommTrainOptions,
    IdentityTrainOptions,
    JudgeTrainOptions,
    LabelledTrainOptions,
    ParseTrainOptions,
    PatchTrainOptions,
    PrepareOptions,
    Real3dTrainOptions,
    RemoverTrainOptions,
    ShowOptions,
    TrainOptions,
    X2FaceMapTrainOptions,
    X2FaceTrainOptions,
)

app = typer.Typer(
    help="Train a model on your own data.", no_args_is_help=True, rich_markup_mode=None
)

Dataset = Annotated[
    Path | None,
    typer.Argument(
        help="Dataset of clips from `thcli prepare`, or a folder of videos (optional with --smoke)."
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


@app.command()
@flags
def fomm(
    dataset: Dataset = None,
    *,
    output: Run,
    model: FommTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the first-order motion model."""
    _train("fomm", dataset, output, model, train, show)


@app.command()
@flags
def facevid2vid(
    dataset: Dataset = None,
    *,
    output: Run,
    model: FaceVid2VidTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train face vid2vid."""
    _train("facevid2vid", dataset, output, model, train, show)


@app.command("diffused-heads")
@flags
def diffused_heads(
    dataset: Dataset = None, *, output: Run, train: TrainOptions, show: ShowOptions
) -> None:
    """Train dh-s, the small Diffused Heads (clips with sound)."""
    _train("diffused-heads", dataset, output, None, train, show)


@app.command("diffused-heads-published")
@flags
def diffused_heads_published(
    dataset: Dataset = None,
    *,
    output: Run,
    model: DiffusedHeadsTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Diffused Heads as published (needs its speech encoder, and a GPU)."""
    _train("diffused-heads-published", dataset, output, model, train, show)


@app.command()
@flags
def monkeynet(
    dataset: Dataset = None, *, output: Run, train: TrainOptions, show: ShowOptions
) -> None:
    """Train Monkey-Net."""
    _train("monkeynet", dataset, output, None, train, show)


@app.command()
@flags
def x2face(
    dataset: Dataset = None,
    *,
    output: Run,
    model: X2FaceTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train X2Face; with --identity and --start its second stage."""
    _train("x2face", dataset, output, model, train, show)


@app.command("x2face-pose")
@flags
def x2face_pose(
    dataset: Dataset = None,
    *,
    output: Run,
    model: X2FaceMapTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the maps between X2Face's codes and head poses."""
    _train("x2face-pose", dataset, output, model, train, show)


@app.command("x2face-audio")
@flags
def x2face_audio(
    dataset: Dataset = None,
    *,
    output: Run,
    model: X2FaceMapTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the regression from sound to X2Face's codes (clips with sound)."""
    _train("x2face-audio", dataset, output, model, train, show)


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
    _train("identity", dataset, output, model, train, show)


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
    _train("parse", dataset, output, model, train, show)


@app.command()
@flags
def real3d(
    dataset: Photographs = None,
    *,
    output: Run,
    model: Real3dTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Real3D-Portrait's motion adapter on views of textured heads in motion."""
    _train("real3d", dataset, output, model, train, show)


@app.command("real3d-planes")
@flags
def real3d_planes(
    dataset: Photographs = None,
    *,
    output: Run,
    model: Real3dTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Real3D-Portrait's image-to-plane network on views of textured heads."""
    _train("real3d-planes", dataset, output, model, train, show)


@app.command("real3d-torso")
@flags
def real3d_torso(
    dataset: Photographs = None,
    *,
    output: Run,
    model: Real3dTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Real3D-Portrait's torso, background and super-resolution; the engine loads it."""
    _train("real3d-torso", dataset, output, model, train, show)


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
    _train("judge", dataset, output, model, train, show)


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
    _train("clip", dataset, output, model, train, show)


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
    _train("a2m", dataset, output, model, train, show)


@app.command()
@flags
def dva(
    dataset: Labelled = None,
    *,
    output: Run,
    model: LabelledTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train dva-s, the small diffusion video autoencoder that edits faces."""
    _train("dva", dataset, output, model, train, show)


@app.command()
@flags
def patches(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of talking clips; index.csv (file, speaker) names the speakers "
            "(optional with --smoke)."
        ),
    ] = None,
    *,
    output: Run,
    model: PatchTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the eyes and mouths of the mesh engine (patches-s)."""
    _train("patches", dataset, output, model, train, show)


@app.command()
@flags
def fadm(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of talking clips; index.csv (file, speaker) names the speakers "
            "(optional with --smoke)."
        ),
    ] = None,
    *,
    output: Run,
    model: FadmTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the small refiner (fadm-s): from a coarse frame to the true frame."""
    _train("fadm", dataset, output, model, train, show)


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
    _train("removers", dataset, output, model, train, show)


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


def _train(
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


@flags
def prepare(
    inputs: Annotated[list[Path], typer.Argument(help="Videos, or folders of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the dataset.")],
    *,
    options: PrepareOptions,
    show: ShowOptions,
) -> None:
    """Extract clips of faces from videos: track, crop, resize, index."""
    from thcli.train.data.prepare import prepare as run

    with Console(show) as console:
        report = run(inputs, output, options, console)
        failed = f", {report['failed']} videos could not be used" if report["failed"] else ""
        console.result(
            report,
            f"{output}: {report['clips']} clips, {report['frames']} frames{failed}, "
            f"in {report['seconds']:.1f} s",
        )
