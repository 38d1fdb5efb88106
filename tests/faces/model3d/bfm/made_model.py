"""Face model of the Basel Face Model's layout, made from the house's neutral 468-point mesh.

It stands for the licensed model in tests. Its bases are smooth random displacements.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import savemat

from thcli.core.types import Array
from thcli.faces.landmarks.landmarks68 import INNER_POINTS, JAW_LEFT, JAW_RIGHT
from thcli.faces.landmarks.topology import EYE_TRIANGLES, MOUTH_TRIANGLES, TRIANGLES
from thcli.faces.model3d.bfm.model import (
    EXPRESSIONS,
    IDENTITIES,
    UNMATCHED_POINTS,
    FaceModel3D,
    Indices,
)
from thcli.motion.canonical import neutral

EYE_DISTANCE = 0.95  # decimetres between the outer eye corners


def made_model(divisions: int = 1, seed: int = 0) -> FaceModel3D:
    """Return a made face model.

    Args:
        divisions: parts of each edge of the 468-point mesh; 1 gives 468 vertices and 898
            triangles, 9 gives 36,532 and 72,738 (the Basel Face Model: 35,709 and 70,789).
        seed: of the bases.
    """
    coarse = EYE_DISTANCE * neutral() * [1, -1, -1]
    eyes = len(EYE_TRIANGLES)
    coarse_triangles = np.concatenate([EYE_TRIANGLES, MOUTH_TRIANGLES, TRIANGLES]).astype(np.int64)
    points, triangles = _subdivide(coarse, coarse_triangles, divisions)
    opening = eyes * divisions**2
    # eye triangles inside the list, as in the Basel Face Model
    order = np.roll(np.arange(len(triangles)), opening)
    triangles, is_eye = triangles[order], order < opening
    mean = points - points.mean(0)
    low, high = mean.min(0), mean.max(0)
    rng = np.random.default_rng(seed)
    jaw = np.concatenate([_spread(JAW_LEFT, 9), _spread(JAW_RIGHT, 9)[-2::-1]])
    mp468 = np.arange(len(coarse))
    mp468[list(UNMATCHED_POINTS)] = 0
    return FaceModel3D(
        mean=mean.astype(np.float32),
        id_base=_smooth_fields(mean, IDENTITIES, 0.04, 0.6, rng).astype(np.float32),
        exp_base=_smooth_fields(mean, EXPRESSIONS, 0.03, 0.25, rng).astype(np.float32),
        triangles=triangles,
        open_triangles=triangles[~is_eye],
        keypoints68=np.concatenate([jaw, INNER_POINTS]).astype(np.int64),
        mp468=mp468,
        ncc=((mean - low) / (high - low)).astype(np.float32),
    )


def _spread(line: npt.NDArray[np.int32], count: int) -> Indices:
    """Return `count` points of a polyline of mesh points, ends included."""
    chosen = np.round(np.linspace(0, len(line) - 1, count)).astype(int)
    return np.asarray(line[chosen], np.int64)


def _subdivide(points: Array, triangles: Indices, parts: int) -> tuple[Array, Indices]:
    """Divide every edge into equal parts; the first vertices are the old ones."""
    corners = [
        (i, j, parts - i - j) for i in range(parts, -1, -1) for j in range(parts - i, -1, -1)
    ]
    place = {corner: k for k, corner in enumerate(corners)}
    local = []
    for i in range(parts):
        for j in range(parts - i):
            k = parts - i - j - 1
            local.append([place[i + 1, j, k], place[i, j + 1, k], place[i, j, k + 1]])
            if k:
                local.append([place[i + 1, j, k], place[i + 1, j + 1, k - 1], place[i, j + 1, k]])
    fixed = np.array(local)
    vertices: dict[tuple[tuple[int, int], ...], int] = {
        ((v, parts),): v for v in range(len(points))
    }
    positions, rows = list(points), []
    for triangle in triangles:
        row = []
        for corner in corners:
            shares = zip(triangle.tolist(), corner, strict=True)
            key = tuple(sorted((v, n) for v, n in shares if n))
            if key not in vertices:
                vertices[key] = len(positions)
                positions.append(sum(points[v] * (n / parts) for v, n in key))
            row.append(vertices[key])
        rows.append(np.array(row)[fixed])
    return np.array(positions), np.concatenate(rows).astype(np.int64)


def _smooth_fields(
    points: Array, count: int, size: float, width: float, rng: np.random.Generator
) -> Array:
    """Return displacements (N, 3, count): for each coefficient some random Gaussian bumps.

    Args:
        points: (N, 3) decimetres.
        count: number of coefficients; later ones move less.
        size: largest displacement of the first coefficient, decimetres.
        width: deviation of a bump, decimetres.
        rng: random generator.
    """
    out = np.empty((len(points), 3, count))
    for k in range(count):
        centres = points[rng.integers(0, min(len(points), 468), 4)]
        squared = ((points[:, None] - centres) ** 2).sum(-1)
        field = np.exp(-squared / (2 * width**2)) @ rng.standard_normal((4, 3))
        out[:, :, k] = field * (size / np.sqrt(1 + k / 8) / np.abs(field).max())
    return out


def write_files(model: FaceModel3D, folder: Path) -> None:
    """Write a model as the files that a user of the Basel Face Model has."""
    count = len(model.mean)
    opened = {tuple(row) for row in model.open_triangles.tolist()}
    closing = np.array([tuple(row) not in opened for row in model.triangles.tolist()])
    faces = np.flatnonzero(closing) + 1
    index = model.mp468.copy()
    index[list(UNMATCHED_POINTS)] = -1
    (folder / "BFM").mkdir(parents=True)
    savemat(
        folder / "BFM" / "BFM_model_front.mat",
        {
            "meanshape": (model.mean + np.array([0.1, 0.2, 0.3])).reshape(1, -1).astype(np.float64),
            "idBase": model.id_base.reshape(3 * count, -1),
            "exBase": model.exp_base.reshape(3 * count, -1),
            "texBase": np.zeros((3 * count, 2)),
            "tri": (model.triangles + 1).astype(np.float64),
            "keypoints": (model.keypoints68 + 1).astype(np.float64)[None],
        },
        do_compression=True,
    )
    np.save(folder / "BFM" / "index_mp468_from_mesh35709_v3.1.npy", index)
    np.save(folder / "ncc_code.npy", np.asfortranarray(model.ncc.T))
    np.save(folder / "bfm_left_eye_faces.npy", faces[::2])
    np.save(folder / "bfm_right_eye_faces.npy", faces[1::2])
