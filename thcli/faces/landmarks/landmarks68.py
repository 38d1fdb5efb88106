"""The 68 landmarks of the iBUG scheme (Sagonas et al. 2013, 300-W), from a 468-point mesh.

Brows, nose, eyes and lips are mesh points. The iBUG points of the jaw are evenly spaced along its
visible edge, so they are interpolated along the mesh's oval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array
from thcli.faces.landmarks.topology import index_group

JAW_LEFT = index_group("jaw_left")
"""(12,) mesh points from beside the image's left eye to the chin."""
JAW_RIGHT = index_group("jaw_right")
"""(12,) mesh points from beside the image's right eye to the chin."""
INNER_POINTS = index_group("ibug_17_to_67")
"""(51,) mesh points of the iBUG points 17 to 67: brows, nose, eyes, outer lips, inner lips."""


def landmarks68(mesh: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return the 68 landmarks, (68, 3) pixels, of a mesh (468, 3).

    Order: jaw 0-16 from the image's left over the chin to its right, brows, nose, eyes, lips.
    """
    points = np.asarray(mesh, np.float64)
    left = _resample(points[JAW_LEFT], 9)
    right = _resample(points[JAW_RIGHT], 9)
    return np.concatenate([left, right[-2::-1], points[INNER_POINTS]]).astype(np.float32)


def _resample(line: Array, count: int) -> Array:
    """Return `count` points evenly spaced along a polyline (K, 3), both ends included."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    targets = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(targets, along, line[:, i]) for i in range(3)], -1)
