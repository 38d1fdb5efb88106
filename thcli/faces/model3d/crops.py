"""Where each published model cuts a face out of its picture. Crops are upright, so that a head's rotation is that of its crop."""

from __future__ import annotations

import numpy as np

from thcli.core import geometry
from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points, landmarks_of, outline

# Eyes, nose tip and mouth corners of the standard face of Deep3DFaceRecon, decimetres, y up, z towards the camera
# (sicxu/Deep3DFaceRecon_pytorch: BFM/similarity_Lm3D_all.mat, util/load_mats.py).
STANDARD_FACE = np.array(
    [
        [-0.3115, 0.2904, 0.1338],
        [0.3098, 0.2897, 0.1318],
        [0.0033, -0.0462, 0.5524],
        [-0.2522, -0.3813, 0.2241],
        [0.2485, -0.3813, 0.2224],
    ]
)
_SPAN = 102.0  # the crop's pixels a unit of that face


def tddfa(face: Face, size: int = 120) -> Crop:
    """3DDFA_V2's square: sqrt(2) times the longer side of the 68 points around their box's middle; of a face with a box alone 1.58 times
    its mean side, .14 sides lower.

    Raises NoFaceError for a face without an area.  cleardusk/3DDFA_V2: utils/functions.py. Differs from it: the square is not
    rounded to whole pixels, so that it does not jump.
    """
    points = _contour(face)
    if points is None:
        x, y, width, height = _box(face.box)
        side = (width + height) / 2
        return _square(x, y + 0.14 * side, 1.58 * side, size)
    x, y, width, height = _box(geometry.box_of(points))
    return _square(x, y, np.sqrt(2) * max(width, height), size)


def deca(face: Face, size: int = 224) -> Crop:
    """DECA's square: 1.25 times 1.1 times the mean side of the 68 points' box; of a face with a box alone 1.25 times its mean side, .12
    sides lower.

    The square's ends fall on the centres of the outermost pixels. Raises as `tddfa`.  yfeng95/DECA: datasets/datasets.py.
    """
    points = _contour(face)
    x, y, width, height = _box(face.box if points is None else geometry.box_of(points))
    mean = (width + height) / 2
    side = 1.25 * mean * (1.0 if points is None else 1.1)
    k = (size - 1) / side
    y += 0.12 * mean if points is None else 0.0
    return Crop(_scaling(k, k * (side / 2 - x), k * (side / 2 - y)), (size, size))


def deep3d(face: Face, size: int = 224) -> Crop:
    """Deep3DFaceRecon's square: eyes, nose and mouth corners get the size and place of the standard face, by the affine that fits them best.

    Raises NoFaceError for a face without these points.  sicxu/Deep3DFaceRecon_pytorch: util/preprocess.py (`POS`, `align_img`).
    Differs from it: neither the scale nor the place is rounded to whole pixels.
    """
    points = five_points(landmarks_of(face)) * [1.0, -1.0]  # y up
    known = np.concatenate([STANDARD_FACE, np.ones((5, 1))], 1)
    affine, _, _, _ = np.linalg.lstsq(known, points, rcond=None)
    unit = float(np.linalg.norm(affine[:3], axis=0).mean())
    if not (np.isfinite(unit) and unit > 1e-6):
        raise NoFaceError("The eyes, the nose and the mouth of the landmarks fall together.")
    k = _SPAN / unit * size / 224
    x, y = affine[3, 0], -affine[3, 1]
    # the reference shifts by pixel edges in x, and by a pixel less in y, which its networks are trained with
    return Crop(
        _scaling(k, k * (0.5 - x) + (size - 1) / 2, k * (-0.5 - y) + (size - 1) / 2), (size, size)
    )


def _contour(face: Face) -> Array | None:
    """The face's contour as 68 points have it; None when it has but a few keypoints, or none."""
    if face.mesh is not None:
        return np.asarray(landmarks68(face.mesh)[:, :2], np.float64)
    if face.points is not None and len(face.points) >= 68:
        return outline(face.points)
    return None


def _box(box: Array32) -> tuple[float, float, float, float]:
    """Middle x, y, width and height."""
    x0, y0, x1, y1 = (float(v) for v in box)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise NoFaceError(f"The face's box {x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f} has no area.")
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def _square(x: float, y: float, side: float, size: int) -> Crop:
    return Crop(geometry.rotated_square([x, y], side, 0.0, size), (size, size))


def _scaling(k: float, x: float, y: float) -> Array:
    return np.array([[k, 0.0, x], [0.0, k, y], [0.0, 0.0, 1.0]])
