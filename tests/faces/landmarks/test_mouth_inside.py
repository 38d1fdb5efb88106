"""Inside of an open mouth: teeth, dark, one light tone, or the mud of a soft video."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.faces.landmarks.mouth_inside import CLOSED, shown_inside
from thcli.faces.landmarks.topology import LIPS_INNER

SKIN = (180, 130, 110)


def mouth(gap: float, upper: int, lower: int) -> tuple[Image, Array]:
    """Return a face whose open mouth has one level above its middle and one below, and its mesh."""
    mesh = faces.make_target(faces.make_source(), mouth=gap).points
    image = np.full((256, 256, 3), SKIN, np.uint8)
    ring = mesh[LIPS_INNER, :2]
    cv2.fillPoly(image, [np.rint(ring).astype(np.int32)], (lower,) * 3)
    above = ring.copy()
    above[:, 1] = np.minimum(above[:, 1], ring[:, 1].mean())
    cv2.fillPoly(image, [np.rint(above).astype(np.int32)], (upper,) * 3)
    return image, mesh


@pytest.mark.parametrize(
    ("upper", "lower", "shown"),
    [
        (150, 150, 0.0),
        (140, 150, 0.0),
        (40, 40, 1.0),
        (200, 110, 1.0),
        (60, 150, 1.0),
        (100, 70, 0.0),  # neither teeth nor a cavity: a soft video
        (100, 20, 1.0),
    ],
)
def test_an_inside_is_told_by_teeth_or_a_dark_cavity(upper: int, lower: int, shown: float) -> None:
    image, mesh = mouth(0.6, upper, lower)
    assert shown_inside(image, mesh) == shown
    assert shown_inside(image.astype(np.uint16) * 257, mesh) == shown


def test_lips_that_hardly_part_show_nothing() -> None:
    assert shown_inside(*mouth(0.0, 40, 40)) == CLOSED


def test_a_mouth_beyond_the_picture_is_measured_at_its_edge() -> None:
    image, mesh = mouth(0.6, 40, 40)
    mesh = mesh + np.array([400.0, 300, 0])
    assert 0 <= shown_inside(image, mesh) <= 1
