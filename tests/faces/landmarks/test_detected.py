"""Choice of clear fits among the boxes of a picture, with scripted logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from thcli.core.types import Face, Image
from thcli.faces.landmarks.detected import fit_detected
from thcli.faces.tracking.select import read_reference_face
from thcli.pipeline.observe.face_finder import FaceFinder

BLANK = np.zeros((64, 64, 3), np.uint8)


class Scripted:
    """Detector and landmarker of boxes, larger from left to right, with given logits."""

    def __init__(self, logits: Sequence[float | None], *, mesh: bool = True) -> None:
        self._logits = logits
        self._has_mesh = mesh

    def detect(self, image: Image) -> list[Face]:
        boxes = [(10 * i, 0, 11 * i + 5, 20) for i in range(len(self._logits))]
        return [Face(np.array(box, np.float32), 0.9) for box in boxes]

    def fit(self, image: Image, face: Face) -> Face | None:
        logit = self._logits[int(face.box[0]) // 10]
        if logit is None:
            return None
        mesh = np.full((468, 3), logit, np.float32) if self._has_mesh else None
        return Face(face.box, 0.9, mesh=mesh, logit=logit)

    refit = refine = fit


@pytest.mark.parametrize(
    ("logits", "kept"),
    [
        ((8.5, 6.4), [8.5]),  # the larger box is on a wall
        ((6.4, 22.0, 0.5, 7.0), [22.0, 7.0]),
        ((0.5, 5.1, 3.0), [5.1]),  # one doubtful face is better than none
        ((None, 5.1), [5.1]),
        ((None,), []),
        ((), []),
    ],
)
def test_doubtful_fits_are_left_out_beside_a_better_one(
    logits: Sequence[float | None], kept: list[float]
) -> None:
    both = Scripted(logits)
    assert [face.logit for face in fit_detected(BLANK, both, both)] == kept
    found = FaceFinder(both, both).find(BLANK)
    assert [face.logit for face in found] == kept
    assert [face.track for face in found] == list(range(len(kept)))


def test_a_reference_image_with_a_larger_box_on_a_wall() -> None:
    both = Scripted((8.5, 6.4))
    reference = read_reference_face(BLANK, "a.png", both, both)
    assert reference.mesh is not None and reference.mesh[0, 0] == 8.5


def test_landmarks_without_a_mesh_have_no_logit() -> None:
    both = Scripted((0.0, 0.0), mesh=False)
    assert len(fit_detected(BLANK, both, both)) == 2
