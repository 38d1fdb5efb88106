"""Import of the Basel Face Model's files: conversion, refused files, the command."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tests.faces.model3d.bfm.made_model import made_model, write_files
from thcli.cli.app import run as thcli
from thcli.core.errors import WeightsError
from thcli.core.options import RunOptions
from thcli.faces.model3d.bfm import model as bfm
from thcli.faces.model3d.bfm.convert import convert_folder, mesh_arrays, read_model
from thcli.faces.model3d.bfm.model import UNMATCHED_POINTS, FaceModel3D
from thcli.weights import load_tensors

MAT = "BFM/BFM_model_front.mat"


@pytest.fixture(scope="module")
def model() -> FaceModel3D:
    return made_model()


@pytest.fixture
def folder(model: FaceModel3D, tmp_path: Path) -> Path:
    write_files(model, tmp_path / "deep_3drecon")
    return tmp_path / "deep_3drecon"


def test_files_are_read(model: FaceModel3D, folder: Path) -> None:
    """Indices count from 0, the mean is centred, the eyes are opened, -1 becomes vertex 0."""
    found = read_model(folder)
    np.testing.assert_allclose(found.mean, model.mean - model.mean.mean(0), atol=1e-6)
    for name in ("id_base", "exp_base", "ncc"):
        np.testing.assert_allclose(getattr(found, name), getattr(model, name), atol=1e-7)
    for name in ("triangles", "open_triangles", "keypoints68", "mp468"):
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    assert (found.mp468[list(UNMATCHED_POINTS)] == 0).all()
    assert len(found.triangles) - len(found.open_triangles) == 28
    np.testing.assert_array_equal(found.torso_keypoints68, model.keypoints68 + 1)


def test_points_without_a_vertex_move_with_their_neighbours(model: FaceModel3D) -> None:
    arrays = mesh_arrays(model)
    mean, expression = (np.asarray(arrays[f"mesh.{n}"], float) for n in ("mean", "expression"))
    matched = np.setdiff1d(np.arange(468), UNMATCHED_POINTS)
    np.testing.assert_array_equal(mean[matched], model.mean[matched])
    np.testing.assert_array_equal(expression[matched], model.exp_base[matched])
    lost = list(UNMATCHED_POINTS)  # the made model's own vertices are the truth
    assert np.abs(mean[lost] - model.mean[lost]).max() < 0.3
    assert np.abs(expression[lost] - model.exp_base[lost]).max() < 0.02


def test_the_command_imports_and_the_model_loads(
    model: FaceModel3D, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THCLI_WEIGHTS", str(tmp_path / "cache"))
    run = RunOptions(device="cpu")
    with pytest.raises(WeightsError, match=r"faces\.dmi\.unibas\.ch") as caught:
        bfm.load(run)
    assert caught.value.exit_code == 5
    assert "thcli weights import bfm FOLDER --trust" in caught.value.hint
    with pytest.raises(WeightsError, match="--licence free"):
        bfm.load(RunOptions(device="cpu", licence="free"))
    assert thcli(["weights", "import", "bfm", str(folder)]) == 5  # no published hash
    assert thcli(["weights", "import", "bfm", str(folder), "--trust"]) == 0
    loaded = bfm.load(run)
    np.testing.assert_allclose(loaded.exp_base, model.exp_base, atol=1e-7)
    assert set(load_tensors("bfm", "numpy", prefix="mesh.")) == {"mean", "expression"}
    (cached,) = (tmp_path / "cache" / "bfm").glob("*bfm*")
    first = cached.read_bytes()
    # the same folder again, and the converted file itself, are the same weights
    assert thcli(["weights", "import", "bfm", str(folder)]) == 0
    assert cached.read_bytes() == first
    (tmp_path / "copy.safetensors").write_bytes(first)
    assert thcli(["weights", "import", "bfm", str(tmp_path / "copy.safetensors")]) == 0


def change(folder: Path, **matrices: object) -> None:
    table = {k: v for k, v in loadmat(folder / MAT).items() if not k.startswith("__")}
    table.update(matrices)
    savemat(folder / MAT, {k: v for k, v in table.items() if v is not None})


def test_missing_and_damaged_files_are_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.safetensors"
    (folder / "ncc_code.npy").rename(tmp_path / "ncc.npy")
    with pytest.raises(WeightsError, match=r"no file ncc_code\.npy"):
        convert_folder(folder, target)
    with (folder / "ncc_code.npy").open("wb") as stream:
        np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(WeightsError, match="not a plain NumPy array"):
        convert_folder(folder, target)
    (folder / "ncc_code.npy").write_bytes(pickle.dumps([1]))
    with pytest.raises(WeightsError, match="not a plain NumPy array"):
        convert_folder(folder, target)
    (tmp_path / "ncc.npy").rename(folder / "ncc_code.npy")
    whole = (folder / MAT).read_bytes()
    for content in (b"", b"x" * 200, whole[:300], whole[: len(whole) // 2]):
        (folder / MAT).write_bytes(content)
        with pytest.raises(WeightsError, match=r"BFM_model_front\.mat"):
            convert_folder(folder, target)
    assert not target.exists()


def test_other_layouts_are_refused(folder: Path, model: FaceModel3D, tmp_path: Path) -> None:
    """Each wrong matrix is named; nothing is written."""
    whole, target = (folder / MAT).read_bytes(), tmp_path / "out.safetensors"
    wrong: dict[str, tuple[object, str]] = {
        "idBase": (np.zeros((3 * 468, 79)), "idBase is"),
        "exBase": (None, "no matrix of numbers 'exBase'"),
        "keypoints": (np.arange(67)[None], "keypoints is"),
        "tri": (model.triangles + 500, "triangles has an index outside"),
        "meanshape": (np.full((1, 3 * 468), np.nan), "not finite"),
    }
    for name, (matrix, message) in wrong.items():
        (folder / MAT).write_bytes(whole)
        change(folder, **{name: matrix})
        with pytest.raises(WeightsError, match=message):
            convert_folder(folder, target)
    (folder / MAT).write_bytes(whole)
    change(folder, tri=model.triangles + 1.5)
    with pytest.raises(WeightsError, match="not whole"):
        convert_folder(folder, target)
    (folder / MAT).write_bytes(whole)
    np.save(folder / "bfm_left_eye_faces.npy", np.array([5000]))
    with pytest.raises(WeightsError, match="eyes"):
        convert_folder(folder, target)
    assert not target.exists()


def test_a_landmark_needs_a_next_vertex(model: FaceModel3D) -> None:
    """The last vertex is no landmark: the torso's landmarks are the vertices after."""
    arrays = model.arrays()
    keypoints = model.keypoints68.copy()
    keypoints[3] = len(model.mean) - 1
    with pytest.raises(WeightsError, match="keypoints68 has an index outside"):
        FaceModel3D.from_arrays({**arrays, "keypoints68": keypoints})


def test_shapes(model: FaceModel3D) -> None:
    """Shapes are linear in the coefficients, and landmarks are vertices."""
    rng = np.random.default_rng(0)
    identity, expression = rng.standard_normal(80), rng.standard_normal((3, 64))
    shapes = model.vertices(identity, expression)
    wanted = model.mean + model.id_base @ identity
    wanted = wanted + np.einsum("nck,bk->bnc", model.exp_base, expression)
    np.testing.assert_allclose(shapes, wanted, atol=1e-5)
    for found, chosen in (
        (model.landmarks68(identity, expression), model.keypoints68),
        (model.landmarks68(identity, expression, torso=True), model.keypoints68 + 1),
        (model.points468(identity, expression), model.mp468),
    ):
        np.testing.assert_allclose(found, wanted[:, chosen], atol=1e-5)
    np.testing.assert_allclose(
        model.idexp_lm3d(identity, expression),
        10 * (wanted - model.mean)[:, model.mp468],
        atol=1e-4,
    )
