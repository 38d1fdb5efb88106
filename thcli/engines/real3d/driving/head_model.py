"""The 3-D face model of a source and of a driver, fitted to landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array32
from thcli.engines.real3d.driving.track import HeadState
from thcli.faces.model3d.bfm.fit import fit_frames, fit_identity, fit_image
from thcli.faces.model3d.bfm.model import FaceModel3D


@dataclass(frozen=True, slots=True)
class HeadModel:
    """Fits of a face model. Landmarks are (468, 2) in 0..1 of a square image, y down."""

    model: FaceModel3D

    def fit_source(self, landmarks: Array32) -> tuple[Array32, HeadState]:
        """Fit identity (80,) and head of an image."""
        found = fit_image(self.model, landmarks)
        heads = HeadState(found.expression, found.euler, found.trans)
        return found.identity, heads[0]

    def fit_identity(self, landmarks: Array32) -> Array32:
        """Fit the identity (80,) of a clip to some of its frames (S, 468, 2)."""
        return fit_identity(self.model, landmarks)

    def fit_frames(self, identity: Array32, blocks: Iterable[Array32]) -> HeadState:
        """Fit the heads of a clip (T, ...).

        Args:
            identity: (80,).
            blocks: landmarks (t, 468, 2) of frames in order; NaN without a face.
        """
        windows = list(fit_frames(self.model, identity, blocks))
        expression, euler, translation = (
            np.concatenate([getattr(window, name) for window in windows])
            for name in ("expression", "euler", "trans")
        )
        return HeadState(expression, euler, translation)
