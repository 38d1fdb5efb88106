"""Landmark layouts: where the eyes, the nose tip and the mouth's corners stand in each of them.

A layout is told by its number of points: 5 (eyes, nose, mouth corners), 6 (BlazeFace: eyes, nose, mouth centre, ears),
68 (iBUG), 98 (WFLW), 106 (InsightFace), 203 (LivePortrait) and 468 or 478 (MediaPipe). Left and right are the picture's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Face


@dataclass(frozen=True, slots=True)
class Layout:
    """Indices of the parts; an eye is the mean of its points. mouth: both corners, or one point, its centre. nose: -1 where the layout has no nose tip that we know.

    outline: the points whose bounding box is the face's (brows to chin, cheek to cheek); empty: all of them.
    """

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    mouth: tuple[int, ...]
    nose: int = -1
    outline: tuple[int, ...] = ()


# The part of the mesh that a 68- or 106-point contour covers: the jaw from temple to temple and the brows, no forehead.
_MESH_OUTLINE = (
    *(
        127,
        234,
        93,
        132,
        58,
        172,
        136,
        150,
        149,
        176,
        148,
        152,
        377,
        400,
        378,
        379,
        365,
        397,
        288,
        361,
        323,
        454,
        356,
    ),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(4, 61, 291),
)
_MESH = Layout(
    (33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 291), 4, _MESH_OUTLINE
)

LAYOUTS: dict[int, Layout] = {
    5: Layout((0,), (1,), (3, 4), 2),
    6: Layout((0,), (1,), (3,), 2),
    68: Layout(tuple(range(36, 42)), tuple(range(42, 48)), (48, 54), 30),
    98: Layout(tuple(range(60, 68)), tuple(range(68, 76)), (76, 82), 54),
    106: Layout((33, 35, 40, 39), (87, 89, 94, 93), (52, 61), 86),
    203: Layout((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    468: _MESH,
    478: _MESH,
}


@dataclass(frozen=True, slots=True)
class Parts:
    """A face's parts in pixels: eyes (2, 2) and mouth corners (2, 2), the picture's left first, or the mouth's centre (1, 2) alone;
    nose tip (2,) or None."""

    eyes: Array
    mouth: Array
    nose: Array | None


def plane(points: npt.ArrayLike) -> Array:
    """(N, 2) float64 of (N, 2) or (N, 3) landmarks. Raises NoFaceError when no layout has N points, or one is not finite."""
    p = np.asarray(points, np.float64)
    if p.ndim != 2 or p.shape[1] not in (2, 3) or len(p) not in LAYOUTS:
        raise NoFaceError(
            f"Landmarks of shape {p.shape} are of no known layout.",
            f"Layouts have {', '.join(map(str, LAYOUTS))} points.",
        )
    if not np.isfinite(p[:, :2]).all():
        raise NoFaceError("A landmark is not a finite number.")
    return p[:, :2]


def parts(points: npt.ArrayLike) -> Parts:
    """Eyes, mouth corners and nose tip of (N, 2) or (N, 3) landmarks of any layout. Raises NoFaceError as `plane` does."""
    p = plane(points)
    layout = LAYOUTS[len(p)]
    eyes = np.stack([p[list(layout.left_eye)].mean(0), p[list(layout.right_eye)].mean(0)])
    return Parts(eyes, p[list(layout.mouth)], p[layout.nose] if layout.nose >= 0 else None)


def five_points(points: npt.ArrayLike) -> Array:
    """(5, 2) left eye, right eye, nose tip, left and right mouth corner. Raises NoFaceError for a layout without them."""
    found = parts(points)
    if found.nose is None or len(found.mouth) == 1:
        raise NoFaceError(f"A layout of {len(np.asarray(points))} points has no five points.")
    return np.concatenate([found.eyes, found.nose[None], found.mouth])


def outline(points: npt.ArrayLike) -> Array:
    """The (K, 2) points whose bounding box is the face's, brows to chin. Raises NoFaceError as `plane` does."""
    p = plane(points)
    chosen = LAYOUTS[len(p)].outline
    return p[list(chosen)] if chosen else p


def landmarks_of(face: Face) -> Array:
    """The best landmarks that a face carries, (N, 2) pixels: its mesh, else another landmarker's points, else keypoints.

    Raises NoFaceError when it carries none.
    """
    for points in (face.mesh, face.points, face.keypoints):
        if points is not None:
            return plane(points)
    raise NoFaceError("The face has a box but no landmarks.", "Fit a landmarker on it first.")
