"""`thcli train` of the papers' models."""

from __future__ import annotations

from thcli.cli.flags import flags
from thcli.cli.training.common import Dataset, Labelled, Photographs, Run, app, train_model
from thcli.core.options import (
    A2mPublishedTrainOptions,
    DiffusedHeadsTrainOptions,
    DvaPublishedTrainOptions,
    FaceVid2VidTrainOptions,
    FadmPublishedTrainOptions,
    FommTrainOptions,
    MonkeyNetTrainOptions,
    Real3dAdapterTrainOptions,
    Real3dTrainOptions,
    ShowOptions,
    TrainOptions,
    X2FaceMapTrainOptions,
    X2FaceTrainOptions,
)


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
    train_model("fomm", dataset, output, model, train, show)


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
    train_model("facevid2vid", dataset, output, model, train, show)


@app.command()
@flags
def monkeynet(
    dataset: Dataset = None,
    *,
    output: Run,
    model: MonkeyNetTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Monkey-Net."""
    train_model("monkeynet", dataset, output, model, train, show)


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
    train_model("x2face", dataset, output, model, train, show)


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
    train_model("x2face-pose", dataset, output, model, train, show)


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
    train_model("x2face-audio", dataset, output, model, train, show)


@app.command("fadm-published")
@flags
def fadm_published(
    dataset: Dataset = None,
    *,
    output: Run,
    model: FadmPublishedTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the refiner FADM as published (talking clips; needs DECA, and a GPU)."""
    train_model("fadm-published", dataset, output, model, train, show)


@app.command("dva-published")
@flags
def dva_published(
    dataset: Labelled = None,
    *,
    output: Run,
    model: DvaPublishedTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the editor dva as published (labelled faces; needs its encoders, and a GPU)."""
    train_model("dva-published", dataset, output, model, train, show)


@app.command("a2m-published")
@flags
def a2m_published(
    dataset: Dataset = None,
    *,
    output: Run,
    model: A2mPublishedTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train the voice real3d as published (clips with sound; needs HuBERT and BFM)."""
    train_model("a2m-published", dataset, output, model, train, show)


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
    train_model("diffused-heads-published", dataset, output, model, train, show)


@app.command()
@flags
def real3d(
    dataset: Photographs = None,
    *,
    output: Run,
    model: Real3dAdapterTrainOptions,
    train: TrainOptions,
    show: ShowOptions,
) -> None:
    """Train Real3D-Portrait's motion adapter on views of textured heads in motion."""
    train_model("real3d", dataset, output, model, train, show)


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
    train_model("real3d-planes", dataset, output, model, train, show)


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
    train_model("real3d-torso", dataset, output, model, train, show)
