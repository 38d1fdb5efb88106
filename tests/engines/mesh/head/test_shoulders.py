"""Shoulders that follow a driver's torso."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, warp
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.faces.landmarks.topology import OVAL
from thcli.motion.render_target import RenderTarget

WIDTH, HEIGHT = 256, 400
SHARE, SMALL = 0.2, 0.09  # the face's height over the picture's


def source(share: float = SHARE) -> MeshSource:
    """Return a small face above a body that reaches down to the picture's edge."""
    person = np.zeros((HEIGHT, WIDTH), np.float32)
    mesh = faces.centred_mesh(WIDTH, HEIGHT, share)
    x, y = mesh[:, 0].mean(), mesh[anatomy.CHIN, 1]
    size = anatomy.face_height(mesh)
    person[int(y - 1.4 * size) :, int(x - 0.7 * size) : int(x + 0.7 * size)] = 1
    return faces.make_source(WIDTH, HEIGHT, person=person, share=share)


def leaning(own: MeshSource, by: float) -> tuple[Array, Array]:
    """Return a motion of the shoulders by `by` face heights, and the mesh that it carries."""
    size = anatomy.face_height(own.mesh)
    angle = np.radians(3.0)
    linear = 1.03 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    pivot = own.mesh[anatomy.CHIN, :2]
    shift = by * size * np.array([1, -0.2])
    matrix = np.column_stack([linear, pivot + shift - linear @ pivot])
    flat = own.mesh[:, :2] @ linear.T + matrix[:, 2]
    return matrix, np.concatenate([flat, 1.03 * own.mesh[:, 2:]], 1)


def displacement(own: MeshSource, target: Array, motion: Array | None) -> Array32:
    """Return the displacement of a frame (H, W, 2), zero where its map ends."""
    texture = warp.TexturePositions(own.mesh[:, :2], own.mesh[:, :2])
    shoulders = Shoulders.of(motion, target)
    found = warp.build_map(
        own.mesh, own.surroundings, target, texture, own.size, own.step, shoulders
    )
    assert found is not None
    grid, out = found.grid, np.zeros((HEIGHT, WIDTH, 2), np.float32)
    for row in range(grid.rows):
        for column in range(grid.columns):
            y, x = grid.y0 + row * grid.step, grid.x0 + column * grid.step
            if 0 <= y < HEIGHT and 0 <= x < WIDTH:
                out[y, x] = found.displacement[row, column]
    return out


def test_head_neck_and_shoulders_move_as_one_when_the_head_goes_with_the_torso() -> None:
    own = source()
    matrix, target = leaning(own, 0.2)
    size, chin = anatomy.face_height(own.mesh), target[anatomy.CHIN, :2]
    back = np.linalg.inv(np.concatenate([matrix, [[0, 0, 1]]]))[:2]
    field = displacement(own, target, matrix)
    for aside, below in ((0.0, 0.1), (0.0, 0.4), (-0.6, 0.5), (0.6, 0.8)):
        x, y = np.rint(chin + size * np.array([aside, below])).astype(int)
        wanted = back @ [x, y, 1] - (x, y)
        assert np.abs(field[y, x] - wanted).max() < 0.01 * size
    still = displacement(own, target, None)
    x, y = np.rint(chin + size * np.array([0.6, 0.8])).astype(int)
    assert np.abs(still[y, x]).max() < 0.05 * size


def test_the_motion_fades_towards_the_hips_and_folds_nowhere() -> None:
    own = source(SMALL)
    matrix, target = leaning(own, 0.3)
    size, chin = anatomy.face_height(own.mesh), target[anatomy.CHIN, :2]
    x, y = int(chin[0]), int(chin[1])
    down = displacement(own, target, matrix)[y :: own.step, x]
    lengths = np.hypot(*down.T) / size
    hips = round(4.2 * size / own.step)
    assert lengths[round(0.5 * size / own.step)] > 0.2 and lengths[hips:].max() < 0.02
    assert np.diff(down[:, 1]).min() > -0.5 * own.step


@pytest.mark.parametrize("motion", [None, np.eye(3)[:2]])
def test_still_shoulders_change_nothing(motion: Array | None) -> None:
    own = source()
    turned = faces.make_target(own, turn=(0, 12, 0))
    moved = RenderTarget(turned.points, turned.gaze, turned.opening, torso=motion)
    assert np.array_equal(render_frame(own, moved, None), render_frame(own, turned, None))


def test_shoulders_stand_still_where_the_background_would_move_with_them() -> None:
    own = faces.make_source(WIDTH, HEIGHT, share=SHARE)
    matrix, target = leaning(own, 0.2)
    moved, still = (
        render_frame(own, RenderTarget(target, np.zeros((2, 2)), np.ones(2), torso=torso), None)
        for torso in (matrix, None)
    )
    assert np.array_equal(moved, still)


def test_a_picture_beside_shows_the_same_motion_further_to_the_right() -> None:
    own = source()
    matrix, target = leaning(own, 0.2)
    here = Shoulders.of(matrix, target)
    assert here is not None
    points = np.random.default_rng(5).uniform(0, 250, (2, 40)).astype(np.float32)
    there = here.shift(60).displacement(points + np.array([[60], [0]], np.float32), HEIGHT - 1)
    assert np.abs(there - here.displacement(points, HEIGHT - 1)).max() < 1e-3


def test_a_body_that_rises_is_stretched_to_the_lower_edge_and_not_mirrored() -> None:
    own = source()
    size = anatomy.face_height(own.mesh)
    up = np.array([[1, 0, 0], [0, 1, -0.2 * size]])
    risen = Shoulders.of(up, own.mesh - (0, 0.2 * size, 0))
    assert risen is not None
    y = np.arange(HEIGHT, dtype=np.float32)
    moved = y + risen.displacement(np.stack([np.full(HEIGHT, 128, np.float32), y]), HEIGHT - 1)[1]
    assert moved.max() <= HEIGHT - 1 and np.diff(moved).min() >= 0
    assert moved[200] - 200 > 0.15 * size


def test_what_is_far_above_the_head_stands_still_and_is_not_torn() -> None:
    person = np.zeros((HEIGHT, WIDTH), np.float32)
    person[:, 20:-20] = 1  # others behind, up to the picture's edge
    own = faces.make_source(WIDTH, HEIGHT, person=person, share=SMALL)
    matrix, target = leaning(own, 0.3)
    texture = warp.TexturePositions(own.mesh[:, :2], own.mesh[:, :2])
    shoulders = Shoulders.of(matrix, target)
    found = warp.build_map(
        own.mesh, own.surroundings, target, texture, own.size, own.step, shoulders
    )
    assert found is not None and found.grid.y0 > 0
    size, forehead = anatomy.face_height(own.mesh), target[anatomy.FOREHEAD, :2]
    assert np.abs(found.displacement[0]).max() < 0.01 * size
    field = displacement(own, target, matrix)
    assert np.abs(field[int(forehead[1] - 0.6 * size), int(forehead[0])]).max() > 0.2 * size


@pytest.mark.parametrize("below", [0.05, 0.2, 0.5, 2.0])
@pytest.mark.parametrize("rise", [0.05, 0.15, 0.4])
def test_a_body_that_rises_in_a_tight_portrait_takes_the_whole_face_along(
    below: float, rise: float
) -> None:
    """Stretched from above the chin on, the still jaw was seen below the moved one."""
    own = source()
    size, chin = anatomy.face_height(own.mesh), float(own.mesh[anatomy.CHIN, 1])
    lower_edge = chin + (below - rise) * size
    up = np.array([[1, 0, 0], [0, 1, -rise * size]])
    target = own.mesh - (0, rise * size, 0)
    risen = Shoulders.of(up, target)
    assert risen is not None
    outline = target[OVAL, :2]
    kept = outline[:, 1] <= lower_edge
    still = outline + risen.displacement(outline.T.astype(np.float32), lower_edge).T
    assert np.abs(still - own.mesh[OVAL, :2])[kept].max() < 0.5
    y = np.arange(int(chin), int(lower_edge) + 1, dtype=np.float32)
    if len(y) > 1:
        moved = (
            y + risen.displacement(np.stack([np.full(len(y), 128, np.float32), y]), lower_edge)[1]
        )
        assert np.diff(moved).min() >= -1e-3
        assert moved.max() <= max(lower_edge, chin) + 0.1
