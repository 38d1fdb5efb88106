"""Whites and lash lines that are read from the eyes of a source."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.eyes.extract import extract_eyes


def test_the_white_of_an_eye_is_no_skin_that_is_lighter() -> None:
    """It was pink in pale faces, between rims that enclose skin."""
    mesh = faces.centred_mesh(512, 512, 0.9)
    iris, image = faces.iris_points(mesh), np.full((512, 512, 3), (240, 205, 190), np.uint8)
    white, tone = (190, 185, 182), np.array([240.0, 205, 190])
    for points in iris:
        radius = float(np.linalg.norm(points[1] - points[0]))
        y, x = np.mgrid[:512, :512]
        distance = np.hypot(x - points[0, 0], y - points[0, 1])
        image[distance < 1.6 * radius] = white
        image[distance < radius] = faces.IRIS
    for eye in extract_eyes(image, mesh, iris, tone):
        assert eye.white == pytest.approx(white, abs=2)
    for eye in extract_eyes(np.full_like(image, (240, 205, 190)), mesh, iris, tone):
        assert eye.white is not None
        assert 1 - eye.white / eye.white.max() == pytest.approx((1 - tone / 240) / 2, abs=0.01)


def test_the_white_of_a_picture_that_is_all_of_one_tint_has_it() -> None:
    """In a yellow painting, it was as grey as the lashes."""
    mesh, tone = faces.centred_mesh(512, 512, 0.9), np.array([176.0, 132, 60])
    iris, image = faces.iris_points(mesh), np.full((512, 512, 3), (176, 132, 60), np.uint8)
    for ring, points in zip(anatomy.EYES, iris, strict=True):
        image[faces.polygon_mask(mesh[ring, :2], 512, 512, grow=2)] = (200, 160, 70)
        x, y = mesh[ring[12], :2].round().astype(int)
        image[y - 4 : y + 20, x - 20 : x + 20] = (96, 64, 41)
        radius = float(np.linalg.norm(points[1] - points[0]))
        cv2.circle(image, np.rint(points[0]).astype(int).tolist(), round(radius), (90, 60, 30), -1)
    for eye in extract_eyes(image, mesh, iris, tone):
        assert eye.white == pytest.approx((200, 160, 70), abs=12)


def test_a_gleam_is_not_the_white_of_an_eye() -> None:
    mesh, tone = faces.centred_mesh(512, 512, 0.9), np.array(faces.SKIN, float)
    iris, image = faces.iris_points(mesh), faces.render_face(mesh, 512, 512)
    left = faces.polygon_mask(mesh[anatomy.EYES[0], :2], 512, 512)
    image[left] = (image[left] * 0.6).astype(np.uint8)
    dim, bright = (eye.white for eye in extract_eyes(image, mesh, iris, tone))
    assert dim is not None and bright is not None
    assert bright.mean() == pytest.approx(1.2 * dim.mean(), rel=0.01)


def test_the_lash_line_of_an_eye_that_is_wide_open_is_not_white() -> None:
    """The white meets the upper lid of a frightened eye: it was a pale slit once the lids met."""
    mesh, tone = faces.centred_mesh(512, 512, 0.9), np.array([150.0, 100, 70])
    iris, image = faces.iris_points(mesh), np.full((512, 512, 3), (150, 100, 70), np.uint8)
    for lashes, light in (((235, 235, 235), 0.7), ((120, 85, 60), 0.85), ((40, 30, 25), 0.4)):
        for ring in anatomy.EYES:
            grown = faces.polygon_mask(mesh[ring, :2], 512, 512, grow=4)
            image[grown] = lashes
        for eye in extract_eyes(image, mesh, iris, tone):
            assert eye.lashes is not None and eye.lashes.mean() < light * tone.mean()
