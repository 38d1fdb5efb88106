"""Pose and camera of the Basel Face Model in Real3D-Portrait (Ye et al. 2024, arXiv 2401.08503).

Points are rows: posed = points @ rotation + translation, in the model's axes (x right, y up, z
towards the camera) and decimetres. The camera is at z = 10 with a focal length of 1015 pixels of a
224 x 224 image. Landmarks of the image are in 0..1 from its top-left corner.

A camera of the volume renderer is a row of 25: camera-to-world 4 x 4 by rows (x right, y down, z
forward) and intrinsics 3 x 3 by rows in units of the image's side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from thcli.core.types import Array, Array32

FOCAL, CENTRE, DISTANCE = 1015.0, 112.0, 10.0  # pixels, pixels, decimetres
SIDE = 2 * CENTRE
WINDOW = 7  # frames of the smoothing windows
_RENDER_FOCAL = 2985.29 / 700
_RENDER_SCALE = 0.27  # units of the renderer per decimetre
_RENDER_SHIFT = np.array([0.0, 0.006, 0.161])
_FLIP = np.diag([1.0, -1.0, -1.0])


def rotation_from_euler(euler: npt.ArrayLike) -> Array:
    """Return rotations (B, 3, 3) for rows of points: (Rz Ry Rx)^T of angles (B, 3) in radians."""
    angles = np.array(euler, np.float64).reshape(-1, 3)
    if not len(angles):
        return np.zeros((0, 3, 3))
    matrix = Rotation.from_euler("ZYX", angles[:, ::-1]).as_matrix()
    return np.asarray(np.swapaxes(matrix, 1, 2), np.float64)


def camera_points(points: npt.ArrayLike, euler: npt.ArrayLike, trans: npt.ArrayLike) -> Array:
    """Move points (B, K, 3) to camera space: z is the distance from the camera.

    Args:
        points: of the model, decimetres.
        euler: (B, 3) radians.
        trans: (B, 3) decimetres.
    """
    posed = np.asarray(points, np.float64) @ rotation_from_euler(euler)
    posed = posed + np.asarray(trans, np.float64)[:, None]
    return np.concatenate([posed[..., :2], DISTANCE - posed[..., 2:]], -1)


def project(points: npt.ArrayLike, euler: npt.ArrayLike, trans: npt.ArrayLike) -> Array:
    """Project points (B, K, 3) of the model to the image, (B, K, 2) in 0..1, y down.

    Args:
        points: of the model, decimetres.
        euler: (B, 3) radians.
        trans: (B, 3) decimetres.
    """
    seen = camera_points(points, euler, trans)
    plane = FOCAL * seen[..., :2] / seen[..., 2:] + CENTRE
    plane[..., 1] = SIDE - plane[..., 1]
    return np.asarray(plane / SIDE)


def cameras_from_pose(euler: npt.ArrayLike, trans: npt.ArrayLike) -> Array32:
    """Return the cameras (B, 25) that see an upright head as poses place it before the camera.

    Args:
        euler: (B, 3) radians.
        trans: (B, 3) decimetres.
    """
    rotation = rotation_from_euler(euler)
    offset = np.asarray(trans, np.float64).reshape(-1, 3) - [0, 0, DISTANCE]
    position = -_RENDER_SCALE * (rotation @ offset[..., None])[..., 0] + _RENDER_SHIFT
    matrix = np.tile(np.eye(4), (len(rotation), 1, 1))
    matrix[:, :3, :3] = rotation @ _FLIP
    matrix[:, :3, 3] = position
    intrinsics = [_RENDER_FOCAL, 0, 0.5, 0, _RENDER_FOCAL, 0.5, 0, 0, 1]
    return np.concatenate(
        [matrix.reshape(-1, 16), np.tile(intrinsics, (len(matrix), 1))], 1
    ).astype(np.float32)


def smooth_cameras(cameras: npt.ArrayLike, window: int = WINDOW) -> Array32:
    """Smooth cameras (T, 25) over frames: mean position and mean rotation of each window.

    Windows are cut off at the ends of the clip. The intrinsics are kept.

    Args:
        cameras: one row per frame.
        window: odd number of frames.
    """
    rows = np.array(cameras, np.float64)
    matrix = rows[:, :16].reshape(-1, 4, 4)
    smoothed, reach = matrix.copy(), window // 2
    for i in range(len(rows)):
        near = matrix[max(0, i - reach) : i + reach + 1]
        smoothed[i, :3, :3] = Rotation.from_matrix(near[:, :3, :3]).mean().as_matrix()
        smoothed[i, :3, 3] = near[:, :3, 3].mean(0)
    rows[:, :16] = smoothed.reshape(-1, 16)
    return rows.astype(np.float32)


def keypoints_from_landmarks(landmarks: npt.ArrayLike) -> Array32:
    """Return keypoints (..., 2) in -1..1, clamped, of landmarks (..., 2) in 0..1."""
    values = 2 * np.asarray(landmarks, np.float64) - 1
    return np.asarray(np.clip(values, -1, 1), np.float32)


def smooth_keypoints(keypoints: npt.ArrayLike, window: int = WINDOW) -> Array32:
    """Smooth keypoints (T, K, D) over frames with a box filter whose ends are mirrored.

    The mirrored frames include the first and the last one; a clip shorter than half a window
    is mirrored repeatedly.

    Args:
        keypoints: one row per frame.
        window: odd number of frames.
    """
    values = np.asarray(keypoints, np.float64)
    padding = [(window // 2, window // 2)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, padding, mode="symmetric")
    sums = sum((padded[i : i + len(values)] for i in range(window)), np.zeros(1))
    return (sums / window).astype(np.float32)


def freeze_depth(trans: npt.ArrayLike) -> Array32:
    """Return translations (T, 3) whose distance from the camera stays that of the first frame."""
    frozen = np.array(trans, np.float32)
    frozen[:, 2] = frozen[:1, 2]
    return frozen


def map_to_initial_pose(values: npt.ArrayLike, initial: npt.ArrayLike) -> Array32:
    """Shift angles or translations (T, 3) so that the first frame has the initial ones (3,)."""
    rows = np.asarray(values, np.float32)
    return np.asarray(rows + (np.asarray(initial, np.float32).reshape(1, 3) - rows[:1]), np.float32)
