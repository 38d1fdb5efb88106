"""The renderer's parts: raster, field, openings, matte, mirror, mouth, eyes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.mesh import made_faces as world
from thcli.core.errors import NoFaceError
from thcli.core.options import MeshOptions, MotionOptions, ReenactOptions, RunOptions
from thcli.core.types import Frame
from thcli.engines.mesh import (
    anatomy,
    eyes,
    matte,
    mirrored_cheek,
    mouth,
    opening,
    raster,
    unfold,
    warp,
)
from thcli.engines.mesh.engine import draw, load
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.raster import Grid
from thcli.engines.mesh.surroundings import Surroundings, outer, pushed_oval
from thcli.faces.landmarks import topology
from thcli.motion.file import MotionBuffer

FACE = world.placed(256, 256)


@given(st.integers(0, 851), st.integers(1, 5))
def test_a_triangle_carries_its_corners_values_to_every_sample_inside(
    which: int, step: int
) -> None:
    points = FACE + np.array([0.3, 0.7, 0])
    triangle = topology.TRIANGLES[which : which + 1]
    values = points[:, :2] * (1.5, -0.5) + (3, 40)
    grid = Grid.around(points[triangle[0], :2].min(0), points[triangle[0], :2].max(0), step, 2)
    ids = raster.paint(points, triangle, np.arange(1), grid)
    out = raster.sample(ids, raster.linear_maps(points, values, triangle), grid)
    x, y = grid.axes()
    there = np.stack(np.broadcast_arrays(x[None] * 1.5 + 3, y[:, None] * -0.5 + 40), -1)
    assert (ids >= 0).any()
    assert np.abs(out - there)[ids >= 0].max() < 1e-2
    assert (out[ids < 0] == 0).all()


def test_slivers_stay_between_their_corners() -> None:
    points = np.array([[0.0, 0, 0], [10, 0, 0], [20, 1e-4, 0]])
    maps = raster.linear_maps(
        points, np.array([[0.0], [100.0], [0.0]]), np.array([[0, 1, 2]], np.int32)
    )
    assert maps[0, :, 0].tolist() == pytest.approx([0, 0, 100 / 3], abs=1e-4)


def test_strips_of_the_holes_wind_like_the_face() -> None:
    drawn = world.moved(world.source(), mouth=0.3).points
    assert (
        anatomy.doubled_areas(drawn)[: anatomy.HOLES] * anatomy.SIGNS[: anatomy.HOLES]
    ).min() > 0
    assert ((anatomy.doubled_areas(FACE) * anatomy.SIGNS)[anatomy.HOLES :] > 0).mean() > 0.98


def test_the_field_is_zero_at_rest_meets_the_outline_and_ends_far_away() -> None:
    around = Surroundings(pushed_oval(FACE), 255.0, False)
    grid = Grid(-400, -400, 16, 70, 70)
    assert np.abs(outer(FACE, around, FACE, grid)).max() < 1e-4
    target = world.moved(world.source(), turn=(3, 8, 5), shift=(0.1, 0.05)).points
    field = outer(FACE, around, target, grid)
    assert np.abs(field[0]).max() == 0 and np.abs(field[:, -1]).max() == 0
    oval = pushed_oval(target)
    for k in range(0, 36, 5):
        at = Grid(int(oval[k, 0]), int(oval[k, 1]), 1, 1, 1)
        there = outer(FACE, around, target, at)[0, 0]
        assert there == pytest.approx(around.oval[k] - oval[k], abs=2.0)


@pytest.mark.parametrize("turn", [(0, 25, 0), (20, 0, 0), (0, 0, 30), (0, -25, 10)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.0, -0.3)])
def test_the_neck_does_not_fold(
    turn: tuple[float, float, float], shift: tuple[float, float]
) -> None:
    """Along the middle line below the chin the source's rows come in order."""
    source = world.source(256, 512)
    around = replace(source.around, matte=True)
    target = world.moved(source, turn=turn, shift=shift).points
    chin = target[anatomy.CHIN]
    grid = Grid(int(chin[0]), int(chin[1]) + 8, 2, 1, 70)
    places = outer(source.mesh, around, target, grid)[:, 0, 1] + grid.axes()[1]
    assert np.diff(places).min() > -1.0  # of a step of 2 pixels


def test_hidden_outline_moves_out_to_the_hull_without_a_jump() -> None:
    source = world.source()
    before = None
    for angle in np.arange(15.0, 40.0, 0.5):
        oval = pushed_oval(world.moved(source, turn=(0, angle, 0)).points)
        if before is not None:
            assert np.abs(oval - before).max() < 3.0
        before = oval
    assert np.array_equal(pushed_oval(FACE)[18], FACE[anatomy.CHIN, :2])


@given(st.floats(-0.2, 1.2), st.floats(-0.5, 0.5))
def test_openings_turn_there_and_back(u: float, v: float) -> None:
    place = opening.opening(FACE, anatomy.LIPS)
    there = opening.place(place, np.array([[u]], np.float32), np.array([[v]], np.float32))[0, 0]
    assert place.local(there) == pytest.approx((u, v), abs=1e-4)


def test_wide_open_lips_push_the_skin_below_them() -> None:
    source = world.source()
    assert unfold.unfolded(source.mesh, source.mesh) is source.mesh
    target = source.mesh.copy()
    lower = np.concatenate([topology.LIPS.lower, topology.LIPS_OUTER[1:10]])
    target[lower, 1] += 0.4 * (source.mesh[anatomy.CHIN, 1] - source.mesh[17, 1])
    assert target[17, 1] > target[18, 1]  # the lip has crossed the skin
    fixed = unfold.unfolded(source.mesh, target)
    assert fixed[17, 1] < fixed[18, 1] < fixed[200, 1] < fixed[152, 1]


def test_the_cut_adds_up_to_the_picture_and_the_plate_shows_nobody() -> None:
    source = world.astronaut()
    assert source.cut is not None
    alpha = source.cut.person[..., 3:].astype(float) / 255
    again = source.cut.plate * (1 - alpha) + source.cut.person[..., :3]
    assert np.abs(again - source.picture).max() <= 1
    mesh = source.mesh[topology.OVAL, :2]
    face = world.polygon(mesh, 512, 512, grow=-5)
    assert alpha[face].min() == 1
    assert np.abs(source.cut.plate[face].astype(float) - source.picture[face]).mean() > 20


def test_a_cut_without_the_face_is_not_believed() -> None:
    assert matte.cut(world.drawn(FACE, 256, 256), np.zeros((64, 64), np.float32), FACE) is None


def test_push_pull_keeps_what_is_known_and_fills_the_rest() -> None:
    rows = np.mgrid[0:40, 0:50][0].astype(np.float32)
    picture = np.stack([rows, 0 * rows + 7, 39 - rows], -1)
    hole = np.zeros((40, 50), bool)
    hole[10:30, 15:35] = True
    filled = matte.push_pull(picture, hole)
    assert np.abs(filled - picture)[~hole].max() < 1e-3
    assert np.abs(filled[..., 1] - 7).max() < 1e-3
    assert np.abs(filled - picture)[hole].max() < 12


def test_the_hidden_cheek_takes_the_shown_ones_texture() -> None:
    assert mirrored_cheek.prepare(world.drawn(FACE, 256, 256), FACE) is None
    turned = world.moved(world.source(), turn=(0, 38, 0)).points
    picture = world.drawn(turned, 256, 256)
    source = prepare(picture, world.face_of(turned, world.irises(turned)), None)
    assert source.hidden is not None
    target = world.moved(source, turn=(0, -18, 0))
    with_it, without = draw(source, target, None), draw(replace(source, hidden=None), target, None)
    assert np.abs(with_it.astype(int) - without).max() > 20
    far = world.moved(source, turn=(0, 3, 0))
    assert np.array_equal(draw(source, far, None), draw(replace(source, hidden=None), far, None))


def test_an_open_mouth_shows_dark_and_teeth_from_nothing() -> None:
    source = world.source(512, 512)
    target = world.moved(source, mouth=0.5)
    out = draw(source, target, None)
    inside = world.polygon(target.points[anatomy.LIPS, :2], 512, 512, grow=-4)
    light = out[inside].mean(-1)
    skin = float(np.mean(world.SKIN))
    assert light.min() < 0.25 * skin and light.max() > 0.6 * skin
    assert 0.1 * skin < light.mean() < 0.7 * skin
    red, green, blue = out[inside].astype(float).mean(0)
    assert red > green and red > blue


def test_the_drivers_mouth_is_lit_like_the_source() -> None:
    source = world.source()
    target = world.moved(source, mouth=0.4)
    dark = (world.drawn(target.points, 256, 256) * 0.7).astype(
        np.uint8
    )  # the driver stands in the shade
    out = draw(source, replace(target, driver=target.points), dark)
    inside = world.polygon(target.points[anatomy.LIPS, :2], 256, 256, grow=-4)
    assert out[inside].mean() == pytest.approx(np.mean(world.INSIDE), abs=12)
    assert np.array_equal(out, draw(source, replace(target, driver=target.points), dark))


@given(st.floats(5, 250), st.floats(5, 250), st.floats(5, 250))
def test_tone_gain_is_bounded(red: float, green: float, blue: float) -> None:
    factor = mouth.gain(np.array([200.0, 150, 130]), np.array([red, green, blue]))
    assert (factor > 0.3).all() and (factor < 2.5).all()


@pytest.mark.parametrize("shut", [(True, True), (True, False), (False, True)])
def test_eyes_that_are_shut_in_the_source_open(shut: tuple[bool, bool]) -> None:
    mesh = world.placed(512, 512)
    for lid, closed in zip(topology.LIDS, shut, strict=True):
        if closed:
            mesh[lid.upper] = mesh[lid.lower] - (0, 0.3, 0)
    source = prepare(
        world.drawn(mesh, 512, 512), world.face_of(mesh, world.irises(world.placed(512, 512))), None
    )
    assert tuple(not eye.own for eye in source.eyes) == shut
    awake = replace(world.still(source), points=world.placed(512, 512))
    out = draw(source, awake, None)
    for ring in anatomy.EYES:
        inside = world.polygon(awake.points[ring, :2], 512, 512, grow=-2)
        light = out[inside].mean(-1)
        assert light.min() < 100 and light.max() > 160  # a pupil or iris, and the white
    driver = world.drawn(awake.points, 512, 512)
    lent = draw(source, replace(awake, driver=awake.points), driver)
    closed_ring = anatomy.EYES[shut.index(True)]
    inside = world.polygon(awake.points[closed_ring, :2], 512, 512, grow=-3)
    assert np.abs(lent[inside].astype(int) - driver[inside]).mean() < 25


def test_a_painted_eye_is_as_bright_as_the_skin() -> None:
    for level in (60.0, 180.0):
        eye = eyes.painted(np.array([1.1, 1.0, 0.9]) * level)
        assert eye.picture.max() < 1.4 * level + 10 and eye.picture.min() < 0.3 * level


def test_a_source_without_a_mesh_is_refused() -> None:
    face = replace(world.face_of(FACE), mesh=None)
    with pytest.raises(NoFaceError):
        prepare(world.drawn(FACE, 256, 256), face, None)


def test_the_engine_renders_windows_of_any_size_alike() -> None:
    source_picture, face = world.drawn(FACE, 256, 256), world.face_of(FACE, world.irises(FACE))
    engine = load(RunOptions(), ReenactOptions(mouth="driver", mesh=MeshOptions(matte="off")))
    assert engine.uses_driving_frames
    assert not load(RunOptions(), ReenactOptions(mouth="synthetic")).uses_driving_frames
    source = engine.encode_source(source_picture, face)
    assert source.size == (256, 256)
    faces, frames = [], []
    for i in range(6):
        mesh = world.moved(source, turn=(0, 2.0 * i, 0), mouth=0.05 * i).points
        faces.append(world.face_of(mesh, world.irises(mesh)))
        frames.append(Frame(world.drawn(mesh, 256, 256), i, Fraction(1, 25), i))
    motion = MotionBuffer(engine.observe(frames, faces))
    moved = engine.retarget(source, motion, MotionOptions())
    together = engine.render(source, moved.window(0, 6), frames)
    apart = [engine.render(source, moved.window(i, i + 1), frames[i : i + 1])[0] for i in range(6)]
    deep = [replace(frame, pixels=frame.pixels.astype(np.uint16) * 257) for frame in frames]
    again = engine.render(source, moved.window(0, 6), deep)
    for one, two, three in zip(together, apart, again, strict=True):
        assert one.dtype == np.uint8 and np.array_equal(one, two) and np.array_equal(one, three)
    assert not np.array_equal(together[0], together[5])
    assert len(engine.render(source, moved.window(2, 4), None)) == 2


def test_the_map_is_coarser_for_a_larger_face() -> None:
    assert [warp.step_for(world.placed(s, s)) for s in (128, 512, 2048)] == [1, 2, 10]
