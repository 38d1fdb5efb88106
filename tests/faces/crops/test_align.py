"""Where crops lie: templates, formulas of the references, and what must not depend on how the head lies in the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError
from thcli.core.geometry import rotated_square, transform
from thcli.core.types import Array, Crop, Face
from thcli.faces.crops import align
from thcli.faces.crops.crop import corners
from thcli.faces.landmarks.layouts import LAYOUTS, five_points, landmarks_of, outline, parts

FIVE = np.array([[203, 101], [247, 104], [223, 126], [202, 139], [245, 140]], np.float64)


def angle_of(where: Crop) -> float:
    return float(np.arctan2(where.crop_from_frame[0, 1], where.crop_from_frame[0, 0]))


def side_of(where: Crop) -> float:
    return where.size[0] / float(np.sqrt(np.linalg.det(where.crop_from_frame[:2, :2])))


def test_arcface_template_maps_to_itself() -> None:
    for size, shift in ((112, 0.0), (128, 8.0)):
        where = align.arcface(align.ARCFACE_112 + np.array([shift, 0]), size)
        np.testing.assert_allclose(where.crop_from_frame, np.eye(3), atol=1e-9)
        assert where.size == (size, size)


def test_arcface_of_another_size_is_the_same_region() -> None:
    small, large = align.arcface(FIVE, 112), align.arcface(FIVE, 336)
    np.testing.assert_allclose(corners(small), corners(large), atol=1e-9)


def test_arcface_without_mouth_corners_or_nose() -> None:
    six = np.concatenate([FIVE[:3], FIVE[3:].mean(0, keepdims=True), FIVE[:2]])
    full, less = align.arcface(FIVE), align.arcface(six)
    assert (
        np.abs(transform(full.crop_from_frame, FIVE) - transform(less.crop_from_frame, FIVE)).max()
        < 4
    )


def karras_quad(eyes: Array, mouth: Array) -> Array:
    """FFHQ's rectangle, top left first and clockwise, as the paper's appendix describes it, in another form than align.ffhq."""
    across = complex(*(eyes[1] - eyes[0]))
    down = complex(*(mouth.mean(0) - eyes.mean(0)))
    direction = across - 1j * down
    half = direction / abs(direction) * max(2.0 * abs(across), 1.8 * abs(down))
    centre = complex(*eyes.mean(0)) + 0.1 * down
    turned = half * 1j
    return np.array(
        [
            [p.real, p.imag]
            for p in (
                centre - half - turned,
                centre + half - turned,
                centre + half + turned,
                centre - half + turned,
            )
        ]
    )


@given(st.floats(-3, 3), st.floats(0.3, 4), st.sampled_from([256, 512, 1024]), st.floats(0.5, 2))
def test_ffhq_has_its_formula_s_corners(angle: float, scale: float, size: int, long: float) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    five = (FIVE * [1, long]) @ turn.T + [40, 90]
    where = align.ffhq(five, size)
    assert where.size == (size, size)
    np.testing.assert_allclose(corners(where), karras_quad(five[:2], five[3:]), atol=1e-6)


def test_ffhq_from_68_points_equals_its_five() -> None:
    points = np.random.default_rng(0).normal(size=(68, 2)) * 5
    points[36:42] += [-30, 0]
    points[42:48] += [30, 0]
    points[48:] += [0, 60]
    np.testing.assert_allclose(
        align.ffhq(points).crop_from_frame, align.ffhq(five_points(points)).crop_from_frame
    )


def test_liveportrait_is_the_reference_s(shared: Path) -> None:
    """shared/golden/LIVEPORTRAIT.npz was made by the reference itself (float32; it takes the angle from acos)."""
    with np.load(shared / "golden" / "LIVEPORTRAIT.npz") as golden:
        for tag in ("106", "203"):
            points = golden[f"crop/pts{tag}"]
            for kind, rotate in (("rot", True), ("norot", False)):
                where = align.liveportrait(points, 512, rotate=rotate)
                expected = golden[f"crop/{tag}/{kind}/pt_crop"]
                assert np.abs(transform(where.crop_from_frame, points) - expected).max() < 0.02
            small = align.liveportrait(points, 224, scale=1.5, up=0.1)
            np.testing.assert_allclose(
                small.crop_from_frame, golden[f"crop/{tag}/landmark_M_o2c"], atol=0.02
            )


def mesh_like(seed: int = 0) -> Array:
    """468 points with the parts at sensible places: enough for crops."""
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
    """The same face, turned, scaled and moved in the frame, falls on the same places of the crop."""
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
        transform(first.crop_from_frame, points),
        transform(second.crop_from_frame, moved),
        atol=1e-6,
    )


def test_the_mesh_counts_without_its_forehead() -> None:
    points = mesh_like()
    box = outline(points)
    assert len(box) < 468
    raised = points.copy()
    raised[10] = [300, -1000]  # the top of the forehead
    np.testing.assert_array_equal(
        align.liveportrait(points).crop_from_frame, align.liveportrait(raised).crop_from_frame
    )
    chin = points.copy()
    chin[152] = [300, 1000]
    assert side_of(align.liveportrait(chin)) > 1.5 * side_of(align.liveportrait(points))


def test_square_and_resized() -> None:
    where = align.square([10, 20, 50, 40], 80, scale=2.0, angle=0.3)
    assert side_of(where) == pytest.approx(80) and angle_of(where) == pytest.approx(0.3)
    np.testing.assert_allclose(transform(where.crop_from_frame, [30, 30]), [39.5, 39.5], atol=1e-9)
    np.testing.assert_allclose(corners(align.resized(where, 33)), corners(where), atol=1e-9)


def test_corners_are_the_outer_edges() -> None:
    where = Crop(rotated_square([49.5, 49.5], 100, 0.0, 10), (10, 10))
    np.testing.assert_allclose(
        corners(where), [[-0.5, -0.5], [99.5, -0.5], [99.5, 99.5], [-0.5, 99.5]], atol=1e-9
    )


@pytest.mark.parametrize("make", [align.arcface, align.ffhq, align.liveportrait])
def test_no_face_no_crop(make: type) -> None:
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
    assert parts(np.arange(406.0).reshape(203, 2)).nose is None
    with pytest.raises(NoFaceError):
        five_points(np.zeros((203, 2)))
