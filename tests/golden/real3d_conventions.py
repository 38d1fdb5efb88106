"""Stages `camera` and `conv/*` of REAL3D_VIDEO.npz: poses, cameras and landmarks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.golden import fill
from thcli.core.types import Array32
from thcli.faces.model3d.bfm import camera
from thcli.faces.model3d.bfm.model import EXPRESSIONS, IDENTITIES, FaceModel3D

_LANDMARKS = 68


def made_input(index: int, shape: tuple[int, ...], offset: int) -> Array32:
    """Return an input of the golden case."""
    return fill.normal(f"real3d_video/input-{index}", shape, offset)


def pose(offset: int) -> tuple[Array32, Array32]:
    """Return the angles (1, 3) and the translation (1, 3) of the rendered head."""
    euler = 0.1 * made_input(9, (1, 3), offset)
    trans = np.array([[0, 0, 0.4]], np.float32) + 0.05 * made_input(10, (1, 3), offset)
    return euler, trans.astype(np.float32)


def landmark_model(offset: int) -> FaceModel3D:
    """Return a model of 68 random vertices, which are its landmarks."""
    points = np.arange(_LANDMARKS)
    triangle = np.array([[0, 1, 2]])
    return FaceModel3D(
        mean=0.5 * made_input(22, (_LANDMARKS, 3), offset),
        id_base=0.02 * made_input(23, (3 * _LANDMARKS, 80), offset).reshape(-1, 3, IDENTITIES),
        exp_base=0.02 * made_input(24, (3 * _LANDMARKS, 64), offset).reshape(-1, 3, EXPRESSIONS),
        triangles=triangle,
        open_triangles=triangle,
        keypoints68=points,
        mp468=np.zeros(468, np.int64),
        ncc=np.zeros((_LANDMARKS, 3), np.float32),
    )


def stages(offset: int) -> dict[str, Tensor]:
    """Compute the stages with our functions."""
    euler, trans = 0.3 * made_input(20, (10, 3), offset), 0.2 * made_input(21, (10, 3), offset)
    identity, expression = made_input(25, (10, 80), offset), made_input(26, (10, 64), offset)
    model = landmark_model(offset)
    landmarks = model.landmarks68(identity, expression)
    projected = camera.project(landmarks, euler, trans)
    keypoints = camera.keypoints_from_landmarks(projected)
    cameras = camera.cameras_from_pose(euler, trans)
    found = {
        "camera": camera.cameras_from_pose(*pose(offset)),
        "conv/rotation": camera.rotation_from_euler(euler),
        "conv/cameras": cameras,
        "conv/cameras_smooth": camera.smooth_cameras(cameras),
        "conv/cano_lm3d": landmarks,
        "conv/idexp_lm3d": model.idexp_lm3d(identity, expression, points=model.keypoints68),
        "conv/lm3d": camera.camera_points(landmarks, euler, trans),
        "conv/lm2d": projected,
        "conv/kp_smooth": camera.smooth_keypoints(keypoints),
    }
    return {key: torch.from_numpy(np.asarray(value, np.float32)) for key, value in found.items()}
