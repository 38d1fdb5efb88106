"""What the renderer derives from the mesh's topology: rings that run from the picture's left to its right, the triangles that it draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.landmarks import topology

Indices = npt.NDArray[np.int32]

LEFT_EYE = topology.EYES[0]
RIGHT_EYE = np.concatenate([topology.EYES[1][8::-1], topology.EYES[1][:8:-1]])
EYES = (LEFT_EYE, RIGHT_EYE)
"""Rings of 16: the corner on the picture's left, the lower lid, the other corner, the upper lid back."""
LIPS = topology.LIPS_INNER

EYE_TRIANGLES = len(topology.EYE_TRIANGLES)
TRIANGLES: Indices = np.concatenate(
    [topology.EYE_TRIANGLES, topology.MOUTH_TRIANGLES, topology.TRIANGLES]
)
"""Those that fill the eyes, then those that fill the mouth, then the face."""
HOLES = EYE_TRIANGLES + len(topology.MOUTH_TRIANGLES)

RIGID: Indices = np.flatnonzero(topology.RIGID_WEIGHTS).astype(np.int32)
RIGID_WEIGHTS: Array = topology.RIGID_WEIGHTS[RIGID]
FOREHEAD, CHIN = 10, 152


def doubled_areas(points: Array, triangles: Indices = TRIANGLES) -> Array:
    """Twice the signed area in the picture of each triangle of (468, 2+) points; (K,)."""
    a, b, c = points[triangles[:, 0]], points[triangles[:, 1]], points[triangles[:, 2]]
    return np.asarray(
        (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    )


def _hole_signs() -> npt.NDArray[np.float64]:
    """The winding of the strips in the holes, told from rings drawn as flat ellipses."""
    flat = np.zeros((topology.POINTS, 2))
    for ring in (*EYES, LIPS):
        turn = np.pi + np.linspace(0, -2 * np.pi, len(ring), endpoint=False)
        flat[ring] = np.stack([np.cos(turn), np.sin(turn)], -1)
    return np.sign(doubled_areas(flat, TRIANGLES[:HOLES]))


SIGNS: Array = np.concatenate([_hole_signs(), topology.FRONT_SIGNS]).astype(np.float64)
"""(K,) the sign of each triangle's area on a frontal face."""


def height(mesh: Array) -> float:
    """Of a face: from the top of the forehead to the chin, in pixels of the picture."""
    return max(float(np.linalg.norm(mesh[FOREHEAD, :2] - mesh[CHIN, :2])), 1.0)
