"""The 68 points of the iBUG scheme (Sagonas et al. 2013, 300-W) seen in a 468-point mesh.

Brows, nose, eyes and lips are mesh points; the jaw, whose iBUG points lie evenly along the visible edge, is interpolated along
the mesh's oval.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array

# fmt: off
JAW_LEFT = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)  # from beside the picture's left eye to the chin
JAW_RIGHT = (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)
INNER = (
    70, 63, 105, 66, 107,  336, 296, 334, 293, 300,              # brows, 17-26
    168, 197, 5, 4,  98, 97, 2, 326, 327,                        # bridge of the nose and its base, 27-35
    33, 160, 158, 133, 153, 144,  362, 385, 387, 263, 373, 380,  # eyes, 36-47
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,          # outer lips, 48-59
    78, 81, 13, 311, 308, 402, 14, 178,                          # inner lips, 60-67
)
"""Mesh points of the iBUG points 17 to 67."""
# fmt: on


def _evenly(line: Array, count: int) -> Array:
    """`count` points evenly spaced along a polyline (K, 3), both ends included."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(wanted, along, line[:, i]) for i in range(3)], -1)


def landmarks68(mesh: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """(68, 3) pixels of a mesh (468, 3): jaw 0-16 from the picture's left over the chin to its right, brows, nose, eyes, lips."""
    points = np.asarray(mesh, np.float64)
    left = _evenly(points[list(JAW_LEFT)], 9)
    right = _evenly(points[list(JAW_RIGHT)], 9)
    return np.concatenate([left, right[-2::-1], points[list(INNER)]]).astype(np.float32)
