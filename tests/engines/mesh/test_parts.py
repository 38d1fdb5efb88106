"""Parts of the renderer: raster, surroundings, openings, matte, mirrored cheek, mouth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.errors import NoFaceError
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.options import MeshOptions, MotionOptions, ReenactOptions, RunOptions
from thcli.core.types import Frame
from thcli.engines.mesh import anatomy, opening, raster, unfold, warp
from thcli.engines.mesh.background import matte
from thcli.engines.mesh.background.plate import push_pull
from thcli.engines.mesh.engine import load
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.cheeks import mirrored_cheek
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.mouth import tone_match
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.surrounding_field import surrounding_displacement
from thcli.engines.mesh.surroundings import Surroundings
from thcli.faces.landmarks import topology
from thcli.motion.file.buffer import MotionBuffer

FACE = faces.centred_mesh(256, 256)


@given(st.integers(0, 851), st.integers(1, 5))
def test_linear_maps_interpolate_the_corners_at_every_sample_inside(which: int, step: int) -> None:
    points = FACE + np.array([0.3, 0.7, 0])
    triangle = topology.TRIANGLES[which : which + 1]
    values = points[:, :2] * (1.5, -0.5) + (3, 40)
    corners = points[triangle[0], :2]
    grid = SampleGrid.covering(corners.min(0), corners.max(0), step, 2)
    ids = raster.rasterize(points, triangle, np.arange(1), grid)
    out = raster.sample_maps(ids, raster.linear_maps(points, values, triangle), grid)
    x, y = grid.pixel_axes()
    there = np.stack(np.broadcast_arrays(x[None] * 1.5 + 3, y[:, None] * -0.5 + 40), -1)
    assert (ids >= 0).any()
    assert np.abs(out - there)[ids >= 0].max() < 1e-2
    assert (out[ids < 0] == 0).all()


def test_a_sliver_is_the_mean_of_its_corners() -> None:
    points = np.array([[0.0, 0, 0], [10, 0, 0], [20, 1e-4, 0]])
    maps = raster.linear_maps(
        points, np.array([[0.0], [100.0], [0.0]]), np.array([[0, 1, 2]], np.int32)
    )
    assert maps[0, :, 0].tolist() == pytest.approx([0, 0, 100 / 3], abs=1e-4)


def test_strips_of_the_holes_wind_like_the_face() -> None:
    count, signs = anatomy.HOLE_TRIANGLE_COUNT, anatomy.FRONTAL_SIGNS
    open_mouth = faces.make_target(faces.make_source(), mouth=0.3).points
    assert (anatomy.doubled_areas(open_mouth) * signs)[:count].min() > 0
    assert ((anatomy.doubled_areas(FACE) * signs)[count:] > 0).mean() > 0.98


def test_surrounding_displacement_is_zero_at_rest_meets_the_outline_and_ends_far_away() -> None:
    surroundings = Surroundings(find_outline(FACE), 255.0, False)
    grid = SampleGrid(-400, -400, 16, 70, 70)
    assert (
        np.abs(surrounding_displacement(FACE, surroundings, FACE, FACE[:, :2], grid)).max() < 1e-4
    )
    target = faces.make_target(faces.make_source(), turn=(3, 8, 5), shift=(0.1, 0.05)).points
    field = surrounding_displacement(FACE, surroundings, target, FACE[:, :2], grid)
    assert np.abs(field[0]).max() == 0 and np.abs(field[:, -1]).max() == 0
    oval = find_outline(target).points
    for k in range(0, 36, 5):
        at = SampleGrid(int(oval[k, 0]), int(oval[k, 1]), 1, 1, 1)
        there = surrounding_displacement(FACE, surroundings, target, FACE[:, :2], at)[0, 0]
        assert there == pytest.approx(surroundings.outline.points[k] - oval[k], abs=2.0)


@pytest.mark.parametrize("turn", [(0, 25, 0), (20, 0, 0), (0, 0, 30), (0, -25, 10)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.0, -0.3)])
def test_the_neck_does_not_fold(
    turn: tuple[float, float, float], shift: tuple[float, float]
) -> None:
    """Along the midline below the chin the source's rows keep their order."""
    source = faces.make_source(256, 512)
    surroundings = replace(source.surroundings, matte=True)
    target = faces.make_target(source, turn=turn, shift=shift).points
    chin = target[anatomy.CHIN]
    grid = SampleGrid(int(chin[0]), int(chin[1]) + 8, 2, 1, 70)
    flow = surrounding_displacement(source.mesh, surroundings, target, source.mesh[:, :2], grid)
    rows = flow[:, 0, 1] + grid.pixel_axes()[1]
    assert np.diff(rows).min() > -1.0  # pixels, of a step of 2


def test_hidden_outline_moves_out_to_the_hull_without_a_jump() -> None:
    source = faces.make_source()
    before = None
    for angle in np.arange(15.0, 40.0, 0.5):
        oval = find_outline(faces.make_target(source, turn=(0, angle, 0)).points).points
        if before is not None:
            assert np.abs(oval - before).max() < 3.0
        before = oval
    assert np.array_equal(find_outline(FACE).points[18], FACE[anatomy.CHIN, :2])


def test_nothing_is_blended_into_an_empty_region() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    beyond = slice(8, 12), slice(0, 4)
    opening.blend(image, beyond, np.ones((0, 4), np.float32), np.zeros((0, 4, 3), np.uint8))
    assert (image == 100).all()


@given(st.floats(-0.2, 1.2), st.floats(-0.5, 0.5))
def test_opening_coordinates_are_invertible(u: float, v: float) -> None:
    lips = opening.fit_opening(FACE, anatomy.LIPS)
    at = np.array([[u]], np.float32), np.array([[v]], np.float32)
    assert lips.to_local(opening.to_pixels(lips, *at)[0, 0]) == pytest.approx((u, v), abs=1e-4)


def test_wide_open_lips_push_the_skin_below_them() -> None:
    source = faces.make_source()
    assert unfold.unfold_skin(source.mesh, source.mesh) is source.mesh
    target = source.mesh.copy()
    lower = np.concatenate([topology.LIPS.lower, topology.LIPS_OUTER[1:10]])
    target[lower, 1] += 0.4 * (source.mesh[anatomy.CHIN, 1] - source.mesh[17, 1])
    assert target[17, 1] > target[18, 1]  # the lip has crossed the skin
    fixed = unfold.unfold_skin(source.mesh, target)
    assert fixed[17, 1] < fixed[18, 1] < fixed[200, 1] < fixed[152, 1]


@given(pursed=st.floats(0, 0.5), turn=st.floats(-30, 30), grow=st.floats(0.5, 2))
def test_skin_beside_pursed_lips_goes_with_their_corners(
    pursed: float, turn: float, grow: float
) -> None:
    mesh = faces.make_source().mesh
    lips = np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER, [76, 306]]))
    middle, target = mesh[[61, 291]].mean(0), mesh.copy()
    target[lips] += (middle - mesh[lips]) * pursed
    angle = np.radians(turn)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    target[:, :2] = target[:, :2] @ turned.T
    target *= grow
    followed = unfold.follow_corners(mesh, target)
    assert np.array_equal(followed[lips], target[lips])
    assert np.array_equal(followed[[10, 152, 168, 234, 454]], target[[10, 152, 168, 234, 454]])
    if pursed == 0:
        assert followed is target
    for corner, skin, jaw in ((61, 57, 58), (291, 287, 288)):
        own, before, after = (
            float((m[skin] - m[corner]) @ width / (width @ width))
            for m in (mesh, target, followed)
            for width in [(mesh if m is mesh else target)[jaw] - m[corner]]
        )
        assert after <= before + 1e-9
        assert after <= 1.26 * own or after == before
        lengths = [float(np.linalg.norm((m[skin] - m[corner])[:2])) for m in (target, followed)]
        assert lengths[1] <= lengths[0] + 1e-9
        if pursed > 0.3:
            assert lengths[1] < 0.9 * lengths[0]
    if pursed > 0.3:
        assert not np.array_equal(followed[[57, 287]], target[[57, 287]])


@given(pursed=st.floats(0.1, 0.5), own=st.floats(-60, 60), turn=st.floats(-60, 60))
def test_skin_follows_pursed_corners_alike_however_far_heads_are_turned(
    pursed: float, own: float, turn: float
) -> None:
    """Also beside a far corner, where skin is seen edge on and has next to no width."""
    mesh = faces.make_source().mesh
    target = mesh.copy()
    target[topology.LIPS_OUTER] += (mesh[[61, 291]].mean(0) - mesh[topology.LIPS_OUTER]) * pursed
    followed = unfold.follow_corners(mesh, target)
    source = mesh @ matrix_from_rotvec([0, np.radians(own), 0]).T
    before, after = (
        one @ matrix_from_rotvec([0, np.radians(turn), 0]).T for one in (target, followed)
    )
    assert unfold.follow_corners(source, before) == pytest.approx(after, abs=1e-6)


def test_layers_add_up_to_the_image_and_the_plate_shows_no_person() -> None:
    source = faces.astronaut()
    assert source.layers is not None
    alpha = source.layers.person[..., 3:].astype(float) / 255
    again = source.layers.plate * (1 - alpha) + source.layers.person[..., :3]
    assert np.abs(again - source.image).max() <= 1
    mesh = source.mesh[topology.OVAL, :2]
    face = faces.polygon_mask(mesh, 512, 512, grow=-5)
    assert alpha[face].min() == 1
    assert np.abs(source.layers.plate[face].astype(float) - source.image[face]).mean() > 20


def test_a_matte_without_the_face_is_rejected() -> None:
    assert (
        matte.separate_person(
            faces.render_face(FACE, 256, 256), np.zeros((64, 64), np.float32), FACE
        )
        is None
    )


def test_push_pull_keeps_known_pixels_and_fills_the_rest() -> None:
    rows = np.mgrid[0:40, 0:50][0].astype(np.float32)
    image = np.stack([rows, 0 * rows + 7, 39 - rows], -1)
    hole = np.zeros((40, 50), bool)
    hole[10:30, 15:35] = True
    filled = push_pull(image, hole)
    assert np.abs(filled - image)[~hole].max() < 1e-3
    assert np.abs(filled[..., 1] - 7).max() < 1e-3
    assert np.abs(filled - image)[hole].max() < 12


def test_the_hidden_cheek_takes_the_shown_ones_texture() -> None:
    assert mirrored_cheek.prepare(faces.render_face(FACE, 256, 256), FACE) is None
    turned = faces.make_target(faces.make_source(), turn=(0, 38, 0)).points
    image = faces.render_face(turned, 256, 256)
    source = prepare(image, faces.make_face(turned, faces.iris_points(turned)), None)
    assert source.hidden_cheek is not None
    target = faces.make_target(source, turn=(0, -18, 0))
    with_it, without = (
        render_frame(source, target, None),
        render_frame(replace(source, hidden_cheek=None), target, None),
    )
    assert np.abs(with_it.astype(int) - without).max() > 20
    far = faces.make_target(source, turn=(0, 3, 0))
    assert np.array_equal(
        render_frame(source, far, None), render_frame(replace(source, hidden_cheek=None), far, None)
    )


def test_a_synthetic_mouth_shows_cavity_and_teeth() -> None:
    source = faces.make_source(512, 512)
    target = faces.make_target(source, mouth=0.5)
    out = render_frame(source, target, None)
    inside = faces.polygon_mask(target.points[anatomy.LIPS, :2], 512, 512, grow=-4)
    light = out[inside].mean(-1)
    skin = float(np.mean(faces.SKIN))
    darkest = source.interior.darkest  # of the face, which has no black
    assert light.min() < max(0.25 * skin, darkest + 2) and light.max() > 0.6 * skin
    assert 0.1 * skin < light.mean() < 0.7 * skin
    red, green, blue = out[inside].astype(float).mean(0)
    assert red > green and red > blue


def test_the_drivers_mouth_is_lit_like_the_source() -> None:
    source = faces.make_source()
    target = faces.make_target(source, mouth=0.4)
    dark = (faces.render_face(target.points, 256, 256) * 0.7).astype(
        np.uint8
    )  # the driver's frame is darker
    out = render_frame(source, replace(target, driver=target.points), dark)
    inside = faces.polygon_mask(target.points[anatomy.LIPS, :2], 256, 256, grow=-4)
    warmth = (np.array(faces.SKIN) / faces.SKIN[0]) ** tone_match.TOOTH_WARMTH
    assert out[inside].mean(0) == pytest.approx(faces.INSIDE * warmth, abs=12)
    assert np.array_equal(out, render_frame(source, replace(target, driver=target.points), dark))


def test_a_source_without_a_mesh_is_refused() -> None:
    face = replace(faces.make_face(FACE), mesh=None)
    with pytest.raises(NoFaceError):
        prepare(faces.render_face(FACE, 256, 256), face, None)


def test_the_engine_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page faults took an eighth of a 4K frame's time."""
    kept: list[bool] = []
    monkeypatch.setattr("thcli.engines.mesh.renderer.keep_memory", lambda: kept.append(True))
    load(RunOptions())
    assert kept == [True]


def test_the_engine_renders_windows_of_any_size_alike() -> None:
    source_picture, face = (
        faces.render_face(FACE, 256, 256),
        faces.make_face(FACE, faces.iris_points(FACE)),
    )
    engine = load(RunOptions(), ReenactOptions(mouth="driver", mesh=MeshOptions(matte="off")))
    source = engine.encode_source(source_picture, face)
    assert source.size == (256, 256)
    observed, frames = [], []
    for i in range(6):
        mesh = faces.make_target(source, turn=(0, 2.0 * i, 0), mouth=0.05 * i).points
        observed.append(faces.make_face(mesh, faces.iris_points(mesh)))
        frames.append(Frame(faces.render_face(mesh, 256, 256), i, Fraction(1, 25), i))
    motion = MotionBuffer(engine.observe(frames, observed))
    moved = engine.retarget(source, motion, MotionOptions())
    assert engine.reads_driver(source, moved)
    assert not load(RunOptions(), ReenactOptions(mouth="synthetic")).reads_driver(source, moved)
    together = engine.render(source, moved.window(0, 6), frames)
    apart = [engine.render(source, moved.window(i, i + 1), frames[i : i + 1])[0] for i in range(6)]
    deep = [replace(frame, pixels=frame.pixels.astype(np.uint16) * 257) for frame in frames]
    again = engine.render(source, moved.window(0, 6), deep)
    for one, two, three in zip(together, apart, again, strict=True):
        assert one.dtype == np.uint8 and np.array_equal(one, two) and np.array_equal(one, three)
    assert not np.array_equal(together[0], together[5])
    assert len(engine.render(source, moved.window(2, 4), None)) == 2


def test_the_map_is_coarser_for_a_larger_face() -> None:
    assert [warp.map_step(faces.centred_mesh(s, s)) for s in (128, 512, 2048)] == [1, 2, 10]
