"""Landmarks of all faces that a detector found in one picture."""

from __future__ import annotations

from thcli.core.protocols import Detector, Landmarker
from thcli.core.types import Face, Image

# Of about 490 boxes of public pictures, those on walls and windows reach 6.4 and the worst face has
# 8.5. A track begins at 10 and ends below 5 (`TrackerOptions`).
CLEAR_LOGIT = 7.0


def fit_detected(image: Image, detector: Detector, landmarker: Landmarker) -> list[Face]:
    """Return the faces of a picture with their landmarks.

    A mesh below `CLEAR_LOGIT` is mostly a wall, lettering or a window: it is left out where another
    face of the picture is clear, or has a higher logit. A picture of one doubtful face keeps it.

    Args:
        image: (H, W, 3) uint8.
        detector: finds the boxes.
        landmarker: fits them.
    """
    fitted = [landmarker.fit(image, found) for found in detector.detect(image)]
    faces = [face for face in fitted if face is not None]
    clear = [face for face in faces if face.mesh is None or face.logit >= CLEAR_LOGIT]
    return clear or sorted(faces, key=lambda face: face.logit)[-1:]
