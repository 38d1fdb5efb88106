"""Objects before the mouth: found by the face's regions, rigid and without lips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Crop
from thcli.engines.mesh.engine import render_frame
from thcli.engines.mesh.head import covering
from thcli.engines.mesh.prepared_source import ParsedSource, prepare
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

MESH = faces.centred_mesh(256, 256)
IMAGE = faces.render_face(MESH, 256, 256)


def regions(name: str) -> Regions:
    """Return the regions of a face of skin, with one region from below the nose to the chin."""
    planes = np.zeros((len(CLASSES), 256, 256), np.float32)
    rows = np.arange(256)[:, None]
    below = (rows > MESH[2, 1]) & (rows < MESH[152, 1]) & np.ones((1, 256), bool)
    planes[class_number(name)] = below
    planes[class_number("skin")] += ~below
    return Regions(Crop(np.eye(3), (256, 256)), planes)


@pytest.mark.parametrize(
    ("name", "found"), [("background", True), ("cloth", True), ("skin", False), ("u_lip", False)]
)
def test_what_is_no_face_at_the_lips_covers_them(name: str, *, found: bool) -> None:
    weight = covering.find(regions(name), MESH)
    assert (weight is not None) is found
    if weight is not None:
        assert (weight[LIPS_OUTER] > 0.9).all() and weight[10] == 0


def test_a_covered_mouth_does_not_open() -> None:
    seen = regions("background")
    bare = prepare(IMAGE, faces.make_face(MESH, faces.iris_points(MESH)), None)
    face, parsed = bare.face, ParsedSource(seen, seen)
    covered = prepare(IMAGE, face, None, parsed=parsed)
    assert covered.mouth_hidden and not bare.mouth_hidden
    target = faces.make_target(bare, mouth=0.5)
    lips = faces.polygon_mask(target.points[LIPS_OUTER, :2], 256, 256, grow=-4)
    for driven in (target, replace(target, driver=target.points)):
        opened = render_frame(bare, driven, np.zeros_like(IMAGE))[lips].astype(int)
        shut = render_frame(covered, driven, np.zeros_like(IMAGE))[lips].astype(int)
        assert shut.min() > opened.min() + 20
