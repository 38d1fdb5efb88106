"""Crop placement of each published model.

Crops are upright, so a head has the same rotation in its crop as in the image.
"""

from __future__ import annotations

import numpy as np

from thcli.core import geometry
from thcli.core.errors import NoFaceError
from thcli.core.types import Array, Array32, Crop, Face
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.landmarks.layouts import five_points, landmarks_of, outline_points

# Eyes, nose tip and mouth corners of the standard face of Deep3DFaceRecon, in decimetres, y up,
# z towards the camera (sicxu/Deep3DFaceRecon_pytorch: BFM/similarity_Lm3D_all.mat,
# util/load_mats.py).
STANDARD_FACE = np.array(
    [
        [-0.3115, 0.2904, 0.1338],
        [0.3098, 0.2897, 0.1318],
        [0.0033, -0.0462, 0.5524],
        [-0.2522, -0.3813, 0.2241],
        [0.2485, -0.3813, 0.2224],
    ]
)
_PIXELS_PER_UNIT = 102.0  # of the crop, per unit of that face


def tddfa(face: Face, size: int = 120) -> Crop:
    """Place 3DDFA_V2's square.

    sqrt(2) times the longer side of the 68 points, around the middle of their box. For a face with
    only a box: 1.58 times its mean side, 0.14 sides lower. cleardusk/3DDFA_V2: utils/functions.py.
    Differs from it: the square is not rounded to whole pixels, so it moves continuously.

    Raises NoFaceError for a face without an area.
    """
    points = _contour(face)
    if points is None:
        x, y, width, height = _box(face.box)
        side = (width + height) / 2
        return _square_crop(x, y + 0.14 * side, 1.58 * side, size)
    x, y, width, height = _box(geometry.bounding_box(points))
    return _square_crop(x, y, np.sqrt(2) * max(width, height), size)


def deca(face: Face, size: int = 224) -> Crop:
    """Place DECA's square.

    1.25 times 1.1 times the mean side of the 68 points' box. For a face with only a box: 1.25 times
    its mean side, 0.12 sides lower. The ends of the square are the centres of the outermost pixels.
    yfeng95/DECA: datasets/datasets.py. Raises as `tddfa` does.
    """
    points = _contour(face)
    x, y, width, height = _box(face.box if points is None else geometry.bounding_box(points))
    mean = (width + height) / 2
    side = 1.25 * mean * (1.0 if points is None else 1.1)
    k = (size - 1) / side
    y += 0.12 * mean if points is None else 0.0
    return Crop(_scale_matrix(k, k * (side / 2 - x), k * (side / 2 - y)), (size, size))


def deep3d(face: Face, size: int = 224) -> Crop:
    """Place Deep3DFaceRecon's square.

    Eyes, nose and mouth corners get the size and position of the standard face, by the
    least-squares affine. sicxu/Deep3DFaceRecon_pytorch: util/preprocess.py (`POS`, `align_img`).
    Differs from it: neither scale nor position is rounded to whole pixels.

    Raises NoFaceError for a face without these points.
    """
    points = five_points(landmarks_of(face)) * [1.0, -1.0]  # y up
    known = np.concatenate([STANDARD_FACE, np.ones((5, 1))], 1)
    affine, _, _, _ = np.linalg.lstsq(known, points, rcond=None)
    unit = float(np.linalg.norm(affine[:3], axis=0).mean())
    if not (np.isfinite(unit) and unit > 1e-6):
        raise NoFaceError("The landmarks of the eyes, the nose and the mouth are one point.")
    k = _PIXELS_PER_UNIT / unit * size / 224
    x, y = affine[3, 0], -affine[3, 1]
    # As the reference, with which its networks are trained: pixel edges in x, one pixel less in y.
    shift_x, shift_y = k * (0.5 - x) + (size - 1) / 2, k * (-0.5 - y) + (size - 1) / 2
    return Crop(_scale_matrix(k, shift_x, shift_y), (size, size))


def _contour(face: Face) -> Array | None:
    """Return the contour of a face as 68 points have it.

    None with only a few keypoints, or none.
    """
    if face.mesh is not None:
        return np.asarray(landmarks68(face.mesh)[:, :2], np.float64)
    if face.points is not None and len(face.points) >= 68:
        return outline_points(face.points)
    return None


def _box(box: Array32) -> tuple[float, float, float, float]:
    """Return the middle x and y, width and height of a box."""
    x0, y0, x1, y1 = (float(v) for v in box)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise NoFaceError(f"The face's box {x0:.0f}, {y0:.0f}, {x1:.0f}, {y1:.0f} has no area.")
    return (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0


def _square_crop(x: float, y: float, side: float, size: int) -> Crop:
    return Crop(geometry.square_crop_matrix([x, y], side, 0.0, size), (size, size))


def _scale_matrix(k: float, x: float, y: float) -> Array:
    return np.array([[k, 0.0, x], [0.0, k, y], [0.0, 0.0, 1.0]])
