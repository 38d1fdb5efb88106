"""Point rings and triangles of the 468-point mesh as the renderer uses them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.landmarks import topology
from thcli.motion import canonical
from thcli.motion.anatomy import INNER_MOUTH_CORNERS

Indices = npt.NDArray[np.int32]

LEFT_EYE = topology.EYES[0]
RIGHT_EYE = np.concatenate([topology.EYES[1][8::-1], topology.EYES[1][:8:-1]])
EYES = (LEFT_EYE, RIGHT_EYE)
"""Rings of 16 points: the corner on the image's left, the lower lid, the other corner, then
the upper lid from right to left."""
LIPS = topology.LIPS_INNER

EYE_TRIANGLE_COUNT = len(topology.EYE_TRIANGLES)
TRIANGLES: Indices = np.concatenate(
    [topology.EYE_TRIANGLES, topology.MOUTH_TRIANGLES, topology.TRIANGLES]
)
"""(K, 3) point indices: the triangles that fill the eyes, those that fill the mouth, the face."""
HOLE_TRIANGLE_COUNT = EYE_TRIANGLE_COUNT + len(topology.MOUTH_TRIANGLES)

RIGID: Indices = np.flatnonzero(topology.RIGID_WEIGHTS).astype(np.int32)
RIGID_WEIGHTS: Array = topology.RIGID_WEIGHTS[RIGID]
FOREHEAD, CHIN = 10, 152


def doubled_areas(points: Array, triangles: Indices = TRIANGLES) -> Array:
    """Compute twice the signed image-plane area of each triangle.

    Args:
        points: (468, 2+) pixels.
        triangles: (K, 3) point indices.

    Returns:
        (K,) square pixels.
    """
    (xa, xb, xc), (ya, yb, yc) = points[:, :2].T.take(triangles.T, 1)
    return np.asarray((xb - xa) * (yc - ya) - (yb - ya) * (xc - xa))


def _hole_signs() -> npt.NDArray[np.float64]:
    """Compute the winding of the eye and mouth triangles from rings laid out as ellipses."""
    flat = np.zeros((topology.POINTS, 2))
    for ring in (*EYES, LIPS):
        angles = np.pi + np.linspace(0, -2 * np.pi, len(ring), endpoint=False)
        flat[ring] = np.stack([np.cos(angles), np.sin(angles)], -1)
    return np.sign(doubled_areas(flat, TRIANGLES[:HOLE_TRIANGLE_COUNT]))


FRONTAL_SIGNS: Array = np.concatenate([_hole_signs(), topology.FRONT_SIGNS]).astype(np.float64)
"""(K,) sign of each triangle's area on a frontal face."""


def mouth_width(mesh: Array) -> float:
    """Return the distance of the corners of a mouth over that of the outer eye corners, in space.

    Args:
        mesh: (468, 3) pixels.
    """
    ends = INNER_MOUTH_CORNERS, topology.EYE_OUTER
    mouth, eyes = (float(np.linalg.norm(mesh[a] - mesh[b])) for a, b in ends)
    return mouth / max(eyes, 1e-6)


def face_height(mesh: Array) -> float:
    """Measure the distance from the top of the forehead to the chin, in pixels, at least 1."""
    along = mesh[FOREHEAD, :2] - mesh[CHIN, :2]
    return max(float(np.sqrt(along.dot(along))), 1.0)


def face_axes(mesh: Array) -> Array:
    """Return unit vectors to the right across a face and down along it, (2, 2) pixels.

    mesh: (468, 2+) pixels.
    """
    down = (mesh[CHIN, :2] - mesh[FOREHEAD, :2]) / face_height(mesh)
    return np.array([[down[1], -down[0]], down])


def neutral_height() -> float:
    """Return the face height of a mean face in canonical units."""
    flat = canonical.neutral()[:, :2]
    return float(np.linalg.norm(flat[FOREHEAD] - flat[CHIN]))


def neutral_distances(points: npt.NDArray[np.integer]) -> Array:
    """Return each point's distance (468,) to the nearest of some in a mean face, face heights."""
    return np.asarray(canonical.neutral_distances(points) / neutral_height())


def turned_away(mesh: Array) -> npt.NDArray[np.bool_]:
    """Return which triangles (K,) of a mesh (468, 2+) show their back."""
    return np.asarray(doubled_areas(mesh) * FRONTAL_SIGNS <= 0)
