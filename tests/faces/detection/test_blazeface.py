"""BlazeFace: overlap merging, anchors, rotations, and real images of every size."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from thcli.core.errors import WeightsError
from thcli.core.types import Face
from thcli.faces.detection.anchors import weighted_nms
from thcli.faces.detection.blazeface import (
    FULL_RANGE,
    SHORT_RANGE,
    BlazeFace,
    drop_overlapping,
    rotate_back,
    shift_face,
)

Pixels = npt.NDArray[np.uint8]


@st.composite
def boxes(draw: st.DrawFn) -> npt.NDArray[np.float32]:
    corners = draw(
        hnp.arrays(np.float32, (draw(st.integers(1, 12)), 4), elements=st.floats(0, 100, width=32))
    )
    low, size = corners[:, :2], corners[:, 2:] + 1
    return np.concatenate([low, low + size], 1).astype(np.float32)


def test_anchors() -> None:
    assert SHORT_RANGE.anchors().shape == (896, 2)
    assert FULL_RANGE.anchors().shape == (2304, 2)
    assert np.allclose(
        SHORT_RANGE.anchors()[:4],
        [[1 / 32, 1 / 32], [1 / 32, 1 / 32], [3 / 32, 1 / 32], [3 / 32, 1 / 32]],
    )
    assert np.allclose(SHORT_RANGE.anchors()[512], [1 / 16, 1 / 16])


@given(boxes(), st.integers(0, 10**6))
def test_weighted_nms_keeps_the_best_score_and_stays_inside(
    rows: npt.NDArray[np.float32], seed: int
) -> None:
    scores = np.random.default_rng(seed).uniform(0.5, 1, len(rows)).astype(np.float32)
    found = weighted_nms(rows, scores)
    assert 1 <= len(found) <= len(rows)
    assert found[0][1] == scores.max()
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    for row, _ in found:
        assert (row >= rows.min(0) - 1e-3).all()
        assert (row <= rows.max(0) + 1e-3).all()


def test_weighted_nms_averages_by_score() -> None:
    rows = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    found = weighted_nms(rows, np.array([0.5, 1.0, 0.75], np.float32))
    assert [round(score, 2) for _, score in found] == [1.0, 0.75]
    assert np.allclose(found[0][0], [2 / 3, 0, 10 + 2 / 3, 10])


@given(boxes())
def test_drop_overlapping_leaves_no_overlap(rows: npt.NDArray[np.float32]) -> None:
    kept = drop_overlapping([Face(row, 1 - 0.01 * i) for i, row in enumerate(rows)])
    assert kept[0].score == 1
    for i, a in enumerate(kept):
        for b in kept[:i]:
            shared = np.clip(
                np.minimum(a.box[2:], b.box[2:]) - np.maximum(a.box[:2], b.box[:2]), 0, None
            ).prod()
            assert shared <= 0.3 * min(a.area, b.area) + 1e-3


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_of_a_rotated_image_is_rotated_back(quarters: int) -> None:
    image = np.zeros((40, 60), np.uint8)
    image[7, 11] = 255
    ((y, x),) = np.argwhere(np.rot90(image, quarters))
    face = Face(np.array([x, y, x, y], np.float32), 1.0, np.full((6, 2), (x, y), np.float32))
    back = rotate_back(face, quarters, 60, 40)
    assert back.box.tolist() == [11, 7, 11, 7]
    assert back.keypoints is not None
    assert (back.keypoints == (11, 7)).all()


def test_shift_face_shifts_box_and_points() -> None:
    face = shift_face(Face(np.zeros(4, np.float32), 1.0, np.zeros((6, 2), np.float32)), 3, 5)
    assert face.box.tolist() == [3, 5, 3, 5]
    assert face.keypoints is not None
    assert (face.keypoints == (3, 5)).all()


def expect_one(
    detector: BlazeFace, image: npt.NDArray[np.generic], centre: tuple[float, float], width: float
) -> Face:
    faces = detector.detect(image)
    assert len(faces) == 1
    box = faces[0].box
    assert (
        np.hypot((box[0] + box[2]) / 2 - centre[0], (box[1] + box[3]) / 2 - centre[1])
        < 0.25 * width
    )
    assert 0.75 < (box[2] - box[0]) / width < 1.45
    return faces[0]


def test_the_astronaut(detector: BlazeFace, astronaut: Pixels) -> None:
    face = expect_one(detector, astronaut, (225, 127), 94)
    assert face.keypoints is not None
    right_eye, left_eye, nose, mouth, right_ear, left_ear = face.keypoints
    assert right_ear[0] < right_eye[0] < nose[0] < left_eye[0] < left_ear[0]
    assert right_eye[1] < nose[1] < mouth[1]


def test_sixteen_bits_give_the_same_faces(detector: BlazeFace, astronaut: Pixels) -> None:
    (deep,), (flat,) = (
        detector.detect(astronaut.astype(np.uint16) * 257),
        detector.detect(astronaut),
    )
    assert np.abs(deep.box - flat.box).max() < 0.5


@pytest.mark.parametrize("size", [(1920, 1080), (512, 512), (300, 700)])
@pytest.mark.parametrize("share", [0.55, 0.12, 0.045])
def test_small_and_large_faces(
    detector: BlazeFace, astronaut: Pixels, size: tuple[int, int], share: float
) -> None:
    """share: width of the face over the longer side of the image."""
    width = share * max(size)
    k = width / 94
    if k * 220 > min(size):
        k, width = min(size) / 220, min(size) / 220 * 94
    small = cv2.resize(
        astronaut[30:250, 115:335],
        None,
        fx=k,
        fy=k,
        interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_LINEAR,
    )
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    x, y = (size[0] - small.shape[1]) * 2 // 3, (size[1] - small.shape[0]) // 3
    image[y : y + small.shape[0], x : x + small.shape[1]] = small
    expect_one(detector, image, (x + 110 * k, y + 97 * k), width)


@pytest.mark.parametrize("upright", [False, True])
def test_small_faces_of_a_panorama(detector: BlazeFace, astronaut: Pixels, upright: bool) -> None:
    size = (400, 9000) if upright else (9000, 400)
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    x, y = (90, 5000) if upright else (5000, 90)
    image[y : y + 220, x : x + 220] = astronaut[30:250, 115:335]
    expect_one(detector, image, (x + 110, y + 97), 94)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_rotated_images(detector: BlazeFace, astronaut: Pixels, quarters: int) -> None:
    image = np.ascontiguousarray(np.rot90(astronaut, quarters))
    x, y = {1: (127, 511 - 225), 2: (511 - 225, 511 - 127), 3: (511 - 127, 225)}[quarters]
    expect_one(detector, image, (x, y), 94)


def test_two_faces(detector: BlazeFace, astronaut: Pixels) -> None:
    both = np.hstack([astronaut, astronaut[:, ::-1]])
    centres = sorted((face.box[0] + face.box[2]) / 2 for face in detector.detect(both))
    assert np.allclose(centres, [225, 1023 - 225], atol=15)


@pytest.mark.parametrize("shape", [(512, 512), (1, 1), (3, 700), (4000, 2), (4000, 40)])
def test_none(detector: BlazeFace, shape: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, shape[0] * shape[1] * 3).reshape(*shape, 3).astype(np.uint8)
    assert detector.detect(ramp) == []
    assert detector.detect(np.zeros_like(ramp)) == []


def test_missing_weights_are_an_error_when_needed(tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        BlazeFace(tmp_path / "a", tmp_path / "b").detect(np.zeros((9, 9, 3), np.uint8))
