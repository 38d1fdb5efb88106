"""The tracker that measuring uses: one face of a picture, followed from frame to frame."""

from __future__ import annotations

from collections.abc import Callable

from thcli.core.options import FaceOptions, RunOptions
from thcli.core.types import Face, Image
from thcli.evaluate.metrics.measure import Tracker
from thcli.faces.backends import DETECTORS, LANDMARKERS
from thcli.faces.tracking.track import Tracker as FaceTracker


class MainFace:
    """Holds on to the largest face of the first picture that has one; to the largest again when that one is gone."""

    def __init__(self, tracker: FaceTracker) -> None:
        self._tracker = tracker
        self._number: int | None = None

    def __call__(self, picture: Image) -> Face | None:
        """The face in the next picture; None without one."""
        faces = self._tracker.update(picture)
        own = [face for face in faces if face.track == self._number]
        face = max(own or faces, key=lambda f: f.area, default=None)
        if face is not None:
            self._number = face.track
        return face


def main_face_tracker(faces: FaceOptions, run: RunOptions) -> Callable[[], Tracker]:
    """Makes trackers with the given backends, loaded once. Raises WeightsError when their weights are absent."""
    detector = DETECTORS.backend(faces.detector).load(run)
    landmarker = LANDMARKERS.backend(faces.landmarker).load(run)
    return lambda: MainFace(FaceTracker(detector, landmarker))
