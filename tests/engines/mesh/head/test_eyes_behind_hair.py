"""Eyes that hair covers: found by the parser's regions, and never drawn."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_patches import red_network, shut_eyes
from thcli.core.types import Array, Crop, Image
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes import layer
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.covered_points import are_eyes_behind_hair
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import Regions

SIDE = 512
HAIR = (90, 60, 40)
MESH = faces.centred_mesh(SIDE, SIDE)


def regions(covered: int | None, *, shut: bool = False) -> Regions:
    """Return the regions of a face; covered: eye under hair, shut: no eye is seen."""
    planes = np.zeros((19, SIDE, SIDE), np.float32)
    planes[class_number("skin")] = 1
    for side, (ring, name) in enumerate(zip(EYES, ("r_eye", "l_eye"), strict=True)):
        grow = 40 if side == covered else -1
        inside = faces.polygon_mask(MESH[ring, :2], SIDE, SIDE, grow=grow)
        planes[:, inside] = 0
        if side == covered:
            planes[class_number("hair"), inside] = 1
        else:
            planes[class_number("skin" if shut else name), inside] = 1
    return Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)


def picture(covered: int | None) -> Image:
    """Return a face whose eye lies under hair."""
    image = faces.render_face(MESH, SIDE, SIDE)
    if covered is not None:
        x, y = np.rint(MESH[EYES[covered], :2].mean(0)).astype(int)
        cv2.circle(image, (int(x), int(y)), 60, HAIR, -1)
    return image


def prepared(covered: int | None) -> MeshSource:
    parsed = ParsedSource(regions(covered), regions(covered))
    face = faces.make_face(MESH, faces.iris_points(MESH))
    painter = PatchPainter(red_network(EYE_CHANNELS), None)
    return prepare(picture(covered), face, None, painter, parsed=parsed)


@pytest.mark.parametrize("covered", [None, 0, 1])
def test_hair_over_an_eye_is_found_and_a_shut_eye_is_none(covered: int | None) -> None:
    found = [side == covered for side in range(2)]
    assert are_eyes_behind_hair(regions(covered), MESH) == found
    assert are_eyes_behind_hair(regions(None, shut=True), MESH) == [False, False]


@pytest.mark.parametrize("covered", [0, 1])
def test_an_eye_behind_hair_is_never_drawn(covered: int) -> None:
    source = prepared(covered)
    assert [eye.is_own for eye in source.eyes] == [side != covered for side in range(2)]
    assert source.lid_skins[covered] is None and source.lid_skins[1 - covered] is not None
    for points in (MESH, shut_eyes(MESH), wide_eyes(MESH)):
        assert layer.visibilities(source.eyes, points)[covered] == 0
        frame = render_frame(source, replace(faces.rest_target(source), points=points), None)
        x, y = np.rint(MESH[EYES[covered], :2].mean(0)).astype(int)
        around = frame[y - 25 : y + 25, x - 25 : x + 25].astype(int)
        assert np.abs(around - HAIR).max() <= 2
    shown = render_frame(source, replace(faces.rest_target(source), points=shut_eyes(MESH)), None)
    x, y = np.rint(MESH[EYES[1 - covered], :2].mean(0)).astype(int)
    assert int(shown[y, x, 0]) - int(shown[y, x, 1]) > 60  # the other one is painted, in red


def wide_eyes(mesh: Array) -> Array:
    """Return a mesh whose eyes open wider."""
    out = mesh.copy()
    for ring in EYES:
        out[ring[9:], 1] -= 6
    return out
