"""Torso rows: without the camera's motion, and as shoulders of a source."""

from __future__ import annotations

import cmath
from dataclasses import replace

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import RAW
from thcli.core.options import MotionOptions, Region
from thcli.core.types import Array, Motion
from thcli.faces.tracking.head_motion import Similarity
from thcli.motion import limits
from thcli.motion.observe import observe
from thcli.motion.picture import camera, torso
from thcli.motion.retarget import RetargetedMotion
from thcli.motion.smooth import GapFilledMotion, create_filter
from thcli.motion.timeline import read_timeline

IDENTITY = np.eye(3)[:2]
PLACE = camera.PicturePlace(np.zeros(2), np.array([50.0, 60.0]), 500.0, 100.0)


def path(count: int, pixels: float) -> list[Similarity]:
    return [
        Similarity(cmath.exp(complex(0.02, 0.03) * np.sin(i / 9)), pixels * (cmath.exp(0.2j * i)))
        for i in range(count)
    ]


def with_torso(
    motion: Motion, torsos: list[Similarity | None], cameras: list[Similarity]
) -> Motion:
    """Return a motion with torsos and cameras; None is not seen."""
    size = (int(motion.constants["size"][0]), int(motion.constants["size"][1]))
    rows = {
        name: np.stack([camera.pack_camera(one or Similarity(), size) for one in given])
        for name, given in (("torso", torsos), ("camera", list[Similarity | None](cameras)))
    }
    return replace(motion, arrays={**motion.arrays, **rows})


def shoulders_of(motion: Motion, region: Region = "all", smooth: float = 0) -> Array:
    face = synthetic.face(synthetic.meshes(motion)[0])
    options = MotionOptions(smooth=smooth, region=region)
    store = RetargetedMotion(face, synthetic.buffer(motion), options, reference=0)
    return np.asarray(store.window(0, len(motion)).arrays["torso"], np.float64)


def test_what_moves_with_the_camera_alone_is_still_in_the_scene() -> None:
    seen, own = path(30, 20), path(30, 9)
    size = (640, 480)
    cameras, torsos = (
        np.stack([camera.pack_camera(one, size) for one in given])
        for given in (seen, [c @ t for c, t in zip(seen, own, strict=True)])
    )
    wanted = np.stack([camera.pack_camera(one, size) for one in own])
    assert np.abs(torso.in_scene(torsos, cameras) - wanted).max() < 1e-9
    assert np.abs(torso.in_scene(cameras, cameras)).max() < 1e-12


def test_shoulders_of_the_driver_itself_move_as_its_torso() -> None:
    motion = synthetic.driver(degrees=0)
    true = path(len(motion), 12)
    own = [one @ true[0].inverse() for one in true]
    found = shoulders_of(with_torso(motion, [*true], [Similarity()] * len(motion)))
    mesh = synthetic.meshes(motion)[0]
    height = float(np.linalg.norm(mesh[10, :2] - mesh[152, :2]))
    middle = np.array([mesh[:, 0].mean(), mesh[152, 1] + 0.4 * height])
    for matrix, one in zip(found, own, strict=True):
        moved = np.linalg.norm(one.apply(middle) - middle)
        if torso.MOVING * height < moved < 0.5 * limits.MAX_SHIFT * height:
            assert np.linalg.norm(matrix @ [*middle, 1] - one.apply(middle)) < 0.02 * height


def test_a_head_that_its_torso_carries_moves_no_body_besides() -> None:
    motion = synthetic.driver(degrees=0)
    mesh = synthetic.meshes(motion)[0]
    height = float(np.linalg.norm(mesh[10, :2] - mesh[152, :2]))
    shifts = [complex(0.45 * height * np.sin(i / 9), 0) for i in range(len(motion))]
    pose = np.repeat(np.asarray(motion.arrays["pose"], np.float64)[:1], len(motion), 0)
    pose[:, 4] += np.real(shifts) / float(motion.constants["size"][1])
    moved = replace(motion, arrays={**motion.arrays, "pose": pose})

    def retargeted(torsos: list[Similarity | None]) -> Motion:
        given = with_torso(moved, torsos, [Similarity()] * len(motion))
        store = RetargetedMotion(synthetic.face(mesh), synthetic.buffer(given), RAW, reference=0)
        return store.window(0, len(motion))

    alone = retargeted([None] * len(motion))
    carried = retargeted([Similarity(1, shift) for shift in shifts])
    bodies, points = (
        [np.asarray(out.arrays[name], np.float64) for out in (alone, carried)]
        for name in ("body", "points")
    )
    assert np.abs(bodies[0]).max() > 0.1 * height and np.abs(bodies[1]).max() < 0.03 * height
    # the head is where it was
    places = [shape[:, 6, 0] + body[:, 0] for shape, body in zip(points, bodies, strict=True)]
    assert np.abs(places[0] - places[1]).max() < 0.05 * height


@pytest.mark.parametrize("region", ["lips", "expression"])
def test_shoulders_are_still_where_no_pose_is_transferred(region: Region) -> None:
    motion = synthetic.driver(degrees=0)
    moved = with_torso(motion, [*path(len(motion), 60)], [Similarity()] * len(motion))
    assert (shoulders_of(moved, region) == IDENTITY).all()
    assert (shoulders_of(motion) == IDENTITY).all()  # a motion without torsos


def test_noise_leaves_shoulders_still_to_the_last_bit_and_far_motion_is_limited() -> None:
    rows = np.zeros((2, 4))
    rows[0, 2] = 0.9 * torso.STILL * PLACE.face_height / PLACE.height_ratio
    rows[1] = (0.9, 0.8, 3, 3)
    zoom = np.array([0.0, 0.9])
    noise, far = torso.shoulder_motion(rows, np.zeros((2, 4)), np.ones(2), PLACE, zoom)
    assert (noise == IDENTITY).all()
    shoulders = PLACE.pivot + np.array([0, torso.SHOULDERS * PLACE.face_height])
    moved = np.linalg.norm(far @ [*shoulders, 1] - shoulders)
    assert moved <= limits.MAX_SHIFT * PLACE.face_height + 1e-6
    assert np.sqrt(np.linalg.det(far[:, :2])) <= np.exp(torso.MAX_LOG_ZOOM) + 1e-9


@pytest.mark.parametrize(("head", "most"), [(0.0, torso.FREE_ZOOM), (0.08, 0.1), (-0.1, 0.02)])
def test_a_torso_zooms_no_other_way_than_its_head(head: float, most: float) -> None:
    rows = np.array([[0.1, 0, 0, 0]])
    ones = np.ones(1)
    found = torso.shoulder_motion(rows, np.zeros((1, 4)), ones, PLACE, head * ones)[0]
    assert np.isclose(found[0, 0], np.exp(most), atol=2e-3)
    shoulders = np.array([50.0, 160.0])
    moved = found @ [*shoulders, 1] - shoulders  # by the zoom about the picture's middle
    assert np.abs(moved - limits.limit_length((np.exp(0.1) - 1) * np.array([0, 100]), 30)).max() < 1


def test_the_torso_of_a_window_is_observed_with_its_camera() -> None:
    frames = synthetic.frames(2)
    faces = [synthetic.source(), None]
    seen = [Similarity(1, 3), Similarity(1.1, 4 + 2j)]
    arrays = observe(frames, faces, None, ([Similarity()] * 2, seen)).arrays
    assert not arrays["camera"].any()
    packed = np.stack([camera.pack_camera(one, frames[0].size) for one in seen])
    assert np.abs(np.asarray(arrays["torso"], np.float64) - packed).max() < 1e-9
    unseen = observe(frames, faces, None, ([Similarity(1, 9)] * 2, [None, seen[1]])).arrays
    assert not unseen["torso"][0].any() and unseen["torso"][1].any()


def panned(motion: Motion, cameras: list[Similarity]) -> Motion:
    """Return a motion as a moving camera sees it."""
    size = (int(motion.constants["size"][0]), int(motion.constants["size"][1]))
    rows = np.stack([camera.pack_camera(one, size) for one in cameras])
    pose = np.array(motion.arrays["pose"], np.float64)
    pose[:, 4:6] += rows[:, 2:]
    return replace(motion, arrays={**motion.arrays, "pose": pose, "camera": rows})


def pan(count: int, pixels: float) -> list[Similarity]:
    return [Similarity(1, pixels * i / (count - 1)) for i in range(count)]


def test_shoulders_without_a_torso_do_not_move_against_the_camera() -> None:
    motion = synthetic.driver(degrees=0)
    cameras = pan(len(motion), 200)
    moved = panned(motion, cameras)  # an older motion, without torsos
    assert read_timeline(synthetic.buffer(moved)).camera.any()
    assert (shoulders_of(moved) == IDENTITY).all()
    unseen = with_torso(moved, [None] * len(motion), cameras)
    assert (shoulders_of(unseen) == IDENTITY).all()


def test_a_torso_that_is_lost_stays_in_the_scene_while_the_camera_goes_on() -> None:
    motion = synthetic.driver(degrees=0)
    count = len(motion)
    cameras = pan(count, 200)
    own = [Similarity(1, 2j * min(i, 10)) for i in range(count)]
    torsos = [
        None if 14 < i < 30 else c @ t for i, (c, t) in enumerate(zip(cameras, own, strict=True))
    ]
    for seen in (torsos, [*torsos[:15], *[None] * (count - 15)]):
        rows = read_timeline(
            synthetic.buffer(with_torso(panned(motion, cameras), seen, cameras))
        ).torso
        size = (int(motion.constants["size"][0]), int(motion.constants["size"][1]))
        wanted = np.stack([camera.pack_camera(one, size) for one in own])
        assert np.abs(rows[1:] - wanted[1:]).max() < 1e-6
        assert np.abs(rows[0]).max() < 1.1 * np.abs(wanted[1]).max()


def test_a_torso_of_one_shot_says_nothing_about_another() -> None:
    motion = synthetic.driver(degrees=0)
    count = len(motion)
    cut = np.arange(count) == 20
    torsos = [Similarity(1, 3j + i) if i < 20 else None for i in range(count)]
    moved = with_torso(motion, [*torsos], [Similarity()] * count)
    moved = replace(moved, arrays={**moved.arrays, "cut": cut})
    rows = read_timeline(synthetic.buffer(moved)).torso
    assert rows[:20].any(1).all() and not rows[20:].any()


@pytest.mark.parametrize("causal", [False, True])
def test_shoulders_are_smoothed_as_the_head_is(causal: bool) -> None:
    motion = synthetic.driver(degrees=0)
    noise = np.random.default_rng(4).normal(0, 0.4, (len(motion), 2))
    torsos = [Similarity(1, complex(20 + 2 * i + x, y)) for i, (x, y) in enumerate(noise)]
    moved = with_torso(motion, [*torsos], [Similarity()] * len(motion))
    store = synthetic.buffer(moved)
    timeline = read_timeline(store)

    def jitter(smooth: float) -> float:
        rows = GapFilledMotion(timeline, create_filter(store, timeline, smooth, causal)).torso
        return float(np.abs(np.diff(rows[8:, 2:], 2, 0)).mean())

    assert jitter(1) < 0.5 * jitter(0)
    assert jitter(0) == np.abs(np.diff(timeline.torso[8:, 2:], 2, 0)).mean()
    shown = [shoulders_of(moved, smooth=smooth)[8:, :, 2] for smooth in (0, 1)]
    raw, smoothed = (np.abs(np.diff(rows, 2, 0)).mean() for rows in shown)
    assert smoothed < 0.7 * raw


@pytest.mark.parametrize(("follows", "carries"), [(True, False), (True, True), (False, False)])
def test_a_head_stays_in_view_where_the_picture_stays_behind_its_camera(
    *, follows: bool, carries: bool
) -> None:
    still, rows, rest = np.zeros((5, 4)), np.zeros((5, 4)), np.zeros((5, 4))
    rows[:, 3] = -np.linspace(0, 0.35, 5)  # image heights
    rest[:, 3] = -rows[:, 3] if carries else 0
    pivot, size = np.array([400.0, 300.0]), (800, 600)
    place = camera.PicturePlace(np.zeros(2), pivot, 600.0, 150.0, None, size)
    motion = torso.PictureMotion(rows, still, rest, still, place)
    shift = np.zeros((5, 3))
    shift[:, 1] = -600 * rows[:, 3] if follows else 0
    picture, shoulders, kept = motion.window(0, np.ones(5), np.zeros(5), shift)
    assert np.abs(picture[:, 1, 2]).max() <= camera.MAX_BEYOND * size[1] + 1e-6
    if not follows:
        assert not kept.any()
        return
    shown = pivot + kept[:, :2] + picture[:, :, 2]
    free = camera.picture_motion(rows, still, np.ones(5), replace(place, bounds=None))
    np.testing.assert_allclose(shown, pivot + shift[:, :2] + free[:, :, 2], atol=0.1)
    carried = np.einsum("tij,j->ti", shoulders, [*pivot, 1.0]) - pivot
    assert np.abs(carried).max() <= np.abs(kept[:, :2]).max() + 1e-6
