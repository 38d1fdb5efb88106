"""Crop placement.

Templates, formulas of the references, and invariance to the pose in the frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError
from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.types import Array, Crop, Face
from thcli.faces.crops import align
from thcli.faces.crops.crop import corners
from thcli.faces.landmarks.layouts import (
    LAYOUTS,
    face_parts,
    five_points,
    landmarks_of,
    outline_points,
)

FIVE = np.array([[203, 101], [247, 104], [223, 126], [202, 139], [245, 140]], np.float64)


def angle_of(placement: Crop) -> float:
    return float(np.arctan2(placement.crop_from_frame[0, 1], placement.crop_from_frame[0, 0]))


def side_of(placement: Crop) -> float:
    return placement.size[0] / float(np.sqrt(np.linalg.det(placement.crop_from_frame[:2, :2])))


def test_arcface_template_maps_to_itself() -> None:
    for size, shift in ((112, 0.0), (128, 8.0)):
        placement = align.arcface(align.ARCFACE_112 + np.array([shift, 0]), size)
        np.testing.assert_allclose(placement.crop_from_frame, np.eye(3), atol=1e-9)
        assert placement.size == (size, size)


def test_arcface_of_another_size_is_the_same_region() -> None:
    small, large = align.arcface(FIVE, 112), align.arcface(FIVE, 336)
    np.testing.assert_allclose(corners(small), corners(large), atol=1e-9)


def test_arcface_without_mouth_corners_or_nose() -> None:
    six = np.concatenate([FIVE[:3], FIVE[3:].mean(0, keepdims=True), FIVE[:2]])
    full, less = align.arcface(FIVE), align.arcface(six)
    assert (
        np.abs(
            transform_points(full.crop_from_frame, FIVE)
            - transform_points(less.crop_from_frame, FIVE)
        ).max()
        < 4
    )


def karras_quad(eyes: Array, mouth: Array) -> Array:
    """Return FFHQ's rectangle, clockwise from top left, in the form of the paper."""
    across = complex(*(eyes[1] - eyes[0]))
    down = complex(*(mouth.mean(0) - eyes.mean(0)))
    direction = across - 1j * down
    half = direction / abs(direction) * max(2.0 * abs(across), 1.8 * abs(down))
    centre = complex(*eyes.mean(0)) + 0.1 * down
    normal = half * 1j
    return np.array(
        [
            [p.real, p.imag]
            for p in (
                centre - half - normal,
                centre + half - normal,
                centre + half + normal,
                centre - half + normal,
            )
        ]
    )


@given(st.floats(-3, 3), st.floats(0.3, 4), st.sampled_from([256, 512, 1024]), st.floats(0.5, 2))
def test_ffhq_has_the_corners_of_its_formula(
    angle: float, scale: float, size: int, long: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    five = (FIVE * [1, long]) @ turn.T + [40, 90]
    placement = align.ffhq(five, size)
    assert placement.size == (size, size)
    np.testing.assert_allclose(corners(placement), karras_quad(five[:2], five[3:]), atol=1e-6)


def test_ffhq_from_68_points_equals_its_five() -> None:
    points = np.random.default_rng(0).normal(size=(68, 2)) * 5
    points[36:42] += [-30, 0]
    points[42:48] += [30, 0]
    points[48:] += [0, 60]
    np.testing.assert_allclose(
        align.ffhq(points).crop_from_frame, align.ffhq(five_points(points)).crop_from_frame
    )


def test_liveportrait_equals_the_reference(shared: Path) -> None:
    """golden/LIVEPORTRAIT.npz is from the reference itself (float32; its angle is from acos)."""
    with np.load(shared / "golden" / "LIVEPORTRAIT.npz") as golden:
        for tag in ("106", "203"):
            points = golden[f"crop/pts{tag}"]
            for kind, rotate in (("rot", True), ("norot", False)):
                placement = align.liveportrait(points, 512, rotate=rotate)
                expected = golden[f"crop/{tag}/{kind}/pt_crop"]
                assert (
                    np.abs(transform_points(placement.crop_from_frame, points) - expected).max()
                    < 0.02
                )
            small = align.liveportrait(points, 224, scale=1.5, up=0.1)
            np.testing.assert_allclose(
                small.crop_from_frame, golden[f"crop/{tag}/landmark_M_o2c"], atol=0.02
            )


def mesh_like(seed: int = 0) -> Array:
    """Return 468 points with plausible facial features, enough for crops."""
    points = np.random.default_rng(seed).uniform([-60, -90], [60, 80], (468, 2))
    layout = LAYOUTS[468]
    points[list(layout.left_eye)] = [-30, -20]
    points[list(layout.right_eye)] = [30, -20]
    points[list(layout.mouth)] = [[-20, 40], [20, 40]]
    points[layout.nose] = [0, 10]
    return np.asarray(points + np.array([300, 250]))


@given(
    st.sampled_from(["arcface", "ffhq", "liveportrait"]),
    st.sampled_from([5, 68, 98, 106, 468]),
    st.floats(-3, 3),
    st.floats(0.2, 5),
    st.floats(-500, 500),
)
def test_crops_follow_the_head(
    name: str, count: int, angle: float, scale: float, shift: float
) -> None:
    """A rotated, scaled and shifted face has the same positions in the crop."""
    points = (
        mesh_like()
        if count == 468
        else FIVE
        if count == 5
        else np.random.default_rng(count).normal(size=(count, 2))
    )
    if count not in (5, 468):
        layout = LAYOUTS[count]
        points[list(layout.left_eye)] += [-3, -3]
        points[list(layout.right_eye)] += [3, -3]
        points[list(layout.mouth)] += [0, 4]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    moved = points @ np.array([[c, s], [-s, c]]) + [shift, -shift]
    make = getattr(align, name)
    first, second = make(points, 256), make(moved, 256)
    np.testing.assert_allclose(
        transform_points(first.crop_from_frame, points),
        transform_points(second.crop_from_frame, moved),
        atol=1e-6,
    )


def test_the_forehead_of_the_mesh_does_not_count() -> None:
    points = mesh_like()
    box = outline_points(points)
    assert len(box) < 468
    raised = points.copy()
    raised[10] = [300, -1000]  # the top of the forehead
    np.testing.assert_array_equal(
        align.liveportrait(points).crop_from_frame, align.liveportrait(raised).crop_from_frame
    )
    chin = points.copy()
    chin[152] = [300, 1000]
    assert side_of(align.liveportrait(chin)) > 1.5 * side_of(align.liveportrait(points))


def test_square_and_resize() -> None:
    placement = align.square([10, 20, 50, 40], 80, scale=2.0, angle=0.3)
    assert side_of(placement) == pytest.approx(80) and angle_of(placement) == pytest.approx(0.3)
    np.testing.assert_allclose(
        transform_points(placement.crop_from_frame, [30, 30]), [39.5, 39.5], atol=1e-9
    )
    np.testing.assert_allclose(corners(align.resize(placement, 33)), corners(placement), atol=1e-9)


@pytest.mark.parametrize(
    ("box", "edges"),
    [
        ([100, 60, 140, 100], (80, 40, 160, 120)),  # twice the box
        ([100, 5, 140, 45], (80, 0, 160, 80)),  # moved down into the image
        ([250, 120, 290, 160], (220, 80, 300, 160)),  # and up and to the left
        ([100, 20, 200, 120], (70, 0, 230, 160)),  # reduced to the image's height
        ([50, 0, 250, 160], (50, 0, 250, 160)),  # the part of a larger face's square
    ],
)
def test_a_square_stays_within_the_image(box: list[float], edges: tuple[int, ...]) -> None:
    placement = align.square_within(box, (300, 160), 2.0)
    left, top, right, bottom = edges
    assert placement.size == (right - left, bottom - top)
    np.testing.assert_allclose(
        corners(placement)[[0, 2]], [[left - 0.5, top - 0.5], [right - 0.5, bottom - 0.5]]
    )


def test_a_square_within_the_image_of_a_tiny_face_is_enlarged() -> None:
    placement = align.square_within([5, 5, 15, 15], (90, 90), 2.0)
    assert placement.size == (64, 64)
    np.testing.assert_allclose(corners(placement)[[0, 2]], [[-0.5, -0.5], [19.5, 19.5]], atol=1e-9)


def test_corners_are_the_outer_edges() -> None:
    placement = Crop(square_crop_matrix([49.5, 49.5], 100, 0.0, 10), (10, 10))
    np.testing.assert_allclose(
        corners(placement), [[-0.5, -0.5], [99.5, -0.5], [99.5, 99.5], [-0.5, 99.5]], atol=1e-9
    )


@pytest.mark.parametrize("make", [align.arcface, align.ffhq, align.liveportrait])
def test_landmarks_without_a_face_are_refused(make: type) -> None:
    for points in (np.ones((5, 2)), np.ones((7, 2)), np.full((5, 2), np.nan), np.ones(10)):
        with pytest.raises(NoFaceError):
            make(points)


def test_boxes_without_an_area_and_faces_without_points() -> None:
    for box in ([5, 5, 5, 9], [9, 5, 5, 9], [0, 0, np.inf, 4]):
        with pytest.raises(NoFaceError):
            align.square(box, 64)
    face = Face(np.array([0, 0, 9, 9], np.float32), 1.0)
    with pytest.raises(NoFaceError):
        landmarks_of(face)
    both = Face(
        face.box, 1.0, mesh=np.zeros((468, 3), np.float32), points=np.zeros((5, 2), np.float32)
    )
    assert landmarks_of(both).shape == (468, 2)
    assert face_parts(np.arange(406.0).reshape(203, 2)).nose is None
    with pytest.raises(NoFaceError):
        five_points(np.zeros((203, 2)))
