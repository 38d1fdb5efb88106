"""Choice of clear fits among the boxes of a picture, with scripted logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from thcli.core.types import Face, Image
from thcli.faces.landmarks.detected import fit_detected, is_certain
from thcli.faces.tracking.select import read_reference_face
from thcli.pipeline.observe.face_finder import FaceFinder

BLANK = np.zeros((64, 64, 3), np.uint8)


class Scripted:
    """Detector and landmarker of boxes, larger from left to right, with given logits.

    again: score at which a box is found once more, in a crop around it; None: not at all.
    """

    def __init__(
        self, logits: Sequence[float | None], *, mesh: bool = True, again: float | None = 0.8
    ) -> None:
        self._logits = logits
        self._has_mesh = mesh
        self._again = again
        self.crops: list[tuple[int, ...]] = []

    def detect(self, image: Image) -> list[Face]:
        if image.shape != BLANK.shape:
            self.crops.append(image.shape)
            box = np.array([0, 0, image.shape[1] / 2, image.shape[0]], np.float32)
            return [] if self._again is None else [Face(box, self._again)]
        boxes = [(10 * i, 0, 11 * i + 5, 20) for i in range(len(self._logits))]
        return [Face(np.array(box, np.float32), 0.9) for box in boxes]

    def fit(self, image: Image, face: Face) -> Face | None:
        logit = self._logits[int(face.box[0]) // 10]
        if logit is None:
            return None
        mesh = np.full((468, 3), logit, np.float32) if self._has_mesh else None
        return Face(face.box, 0.9, mesh=mesh, logit=logit)

    refit = refine = fit


class Searching(Scripted):
    """Boxes nothing but walls at first; a closer search finds the boxes of other logits.

    small: places and logits of faces that parts of the picture show.
    """

    def __init__(
        self,
        at_first: Sequence[float | None],
        searched: Sequence[float | None],
        small: Sequence[tuple[float, float]] = (),
        *,
        again: float | None = 0.8,
    ) -> None:
        super().__init__(at_first, again=again)
        self._searched, self._small = searched, small

    def detect_fast(self, image: Image) -> list[Face]:
        return self.detect(image)

    def detect_small(self, image: Image) -> list[Face]:
        self._logits = [*self._logits, *(logit for _, logit in self._small)]
        boxes = [(x, 0, x + 4, 4) for x, _ in self._small]
        return [Face(np.array(box, np.float32), 0.7) for box in boxes]

    def fit(self, image: Image, face: Face) -> Face | None:
        places = {x: logit for x, logit in self._small}
        if face.score > 0.8:
            return super().fit(image, face)
        logit = places[float(face.box[0])]
        return Face(face.box, 0.7, mesh=np.full((468, 3), logit, np.float32), logit=logit)

    def search(self, image: Image) -> list[Face]:
        self._logits = self._searched
        return self.detect(image)


@pytest.mark.parametrize(
    ("at_first", "searched", "kept"),
    [
        ((None,), (20.0,), [20.0]),
        ((None, None), (8.0, 6.0), [8.0]),
        ((None,), (3.1,), []),  # a dog
        ((4.0,), (20.0,), [4.0]),
        ((None,), (), []),
        ((), (20.0,), []),  # without a box, `detect` has searched already
    ],
)
def test_a_closer_search_follows_where_no_box_is_a_face(
    at_first: Sequence[float | None], searched: Sequence[float | None], kept: list[float]
) -> None:
    both = Searching(at_first, searched)
    assert [face.logit for face in fit_detected(BLANK, both, both)] == kept


@pytest.mark.parametrize(
    ("small", "again", "kept"),
    [
        ([(40.0, 22.0), (50.0, 21.0)], None, [22.0, 21.0]),
        ([(1.0, 22.0)], None, []),  # the large face again
        ([(40.0, 22.0), (41.0, 23.0)], None, [22.0]),
        ([(40.0, 6.0)], 0.8, []),
        ([(40.0, 12.0)], None, []),
        ([(40.0, 12.0)], 0.8, [12.0]),
    ],
)
def test_smaller_faces_are_looked_for_beside_a_face(
    small: Sequence[tuple[float, float]], again: float | None, kept: list[float]
) -> None:
    both = Searching((24.0,), (), small, again=again)
    assert [face.logit for face in fit_detected(BLANK, both, both)] == [24.0, *kept]


@pytest.mark.parametrize(
    ("logits", "kept"),
    [
        ((8.5, 6.4), [8.5]),  # the larger box is on a wall
        ((6.4, 22.0, 0.5, 7.0), [22.0, 7.0]),
        ((8.0, 17.9), [8.0, 17.9]),
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


@pytest.mark.parametrize(
    ("logits", "again", "kept", "searched"),
    [
        ((11.4, 29.0), None, [29.0], 1),  # a wall
        ((11.4, 29.0), 0.5, [29.0], 1),
        ((11.4, 29.0), 0.6, [11.4, 29.0], 1),  # a profile beside a face
        ((11.4, 17.0), None, [11.4, 17.0], 0),  # two doubtful ones
        ((11.4,), None, [11.4], 0),
        ((29.0, 18.0), None, [29.0, 18.0], 0),
    ],
)
def test_a_doubtful_box_beside_a_certain_face_must_be_found_again(
    logits: Sequence[float], again: float | None, kept: list[float], searched: int
) -> None:
    both = Scripted(logits, again=again)
    assert [face.logit for face in fit_detected(BLANK, both, both)] == kept
    assert len(both.crops) == searched


def test_a_box_outside_of_the_image_is_not_certain() -> None:
    both = Scripted((11.4,))
    outside = Face(np.array([90, 90, 110, 110], np.float32), 0.9, logit=9.0)
    assert is_certain(BLANK, outside, both)  # no mesh, so no logit
    fitted = replace(outside, mesh=np.zeros((468, 3), np.float32))
    assert not is_certain(BLANK, fitted, both)


def test_a_reference_image_with_a_larger_box_on_a_wall() -> None:
    both = Scripted((8.5, 6.4))
    reference = read_reference_face(BLANK, "a.png", both, both)
    assert reference.mesh is not None and reference.mesh[0, 0] == 8.5


def test_landmarks_without_a_mesh_have_no_logit() -> None:
    both = Scripted((0.0, 0.0), mesh=False)
    assert len(fit_detected(BLANK, both, both)) == 2
