"""Retargeting of eyes: blinks, winks, wide eyes and gaze."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import (
    canonical_shapes,
    facing,
    opening_rules,
    retargeted,
    rows,
    with_eyes,
)
from thcli.core.options import MotionOptions
from thcli.core.types import Array, Motion
from thcli.motion import anatomy, canonical, closure, openings, sliders
from thcli.motion import limits as motion_limits
from thcli.motion.canonical import neutral
from thcli.motion.reference import lids


def test_a_blink_shuts_the_sources_eyes_and_opens_them_again() -> None:
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(blink=sliders.blink_curve(np.arange(30) / 25, [0.4])),
        np.arange(30),
        Fraction(1, 25),
        synthetic.SIZE,
    )
    out = retargeted(motion)
    opening = np.asarray(rows(out, "opening"), np.float64)
    assert opening.min() < 0.12 and np.allclose(opening[[0, -1]], 1, atol=0.05)
    assert opening.max() <= closure.MAX_OPENING_RATIO + 1e-9


def test_eyes_shut_in_the_source_open_as_far_as_the_drivers_do() -> None:
    motion = synthetic.driver(60)
    eyes = canonical.eye_openings(
        canonical_shapes(retargeted(motion, source=synthetic.source(blink=1.0)))
    )
    driver_eyes = canonical.eye_openings(canonical.neutral() + rows(motion, "expression"))
    neutral_eyes = canonical.eye_openings(canonical.neutral())
    assert (
        np.all(eyes <= neutral_eyes * closure.MAX_OPENING_RATIO)
        and np.abs(np.median(eyes) - neutral_eyes).max() < 0.05
    )
    assert eyes[driver_eyes.mean(-1) < 0.02].max() < 0.02
    still = retargeted(motion, MotionOptions(smooth=0, expression=0), synthetic.source(blink=1.0))
    assert canonical.eye_openings(canonical_shapes(still)).max() < 0.02


@pytest.mark.parametrize("narrow", [0.7, 1.0])
def test_eyes_shut_in_the_source_are_narrow_if_those_of_the_driver_are(narrow: float) -> None:
    """They show the driver's eyes, which were drawn out to discs; its reference is a blink."""
    gaps = np.full((20, 2), narrow)
    gaps[10] = 0.0
    out = retargeted(with_lids(gaps), source=synthetic.source(blink=1.0))
    eyes = canonical.eye_openings(canonical_shapes(out))
    wanted = narrow**0.5 * canonical.eye_openings(canonical.neutral())
    assert np.median(eyes, 0) == pytest.approx(wanted, rel=0.12)
    assert eyes[10].max() < 0.03


def wink(side: int, frames: int = 7) -> Motion:
    """Return a neutral driver of 20 frames that shuts one eye (0: on the image's left) around 10.

    frames: for which it is shut, odd.
    """
    openings = np.ones((20, 2))
    openings[10 - frames // 2 : 11 + frames // 2, side] = 0.0
    return with_lids(openings)


def with_lids(openings: Array) -> Motion:
    """Return a neutral driver with lid gaps (T, 2) over a neutral face's."""
    shape = np.repeat(canonical.neutral()[None], len(openings), 0)
    closure.set_lids(shape, canonical.neutral(), openings)
    curves = sliders.SliderCurves(extra=shape - canonical.neutral())
    motion = sliders.motion_from_sliders(
        curves, np.arange(len(openings)), Fraction(1, 25), synthetic.SIZE
    )
    # `motion_from_sliders` resets the lids
    return replace(motion, arrays={**motion.arrays, "expression": shape - canonical.neutral()})


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("source_blink", [0.0, 1.0])
def test_a_wink_shuts_the_same_eye_of_the_source(side: int, source_blink: float) -> None:
    """Also of a source with shut eyes, which open to the neutral opening."""
    out = retargeted(wink(side), source=synthetic.source(blink=source_blink))
    eyes = canonical.eye_openings(canonical_shapes(out))
    assert eyes[10, side] < 0.1 * eyes[0, side]
    assert eyes[10, 1 - side] > 0.9 * eyes[0, 1 - side] > 0.15


def test_an_eye_that_is_read_alone_for_moments_is_no_wink() -> None:
    """In a fast blink one eye is often read late; both eyes of the source stay alike."""
    eyes = canonical.eye_openings(canonical_shapes(retargeted(wink(0, frames=1))))
    assert eyes[10] == pytest.approx(eyes[10, ::-1], rel=0.05)
    assert eyes[10].mean() < 0.75 * eyes[0].mean()


@pytest.mark.parametrize(("open_eye", "winks"), [(1.0, True), (0.5, False)])
def test_one_of_two_narrow_eyes_that_seems_to_be_shut_is_no_wink(
    open_eye: float, winks: bool
) -> None:
    """Behind glasses the landmarks of one eye are off by half of an eye that is narrowed."""
    gaps = np.full((20, 2), open_eye)
    gaps[6:14, 0] = 0.05
    eyes = canonical.eye_openings(canonical_shapes(retargeted(with_lids(gaps))))
    unlike = eyes[10, 1] - eyes[10, 0]
    assert unlike > 0.15 if winks else abs(unlike) < 0.04


def test_a_lasting_difference_of_the_eyes_needs_frames_before_it_alone_if_causal() -> None:
    eyes = np.full((40, 2), 0.25)
    eyes[20:, 0] = 0.05
    seconds = np.arange(40) / 25
    both = lids.lasting_differences(eyes, seconds, causal=False)
    live = lids.lasting_differences(eyes, seconds, causal=True)
    assert both[19] == live[20] == 0
    assert both[20] == live[26] == pytest.approx(-0.2)
    first = lids.lasting_differences(eyes[:25], seconds[:25], causal=True)
    assert np.array_equal(first, live[:25])


@pytest.mark.parametrize(("yaw", "near"), [(45.0, 1), (-45.0, 0)])
def test_the_far_eye_of_a_turned_driver_neither_winks_nor_opens(yaw: float, near: int) -> None:
    motion = wink(1 - near)
    motion.arrays["pose"][:, 1] = np.radians(yaw)
    eyes = canonical.eye_openings(canonical_shapes(retargeted(motion)))
    assert eyes[10] == pytest.approx(eyes[0], rel=0.1)
    motion = wink(near)
    motion.arrays["pose"][:, 1] = np.radians(yaw)
    eyes = canonical.eye_openings(canonical_shapes(retargeted(motion)))
    assert eyes[10].max() < 0.2 * eyes[0].min()


def test_the_far_eye_counts_less_the_further_a_head_is_turned() -> None:
    eyes = np.tile([0.1, 0.3], (4, 1))
    yaw = np.radians([0.0, 20.0, 33.0, 60.0])
    read = lids.count_near_eye(eyes, yaw, lids.FAR_EYE_YAW)
    assert np.array_equal(read[:2], eyes[:2]) and read[3] == pytest.approx([0.3, 0.3])
    assert 0.1 < read[2, 0] < 0.3 and read[2, 1] == pytest.approx(0.3)


def test_a_driver_whose_eyes_stay_shut_shuts_the_sources() -> None:
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(blink=1.0, jaw=np.linspace(0, 1, 20)),
        np.arange(20),
        Fraction(1, 25),
        synthetic.SIZE,
    )
    assert retargeted(motion).arrays["opening"].max() < 0.2


def test_gaze_stays_within_its_limits_and_within_the_eye() -> None:
    look = np.linspace(-1, 1, 21)
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(gaze_x=look, gaze_y=look),
        np.arange(21),
        Fraction(1, 25),
        synthetic.SIZE,
    )
    gaze = np.asarray(
        retargeted(motion, MotionOptions(smooth=0, expression=3)).arrays["gaze"], np.float64
    )
    assert np.abs(gaze[..., 0]).max() <= 0.5 and np.all(np.diff(gaze[:, 0, 0]) >= -1e-12)
    mesh = np.asarray(synthetic.source().mesh)
    aside = synthetic.face(mesh, sliders.load_slider_shapes().gaze + np.array([0.25, 0]))
    out = np.asarray(retargeted(motion, MotionOptions(smooth=0), aside).arrays["gaze"], np.float64)
    own = canonical.gaze(mesh, np.asarray(aside.iris))
    most = max(anatomy.IRIS_REACH, np.abs(own[..., 0]).max())
    assert np.abs(own + out)[..., 0].max() <= most + 1e-9


def test_a_gaze_that_is_read_is_wider_than_its_landmarks_and_a_made_one_is_as_asked() -> None:
    """Landmarks of the corners go with an iris: eyes that looked aside did so by three quarters."""
    look = np.array([0.0, 0.01, 0.1, -0.1])
    motion = sliders.motion_from_sliders(
        sliders.SliderCurves(gaze_x=look), np.arange(4), Fraction(1, 25), synthetic.SIZE
    )
    options = MotionOptions(smooth=0)
    read = rows(retargeted(motion, options), "gaze")[:, 0, 0]
    assert read - read[0] == pytest.approx(look * [1, 1, 1.25, 1.25], abs=2e-3)
    made = replace(motion, constants={**motion.constants, "rest": motion.arrays["pose"][0]})
    asked = rows(retargeted(made, options), "gaze")[:, 0, 0]
    assert asked - asked[0] == pytest.approx(look, abs=2e-3)


def test_eyes_look_one_way_unless_both_look_inwards() -> None:
    ways = np.array([[0.12, -0.1], [-0.12, 0.1], [0.2, 0.0], [0.03, -0.03], [0.12, -0.1]])
    yaw = np.radians([0.0, 0, 0, 0, 30])
    change = np.stack([ways, np.zeros_like(ways)], -1)
    along = motion_limits.read_gaze(change, yaw)[..., 0]
    assert along[0, 0] > 0.1 and along[0, 1] < -0.1
    assert along[1:, 0] == pytest.approx(along[1:, 1])
    assert along[2] == pytest.approx([0.125, 0.125])


@pytest.mark.parametrize("widened", [0.0, 0.25])
def test_eyes_that_stay_wide_are_wide_against_the_rest_pose(widened: float) -> None:
    """A surprised voice: the median of the clip is no measure of open eyes."""
    curves = sliders.SliderCurves(blink=np.full(20, -widened))
    motion = sliders.motion_from_sliders(curves, np.arange(20), Fraction(1, 25))
    motion = replace(motion, constants={**motion.constants, "rest": motion.arrays["pose"][0]})
    found = rows(retargeted(motion), "opening").mean()
    assert found == pytest.approx(1 + widened, abs=0.08)


def limits(eyes: Array, smoothing: float = 1.0) -> tuple[float, float]:
    return lids.lid_limits(eyes, np.ones(len(eyes), bool), smoothing)


def test_blinks_are_followed_as_measured_and_noise_is_not() -> None:
    smoothed, usable = np.full((3, 2), 0.2), np.array([1.0, 1.0, 0.0])
    measured = smoothed + np.array([[0.004], [-0.06], [-0.06]])
    quiet, calm = (
        lids.lid_limits(np.full((9, 2), 0.2), np.ones(9, bool), smoothing)
        for smoothing in (1.0, 10.0)
    )
    out = lids.keep_fast_lids(smoothed, measured, usable, quiet)
    np.testing.assert_array_equal(out[[0, 2]], smoothed[[0, 2]])
    np.testing.assert_allclose(out[1], measured[1])
    np.testing.assert_array_equal(lids.keep_fast_lids(smoothed, measured, usable, calm), smoothed)


@pytest.mark.parametrize("alike", [False, True])
def test_noise_of_a_small_face_is_no_blink_and_a_blink_in_it_is(alike: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, (200, 2))
    if alike:
        noise[:, 1] = noise[:, 0]
    smoothed, measured = 0.25 + 0.3 * noise, 0.25 + noise
    measured[100:103] -= 0.2
    out = lids.keep_fast_lids(smoothed, measured, np.ones(200), limits(measured))
    np.testing.assert_allclose(out[100:103], measured[100:103])
    still = np.delete(out - smoothed, [100, 101, 102], 0)
    assert still.std() < 0.2 * noise.std()


def test_lids_that_move_apart_are_followed_too() -> None:
    smoothed = np.full((1, 2), 0.2)
    measured = smoothed + np.array([0.05, -0.05])
    out = lids.keep_fast_lids(smoothed, measured, np.ones(1), limits(smoothed))
    np.testing.assert_allclose(out, measured)


def test_measured_lids_fade_out_beside_an_occlusion() -> None:
    seen = np.ones(12, bool)
    seen[4:7] = False
    shares = lids.fade_lids(seen)
    np.testing.assert_allclose(shares, [1, 1, 0.6, 0.2, 0, 0, 0, 0.2, 0.6, 1, 1, 1], atol=1e-12)


def test_squints_deepen_in_order_and_shut_and_open_eyes_stay() -> None:
    asked = np.linspace(0, 1.5, 151)
    out = openings.deepen_squints(asked)
    assert (np.diff(out) > 0).all() and out[0] == 0
    np.testing.assert_allclose(out[asked >= openings.SQUINT_END], asked[80:], atol=1e-12)
    assert out[40] < 0.32


def test_wide_eyes_of_a_sleepy_clip_open_a_source_no_further_than_wide_eyes() -> None:
    rules = opening_rules(facing(neutral()), 0.13)
    own = canonical.eye_openings(neutral())
    for driver, highest in ((0.2, 0.3), (0.34, 0.37)):
        opening, _ = rules.eye_openings(np.full((1, 2), driver), np.ones(1))
        assert (opening * own > own).all() and (opening * own < highest).all()


@pytest.mark.parametrize(("wider", "shuts"), [(0.15, False), (0.185, True)])
def test_beside_a_clearly_open_eye_one_that_is_read_as_half_shut_winks(
    wider: float, shuts: bool
) -> None:
    """Pressed shut, an eye has folds, on which its landmarks lie (LivePortrait's d3)."""
    rules = opening_rules(facing(neutral()), 0.19)
    opening, _ = rules.eye_openings(np.array([[wider, wider - 0.09]]), np.ones(1))
    unlike = float(opening[0, 0] - opening[0, 1])
    assert unlike > 0.25 if shuts else abs(unlike) < 0.05


def test_wide_eyes_of_a_source_open_further_when_a_drivers_do() -> None:
    shape = with_eyes(0.35, 0.35)
    assert canonical.eye_openings(shape).mean() > 0.3
    rules = opening_rules(facing(shape), 0.2)
    opening, _ = rules.eye_openings(np.full((1, 2), 0.3), np.ones(1))
    assert (opening > 1.2).all() and (opening < 1.35).all()


def test_of_a_turned_head_the_nearer_eye_counts() -> None:
    eyes = np.array([[0.14, 0.1]] * 3)
    out = openings.read_picture(eyes, np.radians([5.0, 30.0, -30.0]))
    np.testing.assert_allclose(out, [[0.14, 0.1], [0.1, 0.1], [0.14, 0.14]])


def test_an_eye_of_a_picture_that_is_half_as_open_as_the_other_winks() -> None:
    eyes = np.array([[0.2, 0.08], [0.09, 0.21], [0.2, 0.15], [0.05, 0.06]])
    out = openings.read_picture(eyes, np.zeros(4))
    assert (
        out[0, 1] == 0 and out[1, 0] < 0.01 and (out[[0, 1], [0, 1]] == eyes[[0, 1], [0, 1]]).all()
    )
    assert np.array_equal(out[2:], eyes[2:])
