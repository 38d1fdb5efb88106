"""The inside of the mouth: the driver's, or a drawn one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.test_patches import shut_eyes
from thcli.core.options import MeshOptions, MotionOptions, Mouth, ReenactOptions, RunOptions
from thcli.core.types import Array, Frame, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.engine import load
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth import mouth_choice
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks.mouth_inside import CLOSED
from thcli.motion.file.buffer import MotionBuffer
from thcli.motion.observe import observe
from thcli.motion.render_target import iterate_render_targets

TEETH, CAVITY = (225, 215, 200), (50, 20, 20)


def smiling(
    inside: tuple[int, int, int], mouth: float = 0.3, yaw: float = 0.0
) -> tuple[Image, Array]:
    """Return a face of 256 pixels whose open lips show one colour, and its mesh."""
    base = faces.make_source()
    mesh = faces.make_target(base, mouth=mouth, turn=(0, yaw, 0)).points
    image = faces.render_face(mesh, 256, 256)
    cv2.fillPoly(image, [np.rint(mesh[LIPS, :2]).astype(np.int32)], inside)
    return image, mesh


def drawn_frames(
    option: Mouth,
    image: Image,
    mesh: Array,
    side: int,
    drivers: Sequence[Array] = (),
    insides: Sequence[float] = (),
) -> list[bool]:
    """Return which frames are drawn with a driver of a size; without meshes, five at rest.

    insides: what its open mouth shows, if measured.
    """
    engine = load(
        RunOptions(), ReenactOptions(mouth=option, mesh=MeshOptions(matte="off", patches="off"))
    )
    drivers = drivers or [faces.centred_mesh(side, side)] * 5
    frames = [
        Frame(faces.render_face(driver, side, side), i, Fraction(1, 25), i)
        for i, driver in enumerate(drivers)
    ]
    observed = [faces.make_face(driver, faces.iris_points(driver)) for driver in drivers]
    motion = MotionBuffer(observe(frames, observed, insides=insides or None))
    source = engine.encode_source(image, faces.make_face(mesh, faces.iris_points(mesh)))
    moved = engine.retarget(source, motion, MotionOptions())
    windows = [moved.window(0, 2), moved.window(2, len(moved))]
    drawn = [target.drawn_mouth for window in windows for target in iterate_render_targets(window)]
    assert engine.reads_driver(source, moved) == (not all(drawn))
    return drawn


@pytest.mark.parametrize(
    ("option", "inside", "side", "is_drawn"),
    [
        ("auto", CAVITY, 768, False),
        ("auto", CAVITY, 512, True),  # a mouth of 61 pixels
        ("auto", TEETH, 768, True),
        ("driver", TEETH, 128, False),
    ],
)
def test_the_drivers_mouth_is_taken_where_it_is_worth_it(
    option: Mouth, inside: tuple[int, int, int], side: int, *, is_drawn: bool
) -> None:
    assert drawn_frames(option, *smiling(inside), side) == [is_drawn] * 5


def test_a_source_whose_mouth_is_wide_open_does_not_stretch_the_drivers() -> None:
    assert drawn_frames("auto", *smiling(CAVITY, mouth=0.9), 768) == [True] * 5


def test_a_driver_that_is_the_sources_own_clip_shows_its_own_teeth() -> None:
    image, mesh = smiling(TEETH)
    assert drawn_frames("auto", image, mesh, 256, [mesh] * 5) == [False] * 5
    small = (mesh + 0.5) / 3 - 0.5
    assert drawn_frames("auto", image, mesh, 85, [small] * 5) == [True] * 5


@pytest.mark.parametrize(("turn", "is_drawn"), [(1.0, False), (25.0, True)])
def test_a_driver_that_seems_to_be_the_source_itself_shows_its_own_teeth(
    turn: float, *, is_drawn: bool
) -> None:
    """An earlier moment of a soft clip: what it shows is plain, but its own."""
    image, mesh = smiling(TEETH)
    later = faces.make_target(faces.make_source(), mouth=0.4, turn=(0, turn, 0)).points
    assert drawn_frames("auto", image, mesh, 256, [later] * 5, [0.0] * 5) == [is_drawn] * 5


@pytest.mark.parametrize(("yaw", "is_drawn"), [(-36.0, False), (-48.0, True), (48.0, True)])
def test_half_a_mouth_of_a_profile_is_drawn(yaw: float, *, is_drawn: bool) -> None:
    assert drawn_frames("auto", *smiling(CAVITY, yaw=yaw), 768) == [is_drawn] * 5


@pytest.mark.parametrize(("yaws", "is_drawn"), [((40,) * 3 + (0,) * 2, True), ((40, 0) * 2, False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_driver_that_is_mostly_seen_from_the_side_lends_no_mouth(
    yaws: tuple[float, ...], side: int, *, is_drawn: bool
) -> None:
    base = faces.make_source()
    drivers = [3 * faces.make_target(base, turn=(0, side * yaw, 0)).points for yaw in yaws]
    assert drawn_frames("auto", *smiling(CAVITY), 768, drivers) == [is_drawn] * len(yaws)


@pytest.mark.parametrize(
    ("insides", "mouth", "is_drawn"),
    [
        ([0.1, 1.0, CLOSED, 0.0, 0.2], 0.3, True),  # a tongue that is stuck out, most of the time
        ([0.1, 1.0, CLOSED, 0.9, 1.0], 0.3, False),
        ([0.1, 1.0, 0.0, 1.0, 1.0], 0.3, True),  # teeth without a shade, now and then
        ([CLOSED] * 5, 0.3, True),  # nothing but lips, which would be stretched
        ([CLOSED] * 5, 0.0, False),
    ],
)
def test_a_driver_that_shows_no_inside_lends_no_mouth(
    insides: list[float], mouth: float, *, is_drawn: bool
) -> None:
    image, mesh = smiling(CAVITY, mouth=mouth)
    assert drawn_frames("auto", image, mesh, 768, (), insides) == [is_drawn] * 5


def test_a_mouth_that_is_chosen_to_be_drawn_is_the_synthetic_one() -> None:
    source = faces.make_source()
    target = replace(faces.make_target(source, mouth=0.3), driver=faces.centred_mesh(256, 256))
    frame = np.full((256, 256, 3), (0, 255, 0), np.uint8)
    drawn = render_frame(source, replace(target, drawn_mouth=True), frame)
    np.testing.assert_array_equal(drawn, render_frame(source, target, None))
    assert (drawn != render_frame(source, target, frame)).any()


def test_a_source_with_shut_eyes_reads_the_driver_though_its_mouth_is_drawn() -> None:
    engine = load(RunOptions(), ReenactOptions(mesh=MeshOptions(matte="off", patches="off")))
    mesh = faces.centred_mesh(256, 256)
    frame = Frame(faces.render_face(mesh, 256, 256), 0, Fraction(1, 25), 0)
    motion = observe([frame], [faces.make_face(mesh, faces.iris_points(mesh))])
    drawn = mouth_choice.DrawnMouthMotion(MotionBuffer(motion))
    for points, reads in ((mesh, False), (shut_eyes(mesh), True)):
        face = faces.make_face(points, faces.iris_points(points))
        source = engine.encode_source(faces.render_face(points, 256, 256), face)
        assert engine.reads_driver(source, drawn) == reads


def test_teeth_are_light_and_less_red_than_skin() -> None:
    for inside, seen in ((TEETH, True), (CAVITY, False), ((190, 110, 105), False)):
        image, mesh = smiling(inside)
        assert mouth_choice.shows_teeth(prepare(image, faces.make_face(mesh), None)) == seen
