"""The raised corner of a mouth that opens at one side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import mouth_corners, mouth_interior
from thcli.motion import anatomy

RAISED = anatomy.INNER_MOUTH_CORNERS[1]


def smirk(*, seen: float) -> tuple[Image, Array, Array]:
    """Return a picture whose right corner is raised, its true mesh and landmarks that follow.

    seen: share of the raise that the landmarks follow.
    """
    mesh = faces.centred_mesh(256, 256, 0.8)
    width = float(np.ptp(mesh[LIPS, 0]))
    across = (mesh[:, 0] - mesh[78, 0]) / width
    near = np.exp(-((np.linalg.norm((mesh - mesh[RAISED])[:, :2], axis=1) / width / 0.4) ** 2))
    lower = mesh[:, 1] > mesh[LIPS, 1].mean()
    raised, opened = (near[:, None] * np.array([[0.06, -0.3, 0]]) * width, np.zeros_like(mesh))
    opened[:, 1] = np.where(lower, 0.12, -0.06) * width * np.clip(across, 0, 1) * near
    opened[RAISED] = 0
    true = mesh + raised + opened
    image = faces.render_face(true, 256, 256)
    ring = np.rint(true[LIPS, :2] * 16).astype(np.int32)
    cv2.fillPoly(image, [ring], (25, 10, 10), cv2.LINE_AA, 4)
    return image, true, mesh + seen * raised + opened


def test_landmarks_that_miss_a_raised_corner_are_moved_to_it() -> None:
    image, true, tracked = smirk(seen=0.65)
    shift = mouth_corners.find_shift(image, tracked)
    before, after = (np.linalg.norm((m - true)[RAISED, :2]) for m in (tracked, tracked + shift))
    assert after < 0.6 * before
    assert np.abs(shift[anatomy.FOREHEAD]).max() < 0.01
    moved = mouth_corners.refine(image, faces.make_face(tracked)).mesh
    assert moved is not None
    np.testing.assert_allclose(moved, tracked + shift, atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_either_side_is_found(*, mirrored: bool) -> None:
    image, _, tracked = smirk(seen=0.65)
    shift = mouth_corners.find_shift(image, tracked)
    assert shift[RAISED, 0] >= 0 > shift[RAISED, 1]
    if mirrored:
        twins = np.arange(468)
        flat = faces.centred_mesh(256, 256, 0.8)
        for i, point in enumerate(flat * (-1, 1, 1) + (255, 0, 0)):
            twins[i] = np.linalg.norm(flat - point, axis=1).argmin()
        other = (tracked * (-1, 1, 1) + (255, 0, 0))[twins]
        found = mouth_corners.find_shift(np.ascontiguousarray(image[:, ::-1]), other)
        np.testing.assert_allclose(found[anatomy.INNER_MOUTH_CORNERS[0], 0], -shift[RAISED, 0], 0.2)


def test_a_straight_mouth_keeps_its_landmarks() -> None:
    mesh = faces.centred_mesh(256, 256, 0.8)
    image = faces.render_face(mesh, 256, 256)
    face = faces.make_face(mesh)
    assert mouth_corners.refine(image, face) is face
    assert mouth_corners.correct(image, mesh, mesh + 1)[0] is mesh


def test_a_target_keeps_the_shift_as_far_as_it_keeps_the_smirk() -> None:
    image, _, tracked = smirk(seen=0.65)
    straight = faces.centred_mesh(256, 256, 0.8)
    shift = mouth_corners.find_shift(image, tracked)
    own, same = mouth_corners.correct(image, tracked, tracked)
    np.testing.assert_allclose(own, tracked + shift)
    np.testing.assert_allclose(same, own)
    np.testing.assert_allclose(mouth_corners.correct(image, tracked, straight)[1], straight, atol=1)


def test_teeth_do_not_follow_a_smirk_aside() -> None:
    _, true, _ = smirk(seen=1.0)
    moved = true.copy()
    moved[[mouth_interior.UPPER_LIP, mouth_interior.LOWER_LIP], 0] += 8
    interior = mouth_interior.prepare(moved, np.full(3, 150.0))
    assert abs(interior.upper[0]) < 0.5 and abs(interior.lower[0]) < 0.5
    straight = faces.centred_mesh(256, 256, 0.8)
    straight[mouth_interior.UPPER_LIP, 0] += 8
    assert mouth_interior.prepare(straight, np.full(3, 150.0)).upper[0] > 2
