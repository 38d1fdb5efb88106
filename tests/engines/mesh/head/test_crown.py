"""Tops of heads that the picture's upper edge cuts off."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import crown
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks.topology import OVAL

SIDE, HAIR = 256, (30, 25, 20)


def cut_source() -> MeshSource:
    """Return a face whose hair is a disc that the upper edge cuts off."""
    mesh = faces.centred_mesh(SIDE, SIDE, 0.5)
    mesh[:, 1] -= 62
    image = faces.render_face(mesh, SIDE, SIDE)
    image[~faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)] = faces.GROUND
    y, x = np.mgrid[:SIDE, :SIDE]
    middle = mesh[:, :2].mean(0)
    head = np.hypot(x - middle[0], y - middle[1] + 20) < 75
    image[head & (image == faces.GROUND).all(-1)] = HAIR
    person = (head | faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)) * 1.0
    return prepare(
        image,
        faces.make_face(mesh, faces.iris_points(mesh)),
        SeenPersons(person.astype(np.float32)),
    )


def hair_in(out: Image, row: int) -> int:
    """Return the pixels of a row that are hair."""
    return int((np.abs(out[row].astype(int) - HAIR).max(-1) < 60).sum())


@pytest.mark.parametrize("turn", [(-18.0, 0.0, 0.0), (-18.0, 35.0, 0.0)])
def test_hair_that_comes_in_over_the_edge_ends_in_a_dome(turn: tuple[float, float, float]) -> None:
    source = cut_source()
    target = faces.make_target(source, turn=turn, shift=(0, 0.15))
    out = render_frame(source, target, None)
    around = replace(source.surroundings, crown=None)
    before = render_frame(replace(source, surroundings=around), target, None)
    assert hair_in(before, 1) > 0.6 * hair_in(before, 40)
    assert hair_in(out, 1) < 0.6 * hair_in(before, 1)
    assert hair_in(out, 40) > 0.9 * hair_in(before, 40)
    rows = [hair_in(out, row) for row in range(1, 40, 6)]
    assert all(high <= low + 4 for high, low in pairwise(rows))


def test_a_head_that_stays_or_rises_is_as_without_a_dome() -> None:
    source = cut_source()
    plain = replace(source, surroundings=replace(source.surroundings, crown=None))
    for turn, shift in (((0.0, 0.0, 0.0), 0.0), ((12.0, 0.0, 0.0), -0.1)):
        target = faces.make_target(source, turn=turn, shift=(0, shift))
        same = render_frame(source, target, None), render_frame(plain, target, None)
        assert np.array_equal(*same)


def test_heads_within_the_picture_or_cut_off_at_a_side_have_no_dome() -> None:
    source = cut_source()
    assert source.layers is not None
    person, mesh = source.layers.person, source.mesh
    found = crown.find(person, mesh)
    assert found is not None and abs(found.middle - mesh[:, 0].mean()) < 5
    assert found.flip(SIDE).middle == SIDE - 1 - found.middle
    below = person.copy()
    below[0] = 0
    assert crown.find(below, mesh) is None
    wide = person.copy()
    wide[0] = 255
    assert crown.find(wide, mesh) is None
    assert crown.find(person, mesh + np.array([SIDE, 0, 0])) is None


def test_strands_that_reach_the_edge_end_there() -> None:
    """Above the picture they would be mirrored, as a plume that hangs from the frame's edge."""
    source = cut_source()
    assert source.layers is not None
    person, mesh = source.layers.person.copy(), source.mesh
    whole = crown.find(person, mesh)
    assert whole is not None
    middle = round(mesh[:, 0].mean())
    person[0, :, 3] = 0
    person[0, middle + 30 : middle + 36 : 2, 3] = 255
    strands = crown.find(person, mesh)
    assert strands is not None and abs(strands.middle - middle - 32) < 1
    assert strands.height < 0.05 * whole.height
    person[0, middle : middle + 20, 3] = 255  # closer than GAP: one part with the strands
    joined = crown.find(person, mesh)
    assert joined is not None and strands.middle > joined.middle > middle


@pytest.mark.parametrize("slopes", [(3.0, 3.0), (1.5, 3.5), (2.5, 1.0)])
def test_a_dome_begins_in_the_direction_of_the_outline(slopes: tuple[float, float]) -> None:
    """Part of one circle, it made a corner with a head that is cut off low."""
    source = cut_source()
    mesh, rows = source.mesh, np.arange(SIDE)[:, None]
    middle, half = round(mesh[:, 0].mean()), round(0.35 * anatomy.face_height(mesh))
    left, right = middle - half - rows / slopes[0], middle + half + rows / slopes[1]
    person = np.zeros((SIDE, SIDE, 4), np.uint8)
    person[(np.arange(SIDE) >= left) & (np.arange(SIDE) <= right)] = 255
    found = crown.find(person, mesh)
    assert found is not None
    high = round(0.5 * anatomy.face_height(mesh))
    grid = SampleGrid(0, -high, 1, SIDE, high)
    beyond = found.distance_beyond(np.zeros((high, SIDE, 2), np.float32), grid)
    assert beyond is not None
    inside = beyond <= 0
    up = np.arange(1, 7)
    ends = [np.flatnonzero(row)[[0, -1]] for row in inside[high - up]]
    for side, slope in enumerate(slopes):
        inwards = np.abs(
            np.array([end[side] for end in ends]) - (middle - half, middle + half)[side]
        )
        assert (inwards > up / slope - 1).all() and (inwards < 2.2 * up / slope + 1).all()
    assert found.height < 0.5 * anatomy.face_height(mesh) and not inside[0].any()
