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


def mouth(gap: float, upper: int, lower: int, line: int = 40) -> tuple[Image, Array]:
    """Return a face whose open mouth has one level above its middle and one below, and its mesh.

    Lines of a level cross all of it, as those between teeth.
    """
    mesh = 2 * faces.make_target(faces.make_source(), mouth=gap).points
    image = np.full((512, 512, 3), SKIN, np.uint8)
    ring = mesh[LIPS_INNER, :2]
    inside = np.full_like(image, lower)
    inside[: round(ring[:, 1].mean())] = upper
    inside[:, ::6] = line
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(ring).astype(np.int32)], 1)
    image[mask > 0] = inside[mask > 0]
    return image, mesh


@pytest.mark.parametrize(
    ("upper", "lower", "line", "shown"),
    [
        (150, 150, 150, 0.0),
        (140, 150, 150, 0.0),
        (200, 110, 40, 1.0),
        (60, 150, 40, 1.0),
        (200, 200, 90, 1.0),
        (100, 70, 90, 0.0),  # neither teeth nor a cavity: a soft video
    ],
)
def test_an_inside_is_told_by_teeth_or_a_dark_cavity(
    upper: int, lower: int, line: int, shown: float
) -> None:
    image, mesh = mouth(0.6, upper, lower, line)
    assert shown_inside(image, mesh) == shown
    assert shown_inside(image.astype(np.uint16) * 257, mesh) == shown


def test_teeth_of_a_soft_video_are_not_shown() -> None:
    image, mesh = mouth(0.6, 200, 60)
    seen = [
        shown_inside(np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8), mesh)
        for blur in (0.1, 2.0, 3.0)
    ]
    assert seen[0] == 1
    assert seen[0] > seen[1] >= seen[2]
    assert seen[2] < 0.2


def test_overexposed_teeth_are_not_shown() -> None:
    assert shown_inside(*mouth(0.6, 240, 240)) == 1
    assert shown_inside(*mouth(0.6, 255, 255)) == 0


def test_lips_that_hardly_part_show_nothing() -> None:
    assert shown_inside(*mouth(0.0, 40, 40)) == CLOSED


def test_a_mouth_beyond_the_picture_is_measured_at_its_edge() -> None:
    image, mesh = mouth(0.6, 40, 40)
    mesh = mesh + np.array([800.0, 600, 0])
    assert 0 <= shown_inside(image, mesh) <= 1
