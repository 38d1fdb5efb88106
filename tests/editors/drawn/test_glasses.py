"""Tests of drawn glasses beside turned heads and below hair."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.editors.drawn.drawn_face import (
    PAINTER,
    make_face,
    max_change,
    region_interior,
)
from thcli.core.types import Array32, Painted
from thcli.faces.parsing.classes import class_number


def test_glasses_go_behind_a_turned_head() -> None:
    changed = max_change({"eyeglasses": 1.0}, yaw=40.0) > 30
    columns = np.flatnonzero(changed.any(0))
    mesh = make_face(40.0)[1].mesh
    assert mesh is not None
    # Outer corners of the eyes: the nose points to the left of the image.
    near, far = (
        mesh[263, 0],
        mesh[33, 0],
    )
    assert columns[-1] - near > 0.5 * 140, "the near temple reaches to the ear"
    assert far - columns[0] < 0.4 * 140, "the far one is hidden by the face"


def wear(yaw: float, planes: Array32) -> Painted:
    """Return a face with sunglasses and other regions than its own."""
    crop, face, own = make_face(yaw)
    look = PAINTER.measure_appearance([crop], [face], own[None])[0]
    prepared = PAINTER.prepare(look, {"sunglasses": 1.0})
    return PAINTER.paint([crop], [face], planes[None], prepared)[0]


@pytest.mark.parametrize("name", ["background", "hair"])
@pytest.mark.parametrize(("yaw", "corner", "way"), [(30.0, 33, -1), (-30.0, 263, 1)])
def test_the_far_rim_stands_out_before_what_is_behind(
    yaw: float, corner: int, way: int, name: str
) -> None:
    """In full, also in the strip in which the mesh reaches further than the face."""
    crop, face, regions = make_face(yaw)
    assert face.mesh is not None
    other = regions[class_number("hair")] + regions[class_number("background")]
    narrower = np.asarray(cv2.erode(1 - other, np.ones((9, 9), np.uint8)), np.float32)
    planes = regions * narrower
    planes[class_number(name)] += 1 - planes.sum(0)
    painted = wear(yaw, planes)
    assert painted.beside is not None
    x, y = face.mesh[corner, :2].astype(int)
    row = painted.beside[y, x::way] > 0.9  # from the far eye outwards
    assert row.sum() > 15
    dark = painted.image[y, x::way].mean(1) < 0.6 * crop[y, x::way].mean(1)
    assert dark[: np.flatnonzero(row)[-1] - 3].all(), "no bright line at the outline"
    nose = int(face.mesh[6, 0])
    near = painted.beside[:, :nose] if way > 0 else painted.beside[:, nose:]
    assert name == "background" or not (near > 0.5).any()


def test_hair_hides_glasses_beside_a_face_that_looks_ahead() -> None:
    beside = wear(0.0, make_face()[2]).beside
    assert beside is None or not beside[region_interior("hair")].any()
