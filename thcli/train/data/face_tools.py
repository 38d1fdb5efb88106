"""Tracker and parser with which the images of a training are measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.options import FaceOptions, RunOptions
from thcli.core.protocols import Parser
from thcli.core.types import Array, Face, Image
from thcli.faces.backends import PARSERS
from thcli.pipeline.observe.face_finder import FaceFinder


@dataclass(frozen=True, slots=True)
class FaceTools:
    """The tracker, and the parser that finds occlusion (None: nothing is occluded)."""

    face_finder: FaceFinder
    parser: Parser | None

    @staticmethod
    def load(run: RunOptions, hidden: bool) -> FaceTools:
        """Load the tracker, and with `hidden` the parser.

        Raises:
            WeightsError: Weights are missing.
        """
        parser = PARSERS.backend(PARSERS.resolve("auto", run)).load(run) if hidden else None
        return FaceTools(FaceFinder.load(FaceOptions(), run), parser)

    def mesh(self, image: Image) -> Array | None:
        """Return the mesh (468, 3) of the largest face, None without one."""
        found: list[Face] = self.face_finder.find(image)
        if not found:
            return None
        face = self.face_finder.refine_landmarks(image, max(found, key=lambda one: one.area))
        return None if face.mesh is None else np.asarray(face.mesh, np.float64)
