"""Crop placement of the published models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError
from thcli.core.geometry import bounding_box, transform_points
from thcli.core.types import Array, Crop, Face
from thcli.faces.landmarks.landmarks68 import landmarks68
from thcli.faces.model3d import crops
from thcli.motion.canonical import neutral

RULES = (crops.tddfa, crops.deca, crops.deep3d)
MESH = 120 * neutral() + [300.0, 260.0, 0.0]


def face(mesh: Array = MESH) -> Face:
    return Face(bounding_box(mesh), 1.0, mesh=mesh.astype(np.float32))


def edges(placement: Array, size: int) -> Array:
    """Return the crop's outer edges in the image: x0, y0, x1, y1."""
    return transform_points(
        np.asarray(np.linalg.inv(placement)), [[-0.5, -0.5], [size - 0.5, size - 0.5]]
    ).ravel()


def test_tddfa_is_a_square_of_root_two_of_the_68_points() -> None:
    box = bounding_box(landmarks68(MESH.astype(np.float32)))
    side = np.sqrt(2) * max(box[2] - box[0], box[3] - box[1])
    crop = crops.tddfa(face())
    assert crop.size == (120, 120)
    x0, y0, x1, y1 = edges(crop.crop_from_frame, 120)
    assert (x1 - x0, y1 - y0) == (pytest.approx(side, rel=1e-6), pytest.approx(side, rel=1e-6))
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (
        pytest.approx((box[0] + box[2]) / 2),
        pytest.approx((box[1] + box[3]) / 2),
    )


def test_tddfa_of_a_detector_box() -> None:
    x0, y0, x1, y1 = edges(
        crops.tddfa(Face(np.array([100, 50, 200, 190], np.float32), 1.0)).crop_from_frame, 120
    )
    assert (x1 - x0) == pytest.approx(1.58 * 120)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (pytest.approx(150), pytest.approx(120 + 0.14 * 120))


def test_the_square_of_deca_ends_on_pixel_centres() -> None:
    box = bounding_box(landmarks68(MESH.astype(np.float32)))
    side = 1.25 * 1.1 * (box[2] - box[0] + box[3] - box[1]) / 2
    crop = crops.deca(face())
    middle = (box[:2] + box[2:]) / 2
    ends = transform_points(crop.crop_from_frame, [middle - side / 2, middle + side / 2])
    np.testing.assert_allclose(ends, [[0, 0], [223, 223]], atol=1e-3)


def test_deep3d_scales_the_standard_face() -> None:
    """The standard face at 50 px a unit gets 102 px a unit in the crop, centred."""
    points = crops.STANDARD_FACE[:, :2] * [50, -50] + [400, 300]
    crop = crops.deep3d(
        Face(np.array([0, 0, 1, 1], np.float32), 1.0, points=points.astype(np.float32))
    )
    assert crop.crop_from_frame[0, 0] == pytest.approx(102 / 50, rel=1e-5)
    np.testing.assert_allclose(
        transform_points(crop.crop_from_frame, [400, 300]), [112, 112], atol=2.1
    )


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25, deadline=None)
@given(k=st.floats(0.2, 6), x=st.floats(-500, 500), y=st.floats(-500, 500))
def test_the_crop_follows_the_face(
    rule: Callable[[Face], Crop], k: float, x: float, y: float
) -> None:
    """A larger and shifted face gives the same view, to a pixel of the crop."""
    plain, other = rule(face()), rule(face(k * MESH + [x, y, 0.0]))
    assert other.crop_from_frame[0, 1] == other.crop_from_frame[1, 0] == 0
    seen = [
        transform_points(c.crop_from_frame, m[:, :2])
        for c, m in ((plain, MESH), (other, k * MESH + [x, y, 0.0]))
    ]
    assert np.abs(seen[0] - seen[1]).max() < 0.02 * 224 * max(1, 1 / k) / 2


@pytest.mark.parametrize("rule", RULES)
def test_a_face_without_an_extent_is_refused(rule: Callable[[Face], Crop]) -> None:
    point = Face(np.zeros(4, np.float32), 1.0, keypoints=np.zeros((5, 2), np.float32))
    with pytest.raises(NoFaceError):
        rule(point)
    with pytest.raises(NoFaceError):
        rule(Face(np.array([5, 5, 5, 9], np.float32), 1.0))
