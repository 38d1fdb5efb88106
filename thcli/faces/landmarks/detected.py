"""Landmarks of all faces that a detector found in one picture, without walls and windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from thcli.core.geometry import box_overlap, is_apart
from thcli.core.protocols import Detector, FastDetector, Landmarker
from thcli.core.types import Face, Image

# Of about 490 boxes of public pictures, those on walls and windows reach 6.4 and the worst face has
# 8.5. A track begins at 10 and ends below 5 (`TrackerOptions`).
CLEAR_LOGIT = 7.0
# Of 438 further boxes one on a wall has 11.4; the worst frontal face of a photograph has 20. What
# lies between is a profile, a drawing, a face in the dark or behind hair, or a wall.
CERTAIN_LOGIT = 18.0
# A doubtful box is searched again in a square of this size over it. Profiles and dark or covered
# faces are found with .59 and more, mostly .8; the wall with .50.
SEARCH_SIDE, FOUND_AGAIN = 2.0, 0.55
SAME_PLACE = 0.5  # least share of the smaller box that both share
BESIDE = 0.3  # share of the smaller box, up to which two boxes are two faces


def fit_detected(image: Image, detector: Detector, landmarker: Landmarker) -> list[Face]:
    """Return the faces of a picture with their landmarks.

    A mesh below `CLEAR_LOGIT` is mostly a wall, lettering or a window: it is left out where another
    face of the picture is clear, or has a higher logit. One below `CERTAIN_LOGIT` is left out
    beside a certain one where the detector does not find it again. A picture of one doubtful face
    keeps it. Where no box is a face at all, a tilted one may have been boxed askew: clear ones of
    a closer search count then. Beside a face, smaller ones are looked for in parts of the picture.

    Args:
        image: (H, W, 3) uint8.
        detector: finds the boxes.
        landmarker: fits them.
    """
    boxes = detector.detect(image)
    faces = _fit(image, boxes, landmarker)
    if boxes and not faces and isinstance(detector, FastDetector):
        searched = _fit(image, detector.search(image), landmarker)
        return drop_doubtful(image, _clear(searched), detector)
    small: list[Face] = []
    if faces and isinstance(detector, FastDetector):
        small = _fit_small(image, faces, detector, landmarker)
    clear = drop_doubtful(image, _clear(faces), detector, beside=small) + small
    return clear or sorted(faces, key=lambda face: face.logit)[-1:]


def _fit(image: Image, boxes: Sequence[Face], landmarker: Landmarker) -> list[Face]:
    fitted = (landmarker.fit(image, box) for box in boxes)
    return [face for face in fitted if face is not None]


def _fit_small(
    image: Image, faces: Sequence[Face], detector: FastDetector, landmarker: Landmarker
) -> list[Face]:
    """Return the certain faces that only a search in parts of the picture finds."""
    found: list[Face] = []
    for box in detector.detect_small(image):
        taken = [face.box for face in (*faces, *found)]
        if is_apart(box.box, taken, BESIDE):
            found += [
                face
                for face in _clear(_fit(image, [box], landmarker))
                if is_apart(face.box, taken, BESIDE) and is_certain(image, face, detector)
            ]
    return found


def _clear(faces: Sequence[Face]) -> list[Face]:
    return [face for face in faces if face.mesh is None or face.logit >= CLEAR_LOGIT]


def drop_doubtful(
    image: Image, faces: Sequence[Face], detector: Detector, beside: Sequence[Face] = ()
) -> list[Face]:
    """Return the faces without those that are not certain where one of them is, or one beside.

    Args:
        image, detector: as in `is_certain`.
        faces: fitted boxes.
        beside: faces that the image shows, too.
    """
    if all(face.logit < CERTAIN_LOGIT for face in (*faces, *beside)):
        return list(faces)
    return [face for face in faces if is_certain(image, face, detector)]


def is_certain(image: Image, face: Face, detector: Detector) -> bool:
    """Return whether a fitted box is a face for sure: by its logit, or as it is found once more.

    A box on a wall is a chance of scale and place: in a crop around it the detector is unsure.

    Args:
        image: (H, W, 3) uint8 or uint16.
        face: with a box; with a mesh, its logit.
        detector: searches the crop, upright.
    """
    if face.mesh is None or face.logit >= CERTAIN_LOGIT:
        return True
    reach = SEARCH_SIDE / 2 * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
    middle = (face.box[:2] + face.box[2:]) / 2
    x0, y0 = (int(max(v, 0)) for v in middle - reach)
    x1, y1 = (int(np.ceil(max(v, 0))) for v in middle + reach)
    crop = np.ascontiguousarray(image[y0:y1, x0:x1])
    if not crop.size:
        return False
    search = detector.detect_fast if isinstance(detector, FastDetector) else detector.detect
    box = face.box - np.array([x0, y0, x0, y0], np.float32)
    return any(
        found.score >= FOUND_AGAIN and box_overlap(box, found.box) >= SAME_PLACE
        for found in search(crop)
    )
