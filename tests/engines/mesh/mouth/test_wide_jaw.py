"""Skin and chin below the lips of a wide open mouth."""

import numpy as np

from tests.engines.mesh.synthetic_faces import make_face
from thcli.core.types import Array
from thcli.engines.mesh.mouth import wide_jaw
from thcli.motion import closure
from thcli.motion.canonical import decompose, neutral
from thcli.motion.closure import set_lips


def mesh_with_gap(gap: float) -> Array:
    """Return a mesh (468, 3) in pixels whose lips part by a gap in canonical units."""
    shape = neutral()[None].copy()
    set_lips(shape, np.full((1, 9), gap))
    return np.asarray(shape[0] * 100 + (128, 100, 0))


def below_lip(mesh: Array) -> Array:
    """Return the shares of the way from lip to jaw of the skin right below the lip."""
    lip, skin, *_, edge = wide_jaw._COLUMNS
    return wide_jaw._shares(decompose(mesh).shape, skin, lip, edge)


def test_chin_and_skin_leave_the_lip_of_a_wide_open_mouth() -> None:
    mesh = mesh_with_gap(0.42)
    assert below_lip(mesh)[3:6].max() < 0  # the skin's landmarks lie on the lip
    moved = wide_jaw.refine(make_face(mesh)).mesh
    assert moved is not None
    usual = below_lip(neutral())
    np.testing.assert_array_less(0.75 * usual, below_lip(moved.astype(np.float64)))
    height = closure.chin_height(decompose(moved.astype(np.float64)).shape)
    assert height > 0.95 * wide_jaw.LEAST_CHIN * closure.chin_height(neutral())
    still = [0, 13, 14, 17, 61, 291, 1, 33, 263, 10]
    np.testing.assert_allclose(moved[still], mesh[still], atol=1e-3)


def test_faces_that_speak_are_left_alone() -> None:
    for gap in (0.0, 0.1):
        face = make_face(mesh_with_gap(gap))
        assert wide_jaw.refine(face) is face


def test_a_frame_of_a_video_keeps_the_mesh_of_a_mouth_that_speaks() -> None:
    mesh = mesh_with_gap(0.1)
    assert wide_jaw.lower_skin(mesh) is mesh
    assert wide_jaw.lower_skin(mesh_with_gap(0.42))[152, 1] > mesh_with_gap(0.42)[152, 1] + 1
