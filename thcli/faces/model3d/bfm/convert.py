"""Conversion of a user's Basel Face Model files to one file of safetensors.

The files are those of Real3D-Portrait (yerfor/Real3DPortrait, deep_3drecon) and Deep3DFaceRecon
(sicxu/Deep3DFaceRecon_pytorch, util/load_mats.py), which makes BFM_model_front.mat from the
licensed model:

BFM_model_front.mat   meanshape (1, 3N), idBase (3N, 80), exBase (3N, 64), tri (F, 3), keypoints
                      (1, 68); indices count from 1
index_mp468_from_mesh35709*.npy   (468,) vertices of the 468-point mesh, negative for none
ncc_code.npy          (3, N) normalised coordinates
bfm_left_eye_faces.npy, bfm_right_eye_faces.npy   triangles that close an eye, counted from 1

Arrays are read without running code of the files: pickled objects are refused.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from thcli.core.errors import WeightsError
from thcli.core.types import AnyArray, Array
from thcli.faces.landmarks.topology import TRIANGLES
from thcli.faces.model3d.bfm.model import (
    EXPRESSIONS,
    IDENTITIES,
    MESH_PREFIX,
    UNMATCHED_POINTS,
    WEIGHTS,
    FaceModel3D,
    Indices,
)

MODEL_FILE = "BFM_model_front.mat"
INDEX_FILES = (
    "index_mp468_from_mesh35709_v3.1.npy",
    "index_mp468_from_mesh35709.npy",
)
"""Names of the file of mesh points; the first one that exists is read."""
COLOUR_FILE = "ncc_code.npy"
EYE_FILES = ("bfm_left_eye_faces.npy", "bfm_right_eye_faces.npy")
_MATRICES = ("meanshape", "idBase", "exBase", "tri", "keypoints")


def convert_folder(folder: Path, target: Path) -> None:
    """Convert the files in a folder, or in folders below it, to one file of safetensors.

    Raises:
        WeightsError: a file is missing, cannot be read, or has another layout.
    """
    from safetensors.numpy import save

    model = read_model(folder)
    target.write_bytes(save({**model.arrays(), **mesh_arrays(model)}))


def read_model(folder: Path) -> FaceModel3D:
    """Read the face model from a user's files. Raises WeightsError as `convert_folder` does."""
    matrices = _read_mat(_find(folder, (MODEL_FILE,)))
    index = _read_npy(_find(folder, INDEX_FILES))
    colours = _read_npy(_find(folder, (COLOUR_FILE,)))
    eyes = [_read_npy(_find(folder, (name,))) for name in EYE_FILES]
    mean = np.asarray(matrices["meanshape"], np.float64).reshape(-1)
    count = len(mean) // 3
    for name, array, shape in (
        ("meanshape", mean, (3 * count,)),
        ("idBase", matrices["idBase"], (3 * count, IDENTITIES)),
        ("exBase", matrices["exBase"], (3 * count, EXPRESSIONS)),
        (COLOUR_FILE, colours, (3, count)),
        ("keypoints", matrices["keypoints"].reshape(-1), (68,)),
        ("index_mp468", index, (468,)),
    ):
        if array.shape != shape:
            raise WeightsError(f"{WEIGHTS}: {name} is {array.shape} instead of {shape}.")
    triangles = _whole_numbers("tri", matrices["tri"]) - 1
    closing = _whole_numbers("eye faces", np.concatenate([eye.reshape(-1) for eye in eyes])) - 1
    if triangles.ndim != 2 or closing.min() < 0 or closing.max() >= len(triangles):
        raise WeightsError(f"{WEIGHTS}: the eyes' triangles are not among those of {MODEL_FILE}.")
    points = mean.reshape(-1, 3)
    arrays: dict[str, AnyArray] = {
        "mean": (points - points.mean(0)).astype(np.float32),
        "id_base": np.asarray(matrices["idBase"], np.float32).reshape(count, 3, IDENTITIES),
        "exp_base": np.asarray(matrices["exBase"], np.float32).reshape(count, 3, EXPRESSIONS),
        "triangles": triangles,
        "open_triangles": np.delete(triangles, np.unique(closing), axis=0),
        "keypoints68": _whole_numbers("keypoints", matrices["keypoints"]).reshape(-1) - 1,
        "mp468": np.maximum(_whole_numbers("index_mp468", index), 0),
        "ncc": np.ascontiguousarray(colours.T, np.float32),
    }
    for name in ("mean", "id_base", "exp_base", "ncc"):
        if not np.isfinite(arrays[name].astype(np.float32)).all():
            raise WeightsError(f"{WEIGHTS}: {name} has numbers that are not finite.")
    return FaceModel3D.from_arrays(arrays)


def mesh_arrays(model: FaceModel3D) -> dict[str, AnyArray]:
    """Return the mean (468, 3) and the expressions (468, 3, 64) at the points of the mesh.

    Points without a vertex get the mean of their neighbours in the mesh.
    """
    mean = model.mean[model.mp468].copy()
    expression = model.exp_base[model.mp468].copy()
    for point in UNMATCHED_POINTS:
        near = np.unique(TRIANGLES[np.isin(TRIANGLES, point).any(1)])
        near = np.setdiff1d(near, UNMATCHED_POINTS)
        mean[point], expression[point] = mean[near].mean(0), expression[near].mean(0)
    return {f"{MESH_PREFIX}mean": mean, f"{MESH_PREFIX}expression": expression}


def _find(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the first file of these names in a folder or below it."""
    for name in names:
        found = sorted(path for path in folder.rglob(name) if path.is_file())
        if found:
            return found[0]
    raise WeightsError(
        f"{folder} has no file {names[0]}.",
        "See 'thcli weights list --json': the row bfm says where its files are from.",
    )


def _read_npy(path: Path) -> npt.NDArray[np.generic]:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise WeightsError(f"{path} is not a plain NumPy array: {exc}.") from exc
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise WeightsError(f"{path} is not an array of numbers.")
    return array


def _read_mat(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Return the needed matrices of a MATLAB file (version 5, not HDF5)."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        table = loadmat(path, variable_names=_MATRICES)
    except (
        MatReadError,
        NotImplementedError,
        OSError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        EOFError,
        zlib.error,
    ) as exc:
        raise WeightsError(f"{path} is not a MATLAB file that can be read: {exc}.") from exc
    matrices: dict[str, npt.NDArray[np.generic]] = {}
    for name in _MATRICES:
        array = table.get(name)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise WeightsError(f"{path} has no matrix of numbers {name!r}.")
        matrices[name] = array
    return matrices


def _whole_numbers(name: str, values: AnyArray) -> Indices:
    numbers: Array = np.asarray(values, np.float64)
    if not (np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()):
        raise WeightsError(f"{WEIGHTS}: {name} has numbers that are not whole.")
    return numbers.astype(np.int64)
