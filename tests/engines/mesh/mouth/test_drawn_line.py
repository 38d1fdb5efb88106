"""The line of a drawn mouth, beside which landmarks may lie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import drawn_line
from thcli.faces.landmarks.topology import EYES, OVAL

SIDE = 512


def drawn(shift: float, slope: float) -> tuple[Image, Array, Array]:
    """Return skin with a mouth's line, a mesh whose lips lie beside it, and the line (49, 2).

    shift, slope: of the line from the lips, in widths.
    """
    mesh = faces.centred_mesh(SIDE, SIDE, 0.6)
    mesh[LIPS[11:], 1] = mesh[LIPS[9:0:-1], 1] - 0.2  # shut
    lips = opening.fit_opening(mesh, LIPS)
    u = np.linspace(0, 1, 49)
    upper, lower = lips.rims(u)
    v = (upper + lower) / 2 + shift + slope * (2 * u - 1)
    line = lips.corner + np.stack([u, v], 1) @ lips.axes
    image = faces.add_relief(np.full((SIDE, SIDE, 3), faces.SKIN, np.uint8)).copy()
    cv2.polylines(image, [np.rint(line * 16).astype(np.int32)], False, (90, 50, 40), 2, 16, 4)
    return image, mesh, line


@pytest.mark.parametrize(("shift", "slope"), [(-0.1, 0.0), (0.12, 0.0), (-0.08, 0.06)])
def test_shut_lips_move_onto_the_line(shift: float, slope: float) -> None:
    image, mesh, line = drawn(shift, slope)
    refined = drawn_line.refine(image, faces.make_face(mesh)).mesh
    assert refined is not None
    width = opening.fit_opening(mesh, LIPS).width

    def away(points: Array) -> float:
        return float(np.linalg.norm(points[:, None, :2] - line, axis=-1).min(1).max())

    assert away(mesh[LIPS]) > 0.07 * width
    assert away(refined[LIPS].astype(float)) < 0.025 * width
    stays = np.concatenate([OVAL, *EYES])
    assert np.allclose(refined[stays], mesh[stays], atol=1e-3)


def test_lips_on_their_line_and_open_ones_stay() -> None:
    image, mesh, _ = drawn(0.0, 0.0)
    blank = np.full_like(image, faces.SKIN)
    above, _, _ = drawn(-0.1, 0.0)
    parted = mesh.copy()
    parted[LIPS[11:], 1] -= 8
    for shown, landmarks in ((image, mesh), (blank, mesh), (above, parted)):
        face = faces.make_face(landmarks)
        assert drawn_line.refine(shown, face) is face
