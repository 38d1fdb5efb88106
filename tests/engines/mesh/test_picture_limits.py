"""Limits of a map near the edges of its picture."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.engines.mesh import anatomy, picture_limits, warp
from thcli.engines.mesh.raster import SampleGrid
from thcli.faces.landmarks.topology import OVAL


@pytest.mark.parametrize("length", [0.0, 3.0, 12.0, 25.0, 40.0, 70.0])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_side_beyond_which_the_person_goes_on_stretches_small_motion_alone(
    length: float, sign: int
) -> None:
    grid, mesh = SampleGrid(0, 0, 4, 50, 40), faces.centred_mesh(200, 160)
    x, _ = grid.pixel_axes()
    field = np.zeros((40, 50, 2), np.float32)
    field[..., 0] = sign * length
    sides = (0.0, 80.0) if sign > 0 else (80.0, 0.0)
    limited = picture_limits.keep_inside(field, grid, 200, 1.0, mesh, sides)
    columns = x + limited[..., 0]
    assert np.diff(columns, axis=1).min() >= 0
    beyond = columns.max() - 199 if sign > 0 else -columns.min()
    height = anatomy.face_height(mesh)
    if length < picture_limits.LARGE[0] * height:
        assert beyond < 3
    if length > picture_limits.LARGE[1] * height:
        assert np.allclose(limited, field)
    other = picture_limits.keep_inside(field, grid, 200, 1.0, mesh, sides[::-1])
    assert np.array_equal(other, picture_limits.keep_inside(field, grid, 200, 1.0, mesh))


@pytest.mark.parametrize("length", [0.0, 3.0, 40.0, 300.0])
def test_little_beyond_the_edges_is_shown_and_nothing_folds(length: float) -> None:
    grid = SampleGrid(0, 0, 4, 50, 40)
    x, y = grid.pixel_axes()
    mesh = faces.centred_mesh(200, 160)
    for sign in (-1, 1):
        field = np.full((40, 50, 2), sign * length, np.float32)
        limited = picture_limits.keep_inside(field, grid, 200, 10.0, mesh)
        columns = x + limited[..., 0]
        assert columns.min() > -11 and columns.max() < 199 + 11
        assert np.diff(columns, axis=1).min() >= 0
        rows = y[:, None] + limited[..., 1]
        assert rows.min() > -11 and np.diff(rows, axis=0).min() >= 0
        if length <= 3:
            middle = slice(10, -10)
            assert np.array_equal(limited[middle, middle], field[middle, middle])


@pytest.mark.parametrize("length", [20.0, 60.0, 120.0])
def test_what_shows_the_face_is_moved_as_its_mesh_is(length: float) -> None:
    """However far a head moves from an edge: the mesh would lie in it as a mask, else."""
    grid, mesh = SampleGrid(0, 0, 4, 80, 60), faces.centred_mesh(200, 160)
    low, high = mesh[OVAL, :2].min(0), mesh[OVAL, :2].max(0)
    x, y = grid.pixel_axes()
    for way in ((-length, 0), (length, 0), (0, -length)):
        field = np.tile(np.array(way, np.float32), (60, 80, 1))
        limited = picture_limits.keep_inside(field, grid, 200, 10.0, mesh)
        shown = np.dstack([field[..., 0] + x, field[..., 1] + y[:, None]])
        face = ((shown >= low) & (shown <= high)).all(-1)
        assert face.any() and np.allclose(limited[face], field[face])


@pytest.mark.parametrize("turn", [-40.0, 40.0])
def test_a_frame_whose_background_moves_along_is_not_mirrored_at_its_sides(turn: float) -> None:
    """A second head looked in from the side of a turned source video."""
    source = faces.make_source(160, 160, share=0.45)
    assert not source.surroundings.matte
    target = faces.make_target(source, turn=(0, turn, 0)).points
    texture = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    size = source.size
    made = warp.build_map(source.mesh, source.surroundings, target, texture, size, source.step)
    assert made is not None
    x, y = made.grid.pixel_axes()
    within = (y >= 0) & (y < size[1])
    shown = (x + made.displacement[..., 0])[within][:, (x >= 0) & (x < size[0])]
    assert shown.min() > -3 and shown.max() < size[0] - 1 + 3
