"""Landmark layouts: indices of the eyes, the nose tip and the mouth corners in each of them.

The number of points identifies a layout: 5 (eyes, nose, mouth corners), 6 (BlazeFace: eyes, nose,
mouth centre, ears), 68 (iBUG), 98 (WFLW), 106 (InsightFace), 203 (LivePortrait) and 468 or 478
(MediaPipe). Left and right are the image's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Face
from thcli.faces.landmarks.landmarks68 import INNER_POINTS, JAW_LEFT, JAW_RIGHT


@dataclass(frozen=True, slots=True)
class LandmarkLayout:
    """Indices of the facial features of a layout; an eye is the mean of its points.

    mouth: both corners, or one point, its centre.  nose: -1 where the layout has no known nose tip.
    outline: points whose bounding box is the face's (brows to chin, cheek to cheek); empty: all.
    """

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    mouth: tuple[int, ...]
    nose: int = -1
    outline: tuple[int, ...] = ()


# Part of the mesh that a 68- or 106-point contour covers: the jaw from temple to temple and the
# brows, no forehead; and the nose tip and mouth corners.
_MESH_OUTLINE = (
    *JAW_LEFT.tolist(),
    *JAW_RIGHT.tolist()[-2::-1],
    *INNER_POINTS.tolist()[:10],
    4,
    61,
    291,
)
_MESH = LandmarkLayout(
    (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291), 4, _MESH_OUTLINE
)

LAYOUTS: dict[int, LandmarkLayout] = {
    5: LandmarkLayout((0,), (1,), (3, 4), 2),
    6: LandmarkLayout((0,), (1,), (3,), 2),
    68: LandmarkLayout(tuple(range(36, 42)), tuple(range(42, 48)), (48, 54), 30),
    98: LandmarkLayout(tuple(range(60, 68)), tuple(range(68, 76)), (76, 82), 54),
    106: LandmarkLayout((33, 35, 40, 39), (87, 89, 94, 93), (52, 61), 86),
    203: LandmarkLayout((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    468: _MESH,
    478: _MESH,
}


@dataclass(frozen=True, slots=True)
class FaceParts:
    """Facial features in pixels; left and right are the image's.

    eyes: (2, 2), left first.  mouth: both corners (2, 2), left first, or the centre (1, 2).
    nose: the tip (2,), or None.
    """

    eyes: Array
    mouth: Array
    nose: Array | None


def checked_plane(points: npt.ArrayLike) -> Array:
    """Return the x and y of (N, 2) or (N, 3) landmarks, (N, 2) float64.

    Raises NoFaceError when no layout has N points, or a value is not finite.
    """
    p = np.asarray(points, np.float64)
    if p.ndim != 2 or p.shape[1] not in (2, 3) or len(p) not in LAYOUTS:
        raise NoFaceError(
            f"Landmarks of shape {p.shape} are in no known layout.",
            f"Layouts have {', '.join(map(str, LAYOUTS))} points.",
        )
    if not np.isfinite(p[:, :2]).all():
        raise NoFaceError("A landmark is not a finite number.")
    return p[:, :2]


def face_parts(points: npt.ArrayLike) -> FaceParts:
    """Return eyes, mouth corners and nose tip of landmarks (N, 2) or (N, 3) of any layout.

    Raises NoFaceError as `checked_plane` does.
    """
    p = checked_plane(points)
    layout = LAYOUTS[len(p)]
    eyes = np.stack([p[list(layout.left_eye)].mean(0), p[list(layout.right_eye)].mean(0)])
    return FaceParts(eyes, p[list(layout.mouth)], p[layout.nose] if layout.nose >= 0 else None)


def five_points(points: npt.ArrayLike) -> Array:
    """Return left eye, right eye, nose tip, left and right mouth corner, (5, 2).

    Raises NoFaceError for a layout without them.
    """
    features = face_parts(points)
    if features.nose is None or len(features.mouth) == 1:
        raise NoFaceError(
            f"A layout of {len(np.asarray(points))} points has no nose tip or no mouth corners."
        )
    return np.concatenate([features.eyes, features.nose[None], features.mouth])


def outline_points(points: npt.ArrayLike) -> Array:
    """Return the points whose bounding box is the face's, brows to chin, (K, 2).

    Raises NoFaceError as `checked_plane` does.
    """
    p = checked_plane(points)
    chosen = LAYOUTS[len(p)].outline
    return p[list(chosen)] if chosen else p


def landmarks_of(face: Face) -> Array:
    """Return the best landmarks of a face, (N, 2) pixels: mesh, else points, else keypoints.

    Raises NoFaceError when the face has none.
    """
    for points in (face.mesh, face.points, face.keypoints):
        if points is not None:
            return checked_plane(points)
    raise NoFaceError("The face has a box but no landmarks.", "Run a landmarker on it first.")
