"""Face attributes of fadm-s in place of DECA's.

They are expression and rotation of the free 3-D model of the 468 points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Face
from thcli.motion.model3d import EXPRESSION_NAMES, fit_coefficients

ATTRIBUTE_COUNT = len(EXPRESSION_NAMES) + 3


def mesh_attributes(mesh: npt.ArrayLike) -> Array32:
    """Compute expression and rotation vector (..., 22) of meshes (..., 468, 3) in pixels."""
    points = np.asarray(mesh, np.float64)
    found = fit_coefficients(points.reshape(-1, *points.shape[-2:]))
    rows = np.concatenate([found.expression, found.rotation], 1).astype(np.float32)
    return rows.reshape(*points.shape[:-2], ATTRIBUTE_COUNT)


def face_attributes(faces: Sequence[Face | None]) -> Array32:
    """Compute the attributes (N, 22) of faces; NaN for a missing face or one without a mesh."""
    out = np.full((len(faces), ATTRIBUTE_COUNT), np.nan, np.float32)
    for row, face in zip(out, faces, strict=True):
        if face is not None and face.mesh is not None:
            row[:] = mesh_attributes(face.mesh)
    return out
