"""Similarity fits, rotation conversions, crop matrices and boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from thcli.core import geometry
from thcli.core.types import Array

finite = st.floats(-50, 50, allow_nan=False, width=32)
rotvecs = hnp.arrays(np.float64, 3, elements=st.floats(-1.8, 1.8))
clouds = hnp.arrays(np.float64, (12, 3), elements=st.floats(-100, 100)).filter(
    lambda x: float(np.min(np.linalg.svd(x - x.mean(0))[1])) > 1.0
)


@given(rotvecs)
def test_rotvec_round_trip(rotvec: Array) -> None:
    back = geometry.rotvec_from_matrix(geometry.matrix_from_rotvec(rotvec))
    assert np.allclose(back, rotvec, atol=1e-7) or np.linalg.norm(rotvec) > np.pi - 1e-6


def test_half_turn_keeps_its_axis() -> None:
    half = geometry.matrix_from_rotvec([0.0, np.pi, 0.0])
    assert np.allclose(np.abs(geometry.rotvec_from_matrix(half)), [0, np.pi, 0])


@given(clouds, rotvecs, st.floats(0.2, 5), hnp.arrays(np.float64, 3, elements=finite))
def test_similarity_recovers_what_was_applied(
    cloud: Array, rotvec: Array, scale: float, shift: Array
) -> None:
    rotation = geometry.matrix_from_rotvec(rotvec)
    weights = np.linspace(0.1, 1, len(cloud))
    s, r, t = geometry.fit_similarity(cloud, scale * cloud @ rotation.T + shift, weights)
    assert s == pytest.approx(scale, rel=1e-6)
    assert np.allclose(r, rotation, atol=1e-6)
    assert np.allclose(t, shift, atol=1e-3)


@given(clouds)
def test_never_a_reflection(cloud: Array) -> None:
    _, rotation, _ = geometry.fit_similarity(cloud, cloud * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_a_batch_of_fits_equals_single_fits() -> None:
    rng = np.random.default_rng(0)
    src, dst = rng.normal(size=(5, 9, 2)), rng.normal(size=(5, 9, 2))
    batch = geometry.fit_similarity(src, dst)
    for i in range(5):
        for many, one in zip(batch, geometry.fit_similarity(src[i], dst[i]), strict=True):
            assert np.allclose(many[i], one)


def test_a_single_distinct_point_is_an_error() -> None:
    with pytest.raises(ValueError, match="two distinct points"):
        geometry.fit_similarity_matrix([[1, 1], [1, 1]], [[0, 0], [1, 1]])


def test_a_square_crop_maps_edges_to_edges() -> None:
    crop_from_frame = geometry.square_crop_matrix((10, 20), side=8, angle=0.0, size=16)
    assert np.allclose(geometry.transform_points(crop_from_frame, [10 - 4, 20 - 4]), [-0.5, -0.5])
    assert np.allclose(geometry.transform_points(crop_from_frame, [10 + 4, 20 + 4]), [15.5, 15.5])


@given(st.floats(-3, 3), st.floats(1, 100), st.integers(1, 512))
def test_a_square_crop_levels_the_eye_line(angle: float, side: float, size: int) -> None:
    crop_from_frame = geometry.square_crop_matrix((3, 4), side, angle, size)
    eye_line = [[3, 4], [3 + np.cos(angle), 4 + np.sin(angle)]]
    (left_x, left_y), (right_x, right_y) = geometry.transform_points(crop_from_frame, eye_line)
    assert right_y == pytest.approx(left_y, abs=1e-6 * size)
    assert right_x > left_x


def test_rotations_keep_their_shape_and_accept_read_only_arrays() -> None:
    rotvec = np.random.default_rng(0).normal(size=(2, 5, 3))
    rotvec.flags.writeable = False
    matrix = geometry.matrix_from_rotvec(rotvec)
    assert matrix.shape == (2, 5, 3, 3)
    matrix.flags.writeable = False
    assert geometry.rotvec_from_matrix(matrix).shape == (2, 5, 3)
    angles = geometry.angles_from_matrix(matrix)
    assert angles.shape == (2, 5, 3)
    angles.flags.writeable = False
    assert np.allclose(geometry.matrix_from_angles(angles), matrix)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 1.0, 3.0, np.pi - 1e-6, np.pi])
def test_rotations_are_those_of_scipy(angle: float) -> None:
    axes = np.random.default_rng(0).normal(size=(100, 3))
    rotvec = angle * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    matrix = geometry.matrix_from_rotvec(rotvec)
    assert np.allclose(matrix, Rotation.from_rotvec(rotvec).as_matrix(), rtol=0, atol=1e-14)
    found = geometry.rotvec_from_matrix(matrix)
    assert np.allclose(np.linalg.norm(found, axis=1), angle, rtol=0, atol=1e-14)
    again = Rotation.from_rotvec(found).as_matrix()
    assert np.allclose(again, matrix, rtol=0, atol=1e-14)
    if angle < np.pi:
        expected = Rotation.from_matrix(matrix).as_rotvec()
        assert np.allclose(found, expected, rtol=0, atol=1e-9)


def test_what_is_not_quite_a_rotation_gives_the_nearest_one() -> None:
    random = np.random.default_rng(1)
    matrix = geometry.matrix_from_rotvec(random.normal(size=(50, 3)))
    bent = matrix + random.normal(size=matrix.shape) * 1e-4
    left, _, right = np.linalg.svd(bent)
    nearest = geometry.rotvec_from_matrix(left @ right)
    assert np.allclose(geometry.rotvec_from_matrix(bent), nearest, rtol=0, atol=1e-7)


def test_no_rotations_give_empty_results() -> None:
    assert geometry.matrix_from_rotvec(np.zeros((0, 3))).shape == (0, 3, 3)
    assert geometry.rotvec_from_matrix(np.zeros((0, 3, 3))).shape == (0, 3)
    assert geometry.angles_from_matrix(np.zeros((0, 3, 3))).shape == (0, 3)
    assert geometry.matrix_from_angles(np.zeros((0, 3))).shape == (0, 3, 3)


@pytest.mark.parametrize(
    ("angles", "forward"),
    [
        ((30, 0, 0), (0, 0.5, -np.sqrt(0.75))),
        ((0, 30, 0), (-0.5, 0, -np.sqrt(0.75))),
        ((0, 0, 30), (0, 0, -1)),
    ],
    ids=["pitch looks down", "yaw turns to the image's left", "roll keeps the direction"],
)
def test_the_signs_of_the_angles(
    angles: tuple[float, float, float], forward: tuple[float, float, float]
) -> None:
    assert np.allclose(geometry.matrix_from_angles(angles) @ [0, 0, -1], forward)


def test_the_identity_warp_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 255, (7, 9, 3), np.uint8)
    assert np.array_equal(geometry.warp_affine(image, np.eye(3), (9, 7)), image)


def test_iou() -> None:
    assert geometry.box_iou([0, 0, 2, 2], [0, 0, 2, 2]) == pytest.approx(1)
    assert geometry.box_iou([0, 0, 2, 2], [1, 0, 3, 2]) == pytest.approx(1 / 3)
    assert geometry.box_iou([0, 0, 1, 1], [5, 5, 6, 6]) == 0


def test_overlap_is_the_share_of_the_smaller_box() -> None:
    assert geometry.box_overlap([0, 0, 4, 4], [1, 1, 3, 3]) == pytest.approx(1)
    assert geometry.box_overlap([0, 0, 2, 2], [1, 0, 5, 2]) == pytest.approx(0.5)
    assert geometry.box_overlap([0, 0, 1, 1], [5, 5, 6, 6]) == 0
