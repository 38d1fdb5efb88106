"""Mesh of a face that a painter draws on."""

from __future__ import annotations

import numpy as np

from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Face


def mesh_of(face: Face) -> Array:
    """Return the points (468, 3) of a face. Raises NoFaceError without a mesh."""
    if face.mesh is None:
        raise NoFaceError(
            "The face has no mesh.", "Use a landmarker that fits one: --landmarker facemesh."
        )
    return np.asarray(face.mesh, np.float64)
