"""The neck of a turned head as a layer behind the jaw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.head.neck import JAW, NeckMotion, hidden_by_jaw
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.surrounding_field import BELOW_JAW, surrounding_displacement
from thcli.engines.mesh.surroundings import Surroundings
from thcli.faces.landmarks.topology import OVAL
from thcli.motion.closure import chin_shares

SIDE = 256


def frontal() -> tuple[MeshSource, Surroundings]:
    """Return a face, and surroundings with a neck below it."""
    source = faces.make_source(SIDE, SIDE)
    mesh = source.mesh
    size, chin = anatomy.face_height(mesh), mesh[anatomy.CHIN]
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    neck = (abs(x - chin[0]) < 0.3 * size) & (y > chin[1] - 0.15 * size)
    neck &= ~faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)
    return source, Surroundings(
        find_outline(mesh), SIDE - 1, True, hair_step=1, neck=neck.astype(np.float32)
    )


def shown_below_chin(mesh: Array, around: Surroundings, target: Array) -> Array32:
    """Return the source pixels (5, 2) that five pixels below a target's chin show."""
    whole = SampleGrid(0, 0, 2, SIDE // 2, SIDE // 2)
    field = surrounding_displacement(mesh, around, target, mesh[:, :2], whole)
    below = np.rint(target[anatomy.CHIN, :2]).astype(int) + np.array(
        [[0, 4 * k] for k in range(1, 6)]
    )
    return np.asarray(below + field[below[:, 1] // 2, below[:, 0] // 2], np.float32)


@pytest.mark.parametrize("angle", [-35.0, 35.0])
def test_a_turn_moves_the_neck_less_than_the_chin_and_shows_no_chin_in_it(angle: float) -> None:
    source, around = frontal()
    mesh = source.mesh
    target = faces.make_target(source, turn=(0, angle, 0)).points
    size = anatomy.face_height(mesh)
    own, dragged = (
        shown_below_chin(mesh, given, target) for given in (around, replace(around, neck=None))
    )
    towards = np.sign(target[4, 0] - target[OVAL, 0].mean())
    assert (towards * (own - dragged)[:2, 0] > 0.05 * size).all()
    jaw = mesh[OVAL[JAW]]
    order = np.argsort(jaw[:, 0])
    line = np.interp(own[:, 0], jaw[order, 0], jaw[order, 1])
    assert (own[:, 1] > line - 0.01 * size).all()


@pytest.mark.parametrize("pitch", [-25.0, -30.0])
@pytest.mark.parametrize("yaw", [-40.0, 40.0])
def test_a_chin_that_a_turned_head_raises_is_shown_once(yaw: float, pitch: float) -> None:
    """The source's chin hid what comes into view below it, which is no part of a neck."""
    source, around = frontal()
    mesh = source.mesh
    target = faces.make_target(source, turn=(pitch, yaw, 0)).points
    shown = shown_below_chin(mesh, around, target)
    jaw = mesh[OVAL[JAW]]
    order = np.argsort(jaw[:, 0])
    assert (shown[:, 1] > np.interp(shown[:, 0], jaw[order, 0], jaw[order, 1])).all()


def test_the_underside_of_a_chin_shows_no_cloth() -> None:
    source, around = frontal()
    mesh = source.mesh
    size, chin = anatomy.face_height(mesh), mesh[anatomy.CHIN, :2]
    positions = np.array([[chin[0]], [chin[1] - 0.1 * size]], np.float32)
    one = np.ones(1, np.float32)
    raised = NeckMotion(np.zeros_like(positions), 0 * one, 1.0)
    cloth = np.zeros((SIDE, SIDE), np.float32)
    cloth[int(chin[1] + 0.1 * size) :] = 1
    oval = around.outline.points.T.astype(np.float32)
    assert hidden_by_jaw(mesh, oval, positions, raised, one, None)[1, 0] > 0.1 * size
    assert hidden_by_jaw(mesh, oval, positions, raised, one, (cloth, 1))[1, 0] < 0.01 * size
    assert hidden_by_jaw(mesh, oval, positions, raised, 0 * one, None)[1, 0] == 0


def test_a_small_turn_and_a_nod_leave_the_neck_with_the_jaw() -> None:
    source, around = frontal()
    mesh = source.mesh
    size = anatomy.face_height(mesh)
    for turn, most in (((0.0, 0.0, 0.0), 0.0), ((15.0, 0.0, 0.0), 0.0), ((0.0, 3.0, 0.0), 0.02)):
        target = faces.make_target(source, turn=turn).points
        own, without = (
            shown_below_chin(mesh, given, target) for given in (around, replace(around, neck=None))
        )
        assert np.abs(own - without).max() <= (most + 1e-3) * size


def test_the_neck_parts_from_the_jaw_without_a_jump() -> None:
    source, around = frontal()
    mesh = source.mesh
    turns = np.arange(0, 38, 1.0)
    targets = [faces.make_target(source, turn=(0, turn, 0)).points for turn in turns]
    shown = np.stack([shown_below_chin(mesh, around, target) for target in targets])
    steps = np.abs(np.diff(shown, axis=0)).max((1, 2)) / anatomy.face_height(mesh)
    assert steps.max() < 0.04


@pytest.mark.parametrize("yaw", [0.0, 45.0, 60.0, 75.0, -45.0, -60.0, -75.0])
def test_what_the_jaw_of_a_profile_hides_ends_at_its_outer_line(yaw: float) -> None:
    """The far half of the jaw folds back: the line rises from the chin to both sides."""
    mesh = faces.centred_mesh(SIDE, SIDE)
    turned = (mesh - mesh.mean(0)) @ matrix_from_rotvec(np.radians([0, yaw, 0])).T + mesh.mean(0)
    size = anatomy.face_height(turned)
    oval = find_outline(turned).points.T.astype(np.float32)
    jaw = oval[:, JAW]
    x = np.linspace(jaw[0].min() + 0.06 * size, jaw[0].max() - 0.06 * size, 2000)
    y = np.full_like(x, turned[anatomy.CHIN, 1] - 0.03 * size)
    positions = np.stack([x, y]).astype(np.float32)
    parted = NeckMotion(np.zeros_like(positions), np.ones(len(x), np.float32), 0.0)
    below = np.ones(len(x), np.float32)
    moved = hidden_by_jaw(turned, oval, positions, parted, below, None)[1] / size
    top = int(moved.argmax())
    assert moved[top] > 0.1
    assert np.diff(moved[: top + 1]).min() > -1e-3 and np.diff(moved[top:]).max() < 1e-3


@pytest.mark.parametrize("rise", [0.1, 0.15, 0.2])
def test_a_jaw_that_rises_far_stretches_the_skin_right_below_it_alone(rise: float) -> None:
    """A necklace below the chin stays where the neck is not known, as in frames of a video."""
    mesh = faces.make_source(256, 512).mesh
    surroundings = Surroundings(find_outline(mesh), 511.0, False)
    height, target = anatomy.face_height(mesh), mesh.copy()
    target[:, 1] -= rise * height * chin_shares()
    jaw = SampleGrid(int(mesh[anatomy.CHIN, 0]), int(target[anatomy.CHIN, 1]), 1, 1, 200)
    flow = surrounding_displacement(mesh, surroundings, target, mesh[:, :2], jaw)[:, 0, 1]
    end = int((1 + 0.4) * (rise + BELOW_JAW) * height)  # of stretched skin, from the raised chin
    assert flow[4] > 0.8 * rise * height and np.abs(flow[end:]).max() < 0.5
    assert np.diff(flow + np.arange(200)).min() > -0.3


@pytest.mark.parametrize("rise", [0.1, 0.15, 0.25])
def test_below_a_raised_chin_nothing_of_the_chin_is_seen(rise: float) -> None:
    """Its edge and its shadow, drawn out over the neck that it hid, were a beard."""
    source, around = frontal()
    mesh, size = source.mesh, anatomy.face_height(source.mesh)
    target = mesh.copy()
    target[:, 1] -= rise * size * chin_shares()
    shown = shown_below_chin(mesh, replace(around, neck=None), target)
    assert (shown[:, 1] > mesh[anatomy.CHIN, 1] + 0.8 * BELOW_JAW * size).all()
    assert (np.diff(shown[:, 1]) > 0).all()
