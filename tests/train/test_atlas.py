"""Estimation of the atlas: regression, stored measurements and the command."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from thcli.cli.app import run as cli
from thcli.core.errors import MediaError, OutputError, UsageError
from thcli.core.events import silent
from thcli.core.geometry import matrix_from_angles
from thcli.core.options import AtlasTrainOptions
from thcli.core.types import Array, Image
from thcli.editors.atlas import layout, tone
from thcli.editors.shared.celeba import CELEBA
from thcli.evaluate.datasets.labelled_images import LabelledImages
from thcli.motion.canonical import neutral
from thcli.train.atlas.build import directions_from_pairs
from thcli.train.atlas.edits import EDITS, design_matrix, regression_columns
from thcli.train.atlas.measure import HALF, measure_face
from thcli.train.atlas.regress import MeasuredFaces, accumulate, decode_texture, solve
from thcli.train.atlas.store import measure_faces
from thcli.train.atlas.train import RARE, select_images, train_atlas, write_synthetic_faces
from thcli.train.data.face_tools import FaceTools


def rows_of(
    texture: np.ndarray[tuple[int, ...], np.dtype[np.float32]], weights: Image, shapes: Array
) -> MeasuredFaces:
    coded = np.clip(np.rint((texture - tone.LOW) * 255 / (tone.HIGH - tone.LOW)), 0, 255).astype(
        np.uint8
    )
    count = len(texture)
    details = np.zeros((count, layout.ROWS // 2, HALF // 2, 2), np.float16)
    return MeasuredFaces(coded, weights, details, shapes.astype(np.float32))


def test_atlas_regression_separates_correlated_labels() -> None:
    """Check two labels with 80 % agreement; half of the images hide a part of the face."""
    rng = np.random.default_rng(0)
    count = 300
    first = rng.random(count) < 0.5
    second = np.where(rng.random(count) < 0.8, first, ~first)
    table = np.stack([np.ones(count), first, second], 1).astype(np.float32)
    texture = np.full((count, layout.ROWS, HALF, 3), -0.8, np.float32)
    texture[:, :60] += 0.5 * first[:, None, None, None]
    texture[:, 80:120] -= 0.4 * second[:, None, None, None]
    weights = np.full((count, layout.ROWS, HALF), 255, np.uint8)
    hidden = rng.random(count) < 0.5
    weights[hidden, 80:120] = 0
    texture[hidden, 80:120] = -2.0  # must not count
    shapes = np.zeros((count, 468, 3))
    shapes[:, 5] = 0.02 * second[:, None]
    normal = accumulate(rows_of(texture, weights, shapes), table)
    textures, _, moved = solve(normal, [0, 1, 2], [1, 2])
    assert (
        textures[0, 10:50].min() > 0.25 and textures[0, 10:50].max() < 0.5
    )  # the coefficients of 300 faces are reduced
    assert abs(textures[0, 84:116].mean()) < 0.06
    assert abs(textures[1, 10:50].mean()) < 0.06 and textures[1, 84:116].mean() < -0.15
    assert moved[1, 5].min() > 0.015 and abs(moved[0, 5]).max() < 0.003


def test_atlas_design_matrix_has_the_columns_of_every_edit() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random((30, len(CELEBA))) < 0.5
    shapes = np.repeat(neutral()[None], 30, 0)
    table, names = design_matrix(
        labels, rng.normal(0, 5, (30, 3)), shapes, rng.normal(0, 1, (30, 5)).astype(np.float32)
    )
    assert table.shape == (30, len(names)) and (table[:, 0] == 1).all() and np.isfinite(table).all()
    for edit in EDITS.values():
        chosen = [names[i] for i in regression_columns(edit, names)]
        assert chosen[0] == "1" and edit.label in chosen
        assert not set(edit.brings) - {edit.label} & set(chosen)
        assert [name for name in chosen if " x " in name] == [
            f"{edit.label} x {one}" for one in edit.depends
        ] or edit.depends


def test_atlas_directions_from_pairs() -> None:
    texture = np.full((4, layout.ROWS, HALF, 3), -0.8, np.float32)
    texture[[1, 3], 90:110] = -0.5
    shapes = np.repeat(neutral()[None], 4, 0)
    shapes[[1, 3], 61, 1] -= 0.03
    shapes[[1, 3], 291, 1] -= 0.03
    made = directions_from_pairs(
        rows_of(texture, np.full(texture.shape[:3], 255, np.uint8), shapes),
        "smiling",
        [(0, 1), (2, 3)],
    )
    change = made.texture[0] * made.texture_scale[0]
    assert change[95:105].min() > 0.1 and np.abs(change[:80]).max() < 0.01
    assert made.shape[0, 61, 1] < -0.02 and abs(made.shape[0, 5]).max() < 1e-3


def test_atlas_measurement_averages_both_halves() -> None:
    mesh = 60 * neutral() + (128, 110, 0)
    image = np.full((256, 256, 3), 128, np.uint8)
    image[:, 128:] = 64  # lit from one side
    found = measure_face(image, np.asarray(mesh), None)
    skin = decode_texture(found.texture)[60:100, 40:80]
    expected = (tone.to_log(np.array([128], np.uint8)) + tone.to_log(np.array([64], np.uint8)))[
        0
    ] / 2
    assert np.allclose(skin, expected, atol=0.05)
    assert found.weight[60:100, 40:80].min() > 150


def test_atlas_selects_rare_images_first() -> None:
    rng = np.random.default_rng(3)
    labels = np.zeros((200, len(CELEBA)), bool)
    rare = rng.random(200) < 0.2
    labels[:, CELEBA.index(RARE[0])] = rare
    faces = LabelledImages(
        tuple(Path(f"{n}.jpg") for n in range(200)), labels, np.zeros(200, np.int64)
    )
    chosen = select_images(faces, AtlasTrainOptions(pictures=80))
    assert len(chosen) == 80 and chosen.labels.any(1).sum() == rare.sum()
    assert [p.name for p in chosen.paths] == [
        p.name for p in select_images(faces, AtlasTrainOptions(pictures=80)).paths
    ]


class _FakeTools(FaceTools):
    """A tracker whose yaw in degrees is the image's first value minus 100."""

    def mesh(self, image: Image) -> Array | None:
        angle = float(image[0, 0, 0]) - 100
        return (
            None
            if angle > 90
            else np.asarray(60 * neutral() @ matrix_from_angles([0, angle, 0]).T + (128, 110, 0))
        )


def _write_images(folder: Path, angles: list[int]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i}.png" for i in range(len(angles))]
    for path, angle in zip(paths, angles, strict=True):
        cv2.imwrite(str(path), np.full((256, 256, 3), angle + 100, np.uint8))
    return paths


def test_atlas_measurements_are_stored(tmp_path: Path) -> None:
    paths = _write_images(tmp_path / "faces", [0, 60, 10, 120])

    def tools() -> FaceTools:
        return _FakeTools(None, None)  # type: ignore[arg-type]  # a fake without a tracker

    rows, angles, measured = measure_faces(paths, tmp_path / "kept", tools, silent)
    assert (
        measured.tolist() == [0, 2] and len(rows) == 2
    )  # one is rotated too far, one shows no face
    assert np.allclose(angles[:, 1], [0, 10], atol=1e-3)

    def none() -> FaceTools:
        raise AssertionError("nothing is left to measure")

    again, _, _ = measure_faces(paths, tmp_path / "kept", none, silent)
    assert (again.textures == rows.textures).all()
    with pytest.raises(MediaError, match="shows a face"):
        measure_faces(
            _write_images(tmp_path / "aside", [70, 80]), tmp_path / "other", tools, silent
        )


def test_atlas_refuses_invalid_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        train_atlas(None, tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="has neither"):
        train_atlas(tmp_path / "empty", tmp_path / "b")
    with (tmp_path / "empty" / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "person", "expression"], ["x.jpg", "1", "neutral"]])
    with pytest.raises(MediaError, match="no person with"):
        train_atlas(tmp_path / "empty", tmp_path / "c")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "x").touch()
    with pytest.raises(OutputError, match="in use"):
        train_atlas(tmp_path, tmp_path / "used")
    with pytest.raises(UsageError, match="--pictures"):
        AtlasTrainOptions(pictures=0)


def test_atlas_synthetic_faces_have_labels(tmp_path: Path) -> None:
    write_synthetic_faces(tmp_path, 2)
    assert len(list((tmp_path / "images").iterdir())) == 2
    assert len((tmp_path / "attributes.txt").read_text().splitlines()) == 4


def test_atlas_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert cli(["train", "atlas", "--smoke", "-o", str(run), "--json"]) == 0
    assert '"attributes"' in capsys.readouterr().out
    assert (run / "atlas.safetensors").is_file() and (run / "directions.png").is_file()
    assert cli(["train", "atlas", "--smoke", "-o", str(run)]) == 7
    capsys.readouterr()
