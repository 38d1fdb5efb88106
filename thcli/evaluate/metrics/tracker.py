"""Tracker of one face that measurements use."""

from __future__ import annotations

from collections.abc import Callable

from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Face, Image
from thcli.evaluate.metrics.measure import Tracker
from thcli.faces.backends import DETECTORS, LANDMARKERS
from thcli.faces.tracking.track import Tracker as FaceTracker


class MainFaceTracker:
    """Tracker of the largest face of the first image that has one.

    When that face is lost it continues with the largest one.
    """

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._number: int | None = None

    def __call__(self, image: Image) -> Face | None:
        """Return the face in the next image, or None."""
        faces = self._tracker.update(image)
        own = [face for face in faces if face.track == self._number]
        face = max(own or faces, key=lambda f: f.area, default=None)
        if face is not None:
            self._number = face.track
        return face


def main_face_tracker(faces: FaceOptions, run: RunOptions) -> Callable[[], Tracker]:
    """Return a factory of trackers whose backends are loaded once. Raises WeightsError."""
    detector = DETECTORS.backend(faces.detector).load(run)
    landmarker = LANDMARKERS.backend(faces.landmarker).load(run)
    return lambda: MainFaceTracker(FaceTracker(detector, landmarker))
