"""Harmonic continuation of values over the mesh, from the points where they are known."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.landmarks.topology import POINTS, TRIANGLES


def continue_smoothly(values: Array, known: npt.NDArray[np.bool_]) -> Array:
    """Continue values (468, C) of the known points over the mesh, harmonically.

    Tones then meet without a seam where seen and made texture do. Far from any known point they
    tend to 0.
    """
    weight = np.where(known, 1.0, 1e-3)
    smooth = _laplacian() + np.diag(weight)
    return np.asarray(
        np.linalg.solve(smooth, weight[:, None] * np.where(known[:, None], values, 0))
    )


@functools.cache
def _laplacian() -> Array:
    """Build the (468, 468) Laplacian of the mesh's edges, read-only."""
    laplacian = np.zeros((POINTS, POINTS))
    for k in range(3):
        laplacian[TRIANGLES[:, k], TRIANGLES[:, k - 1]] = -1
        laplacian[TRIANGLES[:, k - 1], TRIANGLES[:, k]] = -1
    np.fill_diagonal(laplacian, -laplacian.sum(1))
    laplacian.flags.writeable = False
    return laplacian
