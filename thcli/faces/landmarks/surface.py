"""Surface of the mesh: its normals, and the light that its brightness tells."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array
from thcli.faces.landmarks.topology import FRONT_SIGNS, POINTS, TRIANGLES

_CORNERS = TRIANGLES.T.ravel()
CORNER_COUNTS = np.maximum(np.bincount(_CORNERS, minlength=POINTS), 1)
"""(468,) triangles that meet at each point."""


def sum_at_points(values: Array) -> Array:
    """Sum values (852,) of triangles at their corners: (468,)."""
    return np.asarray(np.bincount(_CORNERS, np.tile(values, 3), POINTS), np.float64)


def inward_normals(mesh: Array) -> Array:
    """Compute the (468, 3) unit normals of a mesh (468, 3), which point into the head.

    In image axes (x right, y down, z away from the camera), so that z is the cosine to the view: 1
    towards the camera, negative away from it.
    """
    a, b, c = (mesh[TRIANGLES[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a) * FRONT_SIGNS[:, None]
    total = np.stack([sum_at_points(normal[:, k]) for k in range(3)], 1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9))


def fit_light(levels: Array, normals: Array, weight: Array, ridge: float) -> Array:
    """Fit log brightness = a + b . normal by least squares: (4,), a and b.

    To first order that is a Lambertian surface under distant light: the four harmonics of least
    order of Basri and Jacobs 2003, "Lambertian Reflectance and Linear Subspaces", section 3.

    Args:
        levels: (N,) log brightness.
        normals: (N, 3) unit vectors.
        weight: (N,), at least 0.
        ridge: share of the sum of weights that holds b to 0, where normals are alike.
    """
    rows = np.concatenate([np.ones((len(normals), 1)), normals], 1)
    left = (rows * weight[:, None]).T @ rows
    left += ridge * max(float(weight.sum()), 1.0) * np.diag([0.0, 1, 1, 1])
    left[0, 0] += 1e-6
    return np.asarray(np.linalg.solve(left, (rows * weight[:, None]).T @ levels))
