"""Rims of lips found in a picture, and the synthetic inside of the mouth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh.synthetic_faces import centred_mesh, make_face
from thcli.core.types import Array, Image
from thcli.engines.mesh import lip_rims, mouth_interior, opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import canonical, closure


def opened(mesh: Array, gap: float) -> Array:
    """Open the lips of a mesh (468, 3) as far as gap, in canonical units."""
    posed = canonical.decompose(mesh)
    shape = posed.shape[None].copy()
    gaps = np.maximum(canonical.lip_gaps(shape), 0)
    closure.set_lips(shape, gap * np.ones_like(gaps))
    return np.asarray(replace(posed, shape=shape[0]).mesh())


def inside(image: Image, mesh: Array) -> Image:
    """Return the column between the lips' middle (n, 3), from the upper to the lower."""
    lips = opening.fit_opening(mesh, LIPS)
    u = np.full((1, 1), 0.5, np.float32)
    upper, lower = (float(rim[0, 0]) for rim in lips.rims(u))
    v = np.linspace(upper, lower, 41)[3:-3]
    points = lips.corner + np.stack([np.full_like(v, 0.5), v], 1) @ lips.axes
    x, y = np.rint(points).astype(int).T
    return np.asarray(image[y, x])


def drawn(tone: tuple[int, int, int], gap: float) -> tuple[Image, Array]:
    """Draw the mouth of a face of one colour; return it and its mesh."""
    closed = centred_mesh(768, 768, 0.8)
    image = np.full((768, 768, 3), tone, np.uint8)
    interior = mouth_interior.prepare(closed, np.array(tone, np.float64), image)
    target, out = opened(closed, gap), image.copy()
    mouth_interior.render(out, image, interior, closed, target)
    return out, target


def test_a_film_of_lip_over_the_mouth_is_left_out_of_it() -> None:
    mesh = opened(centred_mesh(384, 384, 0.8), 0.15)
    lips = opening.fit_opening(mesh, LIPS)
    image = np.full((384, 384, 3), (205, 160, 140), np.uint8)
    outer = np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)
    cv2.fillPoly(image, [outer], (170, 80, 80))
    u, v = opening.local_coordinates(lips, (slice(0, 384), slice(0, 384)))
    upper, lower = lips.rims(u)
    image[(v > upper) & (v < (upper + lower) / 2) & (u > 0) & (u < 1)] = (40, 15, 15)
    moved = lip_rims.refine(image, make_face(mesh)).mesh
    assert moved is not None
    found = opening.fit_opening(moved.astype(np.float64), LIPS)
    assert 0.4 < found.gap / lips.gap < 0.7
    np.testing.assert_allclose(found.corner, lips.corner, atol=0.01)


def test_lips_without_an_edge_nearby_keep_their_landmarks() -> None:
    mesh = opened(centred_mesh(256, 256, 0.8), 0.1)
    face = make_face(mesh)
    assert lip_rims.refine(np.full((256, 256, 3), 150, np.uint8), face) is face
    closed = make_face(centred_mesh(256, 256, 0.8))
    assert lip_rims.refine(np.full((256, 256, 3), 150, np.uint8), closed) is closed


def test_the_mouth_of_a_black_and_white_picture_is_grey() -> None:
    out, mesh = drawn((150, 150, 150), 0.2)
    column = inside(out, mesh).astype(int)
    assert np.ptp(column, axis=1).max() <= 1
    assert column.min() < 75


@pytest.mark.parametrize("gap", [0.1, 0.15])
def test_a_mouth_that_opens_a_little_shows_no_second_row_of_teeth(gap: float) -> None:
    out, mesh = drawn((200, 150, 130), gap)
    column = inside(out, mesh).astype(float)
    paleness = column[:, 2] / column[:, 0]  # skin .65, teeth more, the tongue less
    pale = paleness[2:-8] > 0.62
    assert pale.any() and np.diff(pale.astype(int), append=0).tolist().count(-1) == 1
