"""Openings of eyes and lips as LivePortrait's retargeting defines them: gap over width.

Source: LivePortrait src/utils/retargeting_utils.py at 1986663 (203 points); other landmark layouts
by the same definition.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Face

OPENINGS = "openings"  # name of the motion rows
UNKNOWN = -1.0  # opening of a face without landmarks
EPSILON = 1e-6

# upper, lower, corner, corner of the image's left eye, its right eye, and the lips
LANDMARKS: dict[int, tuple[tuple[int, int, int, int], ...]] = {
    203: ((6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66)),
    68: ((37, 41, 36, 39), (44, 46, 42, 45), (62, 66, 48, 54)),
    468: ((159, 145, 33, 133), (386, 374, 362, 263), (13, 14, 61, 291)),
}


def openings(points: npt.ArrayLike) -> Array32:
    """Measure the openings (3,) of the left eye, the right eye and the lips.

    points: (N, 2+) pixels, N 68, 203, 468 or 478. Other layouts give UNKNOWN.
    """
    p = np.asarray(points, np.float64)[:, :2]
    chosen = LANDMARKS.get(468 if len(p) == 478 else len(p))
    if chosen is None:
        return np.full(3, UNKNOWN, np.float32)
    gaps = [
        np.linalg.norm(p[a] - p[b]) / (np.linalg.norm(p[c] - p[d]) + EPSILON)
        for a, b, c, d in chosen
    ]
    return np.array(gaps, np.float32)


def face_openings(face: Face) -> Array32:
    """Measure the openings (3,) of a face.

    The 203 points, with which the networks were trained, precede the mesh.
    """
    if face.points is not None and (len(face.points) == 203 or face.mesh is None):
        return openings(face.points)
    return openings(face.mesh) if face.mesh is not None else np.full(3, UNKNOWN, np.float32)
