"""Retargeting: the algebra exactly, the rules of lids, lips, limits and regions, gaps without jumps."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motion import made_motion as world
from thcli.core.errors import MediaError, NoFaceError
from thcli.core.geometry import rotvec_from_matrix
from thcli.core.options import MotionOptions, Region
from thcli.core.types import Array, Motion
from thcli.motion import anatomy, canonical, closure, limits, sliders
from thcli.motion.retarget import Retargeted, driver_meshes, retarget, targets

RAW = MotionOptions(smooth=0)


def moved(
    motion: Motion, options: MotionOptions = RAW, source: object = None, **kwargs: object
) -> Motion:
    face = world.source() if source is None else source
    return Retargeted(face, world.buffer(motion), options, **kwargs).window(0, len(motion))  # type: ignore[arg-type]


def rows(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def shapes_of(motion: Motion) -> Array:
    return canonical.decompose(rows(motion, "points")).shape


@pytest.mark.parametrize("frame", [0, 7, 33])
def test_the_drivers_own_frame_as_source_gives_the_driver_back(frame: int) -> None:
    motion = world.driver()
    meshes = world.meshes(motion)
    out = moved(motion, source=world.face(meshes[frame]), reference=frame, rules=False)
    assert np.abs(rows(out, "points") - meshes).max() < 1e-6


def test_with_the_rules_the_own_frame_still_comes_close() -> None:
    motion = world.driver(turn=5)
    meshes = world.meshes(motion)
    iod = np.linalg.norm(meshes[0, 33] - meshes[0, 263])
    out = moved(motion, source=world.face(meshes[0]), reference=0)
    assert np.abs(rows(out, "points") - meshes)[..., :2].max() < 0.03 * iod


def test_the_drivers_mesh_is_rebuilt_from_float32_rows() -> None:
    motion = world.driver()
    stored = {**motion.arrays, "expression": motion.arrays["expression"].astype(np.float32)}
    rebuilt = driver_meshes(replace(motion, arrays=stored))
    assert np.abs(rebuilt - world.meshes(motion)).max() < 1e-3
    whole = moved(replace(motion, arrays=stored))
    assert np.array_equal(rows(whole, "driver"), rebuilt)


def test_the_reference_is_found_where_the_source_came_from() -> None:
    motion = world.driver()
    frame = 5
    source = world.face(world.meshes(motion)[frame], motion.arrays["gaze"][frame])
    found = Retargeted(source, world.buffer(motion), RAW).reference
    assert abs(found - frame) <= 1


def test_a_blink_is_never_the_reference() -> None:
    motion = world.driver(60)
    eyes = canonical.eye_openings(canonical.neutral() + rows(motion, "expression")).mean(-1)
    for seed in range(5):
        found = Retargeted(world.source(seed), world.buffer(motion), RAW).reference
        assert eyes[found] > 0.8 * np.median(eyes)


def test_no_strength_is_the_still_source() -> None:
    source = world.source()
    out = moved(world.driver(), MotionOptions(strength=0), source)
    assert np.abs(rows(out, "points") - np.asarray(source.mesh)).max() < 1e-9
    assert not rows(out, "gaze").any() and np.allclose(rows(out, "opening"), 1)
    assert all(t.driver is None for t in targets(out))
    assert all(np.array_equal(t, rows(out, "points")[0]) for t in rows(out, "points"))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_a_still_driver_gives_a_still_result(mode: str, causal: bool) -> None:
    one = world.driver(1)
    still = Motion(
        one.kind,
        np.arange(20),
        one.time_base,
        np.ones(20, bool),
        {k: np.repeat(v, 20, 0) for k, v in one.arrays.items()},
        one.constants,
    )
    out = moved(still, MotionOptions(mode=mode, causal=causal))  # type: ignore[arg-type]
    assert np.ptp(rows(out, "points"), axis=0).max() < 1e-6
    if mode == "relative":
        assert np.abs(rows(out, "points") - np.asarray(world.source().mesh)).max() < 1e-6


def test_closed_driver_lips_close_the_sources_open_mouth() -> None:
    t = np.linspace(0, 1, 30)
    motion = sliders.motion(
        sliders.Script(jaw=0.5 * (1 + np.cos(4 * np.pi * t))),
        np.arange(30),
        Fraction(1, 25),
        world.SIZE,
    )
    source = world.source(jaw=0.4)
    out = shapes_of(moved(motion, source=source))
    driver_mouth = canonical.mouth_opening(canonical.neutral() + rows(motion, "expression"))
    mouth = canonical.mouth_opening(out)
    assert driver_mouth.min() < 0.01 and mouth[driver_mouth < 0.01].max() < 0.02
    assert mouth.max() > 0.2


def test_lips_never_cross() -> None:
    motion = world.driver(60, noise=0.01)
    for jaw in (0.0, 0.3):
        out = shapes_of(moved(motion, source=world.source(jaw=jaw)))
        assert canonical.lip_gaps(out).min() > -2e-3


def test_a_blink_shuts_the_sources_eyes_and_opens_them_again() -> None:
    motion = sliders.motion(
        sliders.Script(blink=sliders.blinks(np.arange(30) / 25, [0.4])),
        np.arange(30),
        Fraction(1, 25),
        world.SIZE,
    )
    out = moved(motion)
    opening = np.asarray(rows(out, "opening"), np.float64)
    assert opening.min() < 0.12 and np.allclose(opening[[0, -1]], 1, atol=0.05)
    assert opening.max() <= closure.WIDEST + 1e-9


def test_eyes_shut_in_the_source_open_as_far_as_the_drivers_do() -> None:
    motion = world.driver(60)
    eyes = canonical.eye_openings(shapes_of(moved(motion, source=world.source(blink=1.0))))
    his = canonical.eye_openings(canonical.neutral() + rows(motion, "expression"))
    usual = canonical.eye_openings(canonical.neutral())
    assert np.all(eyes <= usual * closure.WIDEST) and np.abs(np.median(eyes) - usual).max() < 0.05
    assert eyes[his.mean(-1) < 0.02].max() < 0.02
    still = moved(motion, MotionOptions(smooth=0, expression=0), world.source(blink=1.0))
    assert canonical.eye_openings(shapes_of(still)).max() < 0.02


def test_a_driver_whose_eyes_stay_shut_shuts_the_sources() -> None:
    motion = sliders.motion(
        sliders.Script(blink=1.0, jaw=np.linspace(0, 1, 20)),
        np.arange(20),
        Fraction(1, 25),
        world.SIZE,
    )
    assert moved(motion).arrays["opening"].max() < 0.2


def test_gaze_stays_within_its_limits_and_within_the_eye() -> None:
    look = np.linspace(-1, 1, 21)
    motion = sliders.motion(
        sliders.Script(gaze_x=look, gaze_y=look), np.arange(21), Fraction(1, 25), world.SIZE
    )
    gaze = np.asarray(
        moved(motion, MotionOptions(smooth=0, expression=3)).arrays["gaze"], np.float64
    )
    assert np.abs(gaze[..., 0]).max() <= 0.5 and np.all(np.diff(gaze[:, 0, 0]) >= -1e-12)
    mesh = np.asarray(world.source().mesh)
    aside = world.face(mesh, sliders.shapes().gaze + np.array([0.25, 0]))
    out = np.asarray(moved(motion, MotionOptions(smooth=0), aside).arrays["gaze"], np.float64)
    own = canonical.gaze(mesh, np.asarray(aside.iris))
    assert np.abs(own + out)[..., 0].max() <= max(0.3, np.abs(own[..., 0]).max()) + 1e-9


@pytest.mark.parametrize("region", ["lips", "eyes", "expression", "pose"])
def test_a_region_moves_nothing_else(region: Region) -> None:
    source = world.source()
    mesh = np.asarray(source.mesh)
    out = moved(world.driver(), MotionOptions(smooth=0, region=region), source)
    change = np.abs(rows(out, "points") - mesh).max((0, 2))
    lips, lids = anatomy.LIPS.upper, np.concatenate([c.upper for c in anatomy.LIDS])
    nose, brow, chin, oval = 4, 105, 152, 10
    if region == "lips":
        assert change[lips].min() > 0.5 and change[[nose, brow, oval, *lids]].max() < 1e-9
    elif region == "eyes":
        assert change[lids].min() > 0.5 and change[[nose, chin, oval, *lips]].max() < 1e-9
    elif region == "expression":
        still = canonical.decompose(rows(out, "points"))
        assert np.ptp(still.centre, axis=0).max() < 2 and np.ptp(still.log_scale) < 0.02
        assert change[lips].max() > 3
    else:
        shape = shapes_of(out)
        assert np.abs(shape - canonical.decompose(mesh).shape).max() < 1e-9 and change.min() > 1
    assert (rows(out, "gaze") != 0).any() == (region in ("eyes", "expression"))
    assert all((t.driver is not None) == (region in ("lips", "expression")) for t in targets(out))


def test_absolute_motion_takes_the_drivers_own_direction() -> None:
    motion = sliders.motion(
        sliders.Script(yaw=np.linspace(-12, 12, 25)), np.arange(25), Fraction(1, 25), world.SIZE
    )
    out = canonical.decompose(
        moved(motion, MotionOptions(mode="absolute", smooth=0), world.source(yaw=6.0)).arrays[
            "points"
        ]
    )
    yaw = np.degrees(np.arctan2(out.rotation[:, 0, 2], out.rotation[:, 2, 2]))
    assert np.abs(yaw - np.linspace(-12, 12, 25)).max() < 1.5


def test_absolute_motion_keeps_size_and_place() -> None:
    motion = sliders.motion(
        sliders.Script(x=1.0, zoom=1.5), np.arange(10), Fraction(1, 25), world.SIZE
    )
    source = world.source()
    out = canonical.decompose(
        moved(motion, MotionOptions(mode="absolute"), source).arrays["points"]
    )
    own = canonical.decompose(np.asarray(source.mesh))
    assert (
        np.abs(out.log_scale - own.log_scale).max() < 1e-3
        and np.abs(out.centre - own.centre)[:, :2].max() < 2
    )


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(0.05, 2))
def test_limits_are_odd_monotone_bounded_and_exact_when_small(
    a: float, b: float, limit: float
) -> None:
    low, high = sorted((a, b))
    assert limits.soft(low, limit) <= limits.soft(high, limit)
    assert limits.soft(-a, limit) == -limits.soft(a, limit)
    assert abs(limits.soft(a, limit)) <= limit
    assert (
        abs(limits.soft(high, limit) - limits.soft(low, limit)) <= high - low + 1e-12
    )  # no steeper than 1: continuous
    if abs(a) <= limit / 2:
        assert limits.soft(a, limit) == a


@given(st.floats(-1.2, 1.2))
def test_a_turned_source_is_turned_back_less_than_away(own: float) -> None:
    left, right = limits.yaw_limits(own)
    assert min(left, right) >= limits.TURN_LEAST and max(left, right) <= limits.TURN_AWAY
    near = limits.yaw_limits(own + 1e-6)
    assert abs(near[0] - left) < 1e-3 or abs(own) < 1e-5
    if 0.02 < own < np.radians(30):
        assert left < limits.TURN_AWAY and right >= left


@pytest.mark.parametrize("gap", [(15, 20), (15, 37), (0, 12), (48, 60)])
def test_nothing_jumps_over_a_gap(gap: tuple[int, int]) -> None:
    motion = world.driver(60)
    whole = moved(motion, MotionOptions()).arrays["points"]
    out = moved(world.hidden(motion, gap), MotionOptions())
    usual = np.abs(np.diff(whole[..., :2], axis=0)).max()
    assert np.abs(np.diff(rows(out, "points")[..., :2], axis=0)).max() < 1.6 * usual
    assert list(out.valid) == [not gap[0] <= i < gap[1] for i in range(60)]


def test_the_weight_fades_in_long_gaps_only() -> None:
    motion = world.driver(80)
    short = moved(world.hidden(motion, (15, 25))).arrays["weight"]
    assert np.all(short == 1)
    long = moved(world.hidden(motion, (15, 55))).arrays["weight"]
    assert long[35] == 0 and long[14] == 1 and long[55] == 1 and np.abs(np.diff(long)).max() < 0.16


def test_under_a_hand_the_face_holds_and_the_head_still_moves() -> None:
    motion = world.driver(60)
    logit = np.full(60, 28.0, np.float32)
    logit[20:26] = 17
    expression = rows(motion, "expression").copy()
    expression[20:26] += 0.1 * sliders.shapes().jaw  # what the tracker makes of a hand
    covered = replace(motion, arrays={**motion.arrays, "logit": logit, "expression": expression})
    out = moved(covered, MotionOptions())
    usual = moved(
        replace(motion, arrays={**motion.arrays, "logit": np.full(60, 28.0, np.float32)}),
        MotionOptions(),
    )
    assert [t.driver is None for t in targets(out)] == [18 <= i < 28 for i in range(60)]
    assert np.all(rows(out, "weight") == 1)
    turn = [canonical.decompose(rows(m, "points")).rotation for m in (out, usual)]
    assert np.abs(turn[0] - turn[1]).max() < 1e-3
    mouths = canonical.mouth_opening(shapes_of(out)[17:29])
    assert np.all(
        (mouths >= mouths[[0, -1]].min() - 0.01) & (mouths <= mouths[[0, -1]].max() + 0.01)
    )


def test_targets_of_unseen_frames_have_no_driver() -> None:
    out = moved(world.hidden(world.driver(20), (5, 8)))
    made = list(targets(out))
    assert [t.driver is None for t in made] == [5 <= i < 8 for i in range(20)]
    assert all(
        t.points.shape == (468, 3) and t.gaze.shape == (2, 2) and t.opening.shape == (2,)
        for t in made
    )


@settings(max_examples=15, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["relative", "absolute"]))
def test_windows_do_not_change_the_result(data: st.DataObject, causal: bool, mode: str) -> None:
    motion = world.hidden(world.driver(50, noise=0.003), (10, 14), (25, 42))
    options = MotionOptions(causal=causal, mode=mode)  # type: ignore[arg-type]
    whole = moved(motion, options)
    cut = Retargeted(world.source(), world.buffer(motion), options)
    start = data.draw(st.integers(0, 49))
    stop = data.draw(st.integers(start + 1, 50))
    part = cut.window(start, stop)
    for name, part_rows in part.arrays.items():
        # matrix products of another length may differ in their last bits
        assert np.allclose(part_rows, whole.arrays[name][start:stop], rtol=0, atol=1e-9), name


def test_a_scene_cut_restarts_the_filter() -> None:
    motion = world.driver(40)
    arrays = {k: v.copy() for k, v in motion.arrays.items()}
    arrays["track"][20:] = 1
    arrays["expression"] = (
        rows(motion, "expression")
        + 0.2 * sliders.shapes().smile * (np.arange(40) >= 20)[:, None, None]
    )
    cut = replace(motion, arrays=arrays)
    first = np.asarray(moved(cut, MotionOptions(), reference=0).arrays["points"], np.float64)[:20]
    alone = np.asarray(
        moved(motion[0:20], MotionOptions(), reference=0).arrays["points"], np.float64
    )
    # all but the lids, whose usual opening is that of the whole clip
    assert np.abs(first[:, 4] - alone[:, 4]).max() < 1e-6


def test_what_cannot_be_retargeted_is_said() -> None:
    motion = world.driver(5)
    with pytest.raises(MediaError, match="kind 'fomm'"):
        retarget(world.source(), world.buffer(replace(motion, kind="fomm")), RAW)
    with pytest.raises(NoFaceError, match="no mesh"):
        retarget(replace(world.source(), mesh=None), world.buffer(motion), RAW)
    with pytest.raises(NoFaceError, match="no face in any frame"):
        retarget(world.source(), world.buffer(world.hidden(motion, (0, 5))), RAW)


def test_an_empty_window_has_no_frames() -> None:
    out = Retargeted(world.source(), world.buffer(world.driver(5)), RAW).window(9, 12)
    assert len(out) == 0 and list(targets(out)) == []


def test_a_motion_that_knows_its_rest_is_put_on_the_source_as_it_is() -> None:
    """At rest the source keeps its pose, its lips close although they were parted, and the lips' gaps are the motion's own."""
    source = sliders.motion(sliders.Script(jaw=0.5, yaw=12.0), [0], Fraction(1, 25))
    mesh = canonical.unpack(
        source.arrays["pose"][0], canonical.neutral() + rows(source, "expression")[0], (512, 512)
    ).mesh()
    jaw = np.array([0.0, 0.0, 0.6, 0.3, 0.0])
    made = sliders.motion(
        sliders.Script(jaw=jaw, pitch=np.array([0.0, 5, 0, 0, 0])), np.arange(5), Fraction(1, 25)
    )
    made = replace(made, constants={**made.constants, "rest": made.arrays["pose"][0]})
    retargeted = Retargeted(world.face(mesh), world.buffer(made), MotionOptions())
    points = np.asarray(retargeted.window(0, 5).arrays["points"])
    posed = canonical.decompose(points)
    turn = np.degrees(rotvec_from_matrix(posed.rotation))
    assert np.allclose(turn[[0, 2, 4]], turn[0], atol=0.5) and abs(turn[0, 1] - 12) < 1.5
    assert turn[1, 0] - turn[0, 0] == pytest.approx(5, abs=0.5)
    opening = canonical.mouth_opening(posed.shape)
    assert opening[[0, 1, 4]].max() < 5e-3
    truth = canonical.mouth_opening(canonical.neutral() + rows(made, "expression"))
    assert np.allclose(opening, truth, atol=0.03)
    assert retargeted.reference == -1
