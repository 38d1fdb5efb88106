"""The 3-D face model of a source and of a driver: fits to landmarks."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array32
from thcli.engines.real3d.driving.track import HeadState
from thcli.faces.model3d.bfm.model import FaceModel3D


class HeadModel:
    def __init__(self, model: FaceModel3D) -> None:
        self.model = model

    def fit_source(self, landmarks: Array32) -> tuple[Array32, HeadState]:
        return np.zeros(80, np.float32), self.fit_clip(landmarks[None])[0]

    def fit_clip(self, landmarks: Array32) -> HeadState:
        n = len(landmarks)
        from scipy.optimize import least_squares
        from thcli.faces.model3d.bfm.camera import project

        pts = self.model.points468(np.zeros(80), np.zeros(64))
        out = []
        for lm in landmarks:
            f = lambda p: (project(pts, p[None, :3], p[None, 3:])[0] - lm)[::4].ravel()
            out.append(least_squares(f, np.zeros(6)).x)
        p = np.array(out, np.float32)
        e = np.zeros((n, 64), np.float32)
        e[:, :] = np.diff(landmarks.mean((1)), append=0)[:, :1] * 3
        return HeadState(e, p[:, :3], p[:, 3:])
