"""Background beside the cheeks that the person network takes for the person."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Array32, Crop
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.beside_cheeks import person_share
from thcli.engines.mesh.background.matte import separate_person
from thcli.engines.mesh.sampling import to_samples
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 256
MESH = faces.centred_mesh(SIDE, SIDE)
HEIGHT = anatomy.face_height(MESH)


def regions_of(mesh: Array) -> tuple[Array32, Regions]:
    """Return the face (256, 256) of a mesh and its regions: skin, and background around."""
    face = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE).astype(np.float32)
    planes = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("skin")], planes[class_number("background")] = face, 1 - face
    return face, Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)


def place(mesh: Array, across: float, below: float) -> tuple[int, int]:
    """Return the row and column of face heights beside and below the middle of a face."""
    down = (mesh[anatomy.CHIN] - mesh[anatomy.FOREHEAD])[:2] / anatomy.face_height(mesh)
    middle = (mesh[anatomy.CHIN] + mesh[anatomy.FOREHEAD])[:2] / 2
    x, y = middle + HEIGHT * (across * np.array([down[1], -down[0]]) + below * down)
    return round(float(y)), round(float(x))


@pytest.mark.parametrize("roll", [0.0, 40.0])
def test_doubtful_persons_beside_a_cheek_are_background_where_the_parser_is_sure(
    roll: float,
) -> None:
    rotation = matrix_from_rotvec(np.radians(np.array([0, 0, roll])))
    mesh = (MESH - MESH.mean(0)) @ rotation.T + MESH.mean(0)
    face, regions = regions_of(mesh)
    oval = mesh[OVAL, :2]
    doubtful = np.full((SIDE, SIDE), 0.6, np.float32)
    share = person_share(doubtful, oval, regions, 1)
    assert share[face > 0].min() > 0.99  # the parser sees skin
    for side in (-1, 1):
        assert share[place(mesh, side * 0.6, 0.1)] < 0.01
        assert share[place(mesh, side * 0.6, -0.5)] > 0.99  # hair above
        assert share[place(mesh, side * 0.6, 0.7)] > 0.99  # clothes below
        assert share[place(mesh, side * 1.0, 0.1)] > 0.99
    certain = person_share(np.full((SIDE, SIDE), 0.98, np.float32), oval, regions, 1)
    assert certain.min() > 0.99  # a hand
    coarse = person_share(doubtful[::2, ::2], to_samples(oval, 2), regions, 2)
    assert np.abs(coarse - share[::2, ::2])[20:-20, 20:-20].mean() < 0.02


def test_a_shadow_on_the_wall_below_an_ear_stays_there() -> None:
    face, regions = regions_of(MESH)
    y, x = np.mgrid[:SIDE, :SIDE]
    right = MESH[OVAL, 0].max()
    shadow = (x > right - 2) & (x < right + 16) & (abs(y - MESH[:, 1].mean()) < 25)
    image = np.full((SIDE, SIDE, 3), 200, np.uint8)
    shadow &= face == 0
    image[shadow], image[face > 0] = 185, faces.SKIN
    likely = np.maximum(face, np.where(shadow, 0.6, 0)).astype(np.float32)

    def alpha(parsed: Regions | None) -> float:
        separated = separate_person(image, likely, MESH, parsed)
        assert separated is not None
        return float(separated[0].person[shadow, 3].mean())

    assert alpha(None) > 130 and alpha(regions) < 40
