"""What fadm-s reads of a face instead of DECA's numbers: expression and turn of the free 3-D model of the 468 points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Face
from thcli.motion.model3d import EXPRESSION, describe

COUNT = len(EXPRESSION) + 3


def numbers_of(mesh: npt.ArrayLike) -> Array32:
    """(..., 22) expression and rotation vector of meshes (..., 468, 3) in pixels."""
    points = np.asarray(mesh, np.float64)
    found = describe(points.reshape(-1, *points.shape[-2:]))
    rows = np.concatenate([found.expression, found.rotation], 1).astype(np.float32)
    return rows.reshape(*points.shape[:-2], COUNT)


def numbers_of_faces(faces: Sequence[Face | None]) -> Array32:
    """(N, 22); not a number for a face that was not seen, or has no mesh."""
    out = np.full((len(faces), COUNT), np.nan, np.float32)
    for row, face in zip(out, faces, strict=True):
        if face is not None and face.mesh is not None:
            row[:] = numbers_of(face.mesh)
    return out
