"""The picture beside a cheek whose skin comes from further inside."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_turned_sides import HAIR, SIDE, with_hair
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.head.steep_texture import BARE, FOLLOWED, moved_beside
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.surroundings import bare_beside
from thcli.faces.landmarks.topology import OVAL

MESH = faces.centred_mesh(SIDE, SIDE)
AWAY = MESH[OVAL, :2] - MESH[OVAL, :2].mean(0)


def source_from_target(pitch: float = 0.0, yaw: float = 0.0) -> Array32:
    angles = np.radians(np.array([pitch, yaw, 0]))
    return np.asarray(matrix_from_rotvec(angles).T, np.float32)


@pytest.mark.parametrize("roll", [0.0, 70.0])
def test_what_lies_beside_follows_an_inward_move_in_part(roll: float) -> None:
    # of a head that leans, too, a raised chin is told along its own axis
    tilt = matrix_from_rotvec(np.array([0, 0, np.radians(roll)]))
    mesh = (MESH - MESH.mean(0)) @ tilt.T + MESH.mean(0)
    inwards = -0.1 * AWAY @ tilt[:2, :2].T

    def moved(matrix: Array32, bare: Array | None) -> Array:
        return moved_beside(inwards, mesh, np.asarray(tilt @ matrix @ tilt.T, np.float32), bare)

    level, background = source_from_target(yaw=25), np.ones(36)
    assert np.allclose(moved(level, None), FOLLOWED * inwards)
    assert np.allclose(moved(level, background), (FOLLOWED + BARE) * inwards)
    assert np.allclose(moved(source_from_target(pitch=-16), background), 0)
    assert np.allclose(moved(source_from_target(pitch=16), None), FOLLOWED * inwards)


def test_outward_moves_are_followed_as_they_are() -> None:
    for matrix in (source_from_target(), source_from_target(pitch=-30)):
        assert np.array_equal(moved_beside(0.1 * AWAY, MESH, matrix, None), 0.1 * AWAY)


def test_background_is_told_from_what_belongs_to_a_person() -> None:
    person = np.zeros((SIDE, SIDE, 4), np.uint8)
    person[:, : SIDE // 2, 3] = 255
    bare = bare_beside(person, find_outline(MESH), anatomy.face_height(MESH))
    assert (bare[1:18][2:-2] > 0.99).all()  # on the image's right
    assert (bare[19:36][2:-2] < 0.01).all()


@pytest.mark.parametrize("side", [-1, 1])
def test_a_turned_face_with_a_raised_chin_is_no_broader_than_its_mesh(side: int) -> None:
    image, mesh, person = with_hair(0.3)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), SeenPersons(person))
    target = faces.make_target(source, turn=(-16, side * 24, 0))
    out = render_frame(source, target, None).astype(int)
    skin = out.mean(-1) > (np.mean(HAIR) + np.mean(faces.SKIN)) / 2
    shown: Array = target.points
    near = 1 if shown[4, 0] < shown[OVAL, 0].mean() else -1
    jaw = OVAL[9:15] if near > 0 else OVAL[22:28]
    size = anatomy.face_height(mesh)
    for point in shown[jaw, :2]:
        row = skin[round(float(point[1])), round(float(shown[4, 0])) :: near]
        beyond = int(np.argmin(row)) - near * (float(point[0]) - round(float(shown[4, 0])))
        assert beyond < 0.03 * size
