"""Eyes that hair or dark glasses cover: found by the parser's regions, and never drawn."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_patches import red_network, shut_eyes
from thcli.core.types import Array, Crop
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes import layer
from thcli.engines.mesh.frame import has_shut_eyes, render_frame
from thcli.engines.mesh.head.covered_points import NO_COVERS, Cover, find_covers
from thcli.engines.mesh.patches.inputs import EYE_CHANNELS
from thcli.engines.mesh.patches.painter import PatchPainter
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.crops import Regions

SIDE = 512
DARK = (90, 60, 40)
MESH = faces.centred_mesh(SIDE, SIDE)
MIDDLES = [tuple(int(value) for value in np.rint(MESH[ring, :2].mean(0))) for ring in EYES]


def regions(covers: tuple[Cover, Cover], *, shut: bool = False) -> Regions:
    """Return the regions of a face; shut: no eye is seen."""
    planes = np.zeros((19, SIDE, SIDE), np.float32)
    planes[class_number("skin")] = 1
    names = {"hair": ("hair", "hair"), "glasses": ("eye_g", "eye_g"), "none": ("r_eye", "l_eye")}
    for side, (ring, cover) in enumerate(zip(EYES, covers, strict=True)):
        grow = -1 if cover == "none" else 40
        inside = faces.polygon_mask(MESH[ring, :2], SIDE, SIDE, grow=grow)
        planes[:, inside] = 0
        name = "skin" if shut and cover == "none" else names[cover][side]
        planes[class_number(name), inside] = 1
    return Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)


def prepared(covers: tuple[Cover, Cover]) -> MeshSource:
    """Return a face whose eyes lie under discs of one colour."""
    image = faces.render_face(MESH, SIDE, SIDE)
    for (x, y), cover in zip(MIDDLES, covers, strict=True):
        if cover != "none":
            cv2.circle(image, (x, y), 60, DARK, -1)
    parsed = ParsedSource(regions(covers), regions(covers))
    face = faces.make_face(MESH, faces.iris_points(MESH))
    painter = PatchPainter(red_network(EYE_CHANNELS), None)
    return prepare(image, face, None, painter, parsed=parsed)


@pytest.mark.parametrize(
    "covers", [NO_COVERS, ("hair", "none"), ("none", "hair"), ("glasses", "glasses")]
)
def test_what_covers_an_eye_is_found_and_a_shut_eye_is_not_covered(
    covers: tuple[Cover, Cover],
) -> None:
    assert find_covers(regions(covers), MESH) == covers
    assert find_covers(regions(NO_COVERS, shut=True), MESH) == NO_COVERS


@pytest.mark.parametrize("covers", [("hair", "none"), ("none", "hair"), ("glasses", "glasses")])
def test_an_eye_behind_something_is_never_drawn(covers: tuple[Cover, Cover]) -> None:
    source = prepared(covers)
    covered = [cover != "none" for cover in covers]
    assert [eye.is_covered for eye in source.eyes] == covered
    assert [skin is None for skin in source.lid_skins] == covered
    for points in (MESH, shut_eyes(MESH), wide_eyes(MESH)):
        target = replace(faces.rest_target(source), points=points, driver=MESH)
        visible = layer.visibilities(source.eyes, points)
        for driving in (None, faces.render_face(MESH, SIDE, SIDE)):
            frame = render_frame(source, target, driving)
            for (x, y), shown, hidden in zip(MIDDLES, visible, covered, strict=True):
                around = frame[y - 25 : y + 25, x - 25 : x + 25].astype(int)
                assert not hidden or (shown == 0 and np.abs(around - DARK).max() <= 2)
    if not all(covered):  # the other one is painted, in red
        x, y = MIDDLES[covered.index(False)]
        shut = replace(faces.rest_target(source), points=shut_eyes(MESH))
        red, green, _ = render_frame(source, shut, None)[y, x].astype(int)
        assert red - green > 60


def test_dark_glasses_do_not_move_with_lids_and_give_no_warning_of_shut_eyes() -> None:
    source = prepared(("glasses", "glasses"))
    assert source.rigid is not None and not has_shut_eyes(source)
    held = source.place(shut_eyes(MESH)).held
    lids = np.concatenate(EYES)
    assert np.abs(held - MESH)[lids].max() < 0.1 * np.abs(shut_eyes(MESH) - MESH)[lids].max()


def wide_eyes(mesh: Array) -> Array:
    """Return a mesh whose eyes open wider."""
    out = mesh.copy()
    for ring in EYES:
        out[ring[9:], 1] -= 6
    return out
