"""Frames whose face is missing, occluded or cut off by an edge: gaps and what holds in them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.motion import synthetic_motion as synthetic
from tests.motion.retargeting import canonical_shapes, retargeted, rows
from thcli.core.options import MotionOptions
from thcli.core.types import Motion
from thcli.motion import canonical, sliders
from thcli.motion.render_target import iterate_render_targets
from thcli.motion.timeline import read_timeline


@pytest.mark.parametrize("gap", [(15, 20), (15, 37), (0, 12), (48, 60)])
def test_motion_is_continuous_over_a_gap(gap: tuple[int, int]) -> None:
    motion = synthetic.driver(60)
    whole = retargeted(motion, MotionOptions()).arrays["points"]
    out = retargeted(synthetic.with_gaps(motion, gap), MotionOptions())
    largest_step = np.abs(np.diff(whole[..., :2], axis=0)).max()
    assert np.abs(np.diff(rows(out, "points")[..., :2], axis=0)).max() < 1.6 * largest_step
    assert list(out.valid) == [not gap[0] <= i < gap[1] for i in range(60)]


def test_the_weight_fades_in_long_gaps_only() -> None:
    motion = synthetic.driver(80)
    short = retargeted(synthetic.with_gaps(motion, (15, 25))).arrays["weight"]
    assert np.all(short == 1)
    long = retargeted(synthetic.with_gaps(motion, (15, 55))).arrays["weight"]
    assert long[35] == 0 and long[14] == 1 and long[55] == 1 and np.abs(np.diff(long)).max() < 0.16


def test_occlusion_holds_the_expression_and_not_the_pose() -> None:
    motion = synthetic.driver(60)
    logit = np.full(60, 28.0, np.float32)
    logit[20:26] = 17
    expression = rows(motion, "expression").copy()
    expression[20:26] += 0.1 * sliders.load_slider_shapes().jaw  # as tracked under a hand
    occluded = replace(motion, arrays={**motion.arrays, "logit": logit, "expression": expression})
    out = retargeted(occluded, MotionOptions())
    unoccluded = retargeted(
        replace(motion, arrays={**motion.arrays, "logit": np.full(60, 28.0, np.float32)}),
        MotionOptions(),
    )
    assert [t.driver is None for t in iterate_render_targets(out)] == [
        18 <= i < 28 for i in range(60)
    ]
    assert np.all(rows(out, "weight") == 1)
    rotations = [canonical.decompose(rows(m, "points")).rotation for m in (out, unoccluded)]
    assert np.abs(rotations[0] - rotations[1]).max() < 1e-3
    mouths = canonical.mouth_opening(canonical_shapes(out)[17:29])
    assert np.all(
        (mouths >= mouths[[0, -1]].min() - 0.01) & (mouths <= mouths[[0, -1]].max() + 0.01)
    )


@pytest.mark.parametrize(
    ("jaw", "share", "hidden"), [(0.1, 0.69, True), (1.2, 0.69, False), (1.2, 0.6, True)]
)
def test_a_mouth_that_opens_wide_is_not_occluded(jaw: float, share: float, hidden: bool) -> None:
    """A shout kept the mouth of a source video for ten frames."""
    curves = sliders.SliderCurves(jaw=jaw)
    motion = sliders.motion_from_sliders(curves, np.arange(40), synthetic.TIME_BASE, synthetic.SIZE)
    logit = np.full(40, 28.0, np.float32)
    logit[20:23] = share * 28
    shout = replace(motion, arrays={**motion.arrays, "logit": logit})
    unoccluded = read_timeline(synthetic.buffer(shout)).unoccluded
    assert (~unoccluded).sum() == 7 * hidden


@pytest.mark.parametrize("logit", [17.0, 8.0])
def test_blinks_are_followed_while_a_cup_covers_the_mouth_alone(logit: float) -> None:
    """Between two blinks eyes were held shut for as long as the mouth was covered."""
    motion = synthetic.driver(120)  # it blinks in frame 15, and then every second
    logits = np.full(120, 28.0, np.float32)
    logits[16:64] = logit
    whole = canonical.eye_openings(canonical_shapes(retargeted(motion, MotionOptions()))).mean(1)
    covered = replace(motion, arrays={**motion.arrays, "logit": logits})
    out = canonical.eye_openings(canonical_shapes(retargeted(covered, MotionOptions()))).mean(1)
    within = slice(22, 58)
    if logit == 17:
        assert np.abs(out - whole)[within].max() < 0.03
    else:  # nothing of the face is sure
        assert out[36:45].min() > whole[36:45].min() + 0.05


@pytest.mark.parametrize("hidden", [17.0, 24.0])
def test_frames_in_which_a_hand_comes_and_goes_are_occluded_too(hidden: float) -> None:
    """Speech lowers the logit as little, but no face is hidden next to it."""
    motion = synthetic.driver(80, degrees=2.0)
    logit = np.full(80, 28.0, np.float32)
    logit[5:9] = 24.0  # speech
    logit[30:50] = 24.0
    logit[38:42] = hidden
    read = read_timeline(
        synthetic.buffer(replace(motion, arrays={**motion.arrays, "logit": logit}))
    )
    expected = np.ones(80, bool)
    if hidden == 17:
        expected[28:52] = False
    assert np.array_equal(read.unoccluded, expected)


def test_a_face_that_turns_away_is_not_occluded_with_the_same_logit() -> None:
    motion = synthetic.driver(60, degrees=2)
    pose, logit = rows(motion, "pose").copy(), np.full(60, 28.0, np.float32)
    pose[18:28, 1] += np.radians(20)
    for least, occluded in ((17.0, False), (14.0, True)):
        logit[20:26] = least
        arrays = {**motion.arrays, "pose": pose, "logit": logit}
        out = retargeted(replace(motion, arrays=arrays))
        assert any(t.driver is None for t in iterate_render_targets(out)) == occluded


@pytest.mark.parametrize(("shift", "usable"), [(0.4, True), (0.05, False)])
def test_a_head_that_is_thrown_about_is_not_occluded_with_the_same_logit(
    shift: float, usable: bool
) -> None:
    """Blur lowers the logit; beside a hand landmarks tremble, but get nowhere."""
    t = np.arange(40)
    x = np.interp(t, [18, 23], [0.0, 5 * shift]) if usable else shift * (-1.0) ** t
    motion = sliders.motion_from_sliders(sliders.SliderCurves(x=x), t, Fraction(1, 25), (640, 480))
    logit = np.full(40, 28.0, np.float32)
    logit[20:22] = 0.65 * 28
    blurred = replace(motion, arrays={**motion.arrays, "logit": logit})
    unoccluded = read_timeline(synthetic.buffer(blurred)).unoccluded
    assert unoccluded.all() == usable and unoccluded[:15].all()


def test_a_face_that_leaves_the_frame_does_not_turn_the_head() -> None:
    """Landmarks of a face that is cut off turn it towards the edge."""
    motion = synthetic.driver(60, degrees=2)
    pose, logit = rows(motion, "pose").copy(), np.full(60, 28.0, np.float32)
    usual = retargeted(replace(motion, arrays={**motion.arrays, "logit": logit.copy()}))
    pose[25:31, 4] -= 0.6  # frame heights to the left: half of the face is seen
    pose[25:31, 1] += 0.3
    arrays = {**motion.arrays, "pose": pose}
    inside = retargeted(replace(motion, arrays={**arrays, "logit": logit.copy()}))
    logit[25:31] = 22.0
    left = retargeted(replace(motion, arrays={**arrays, "logit": logit}))
    turns = [canonical.decompose(rows(m, "points")).rotation for m in (usual, inside, left)]
    assert np.abs(turns[1] - turns[0])[25:31].max() > 0.15
    assert np.abs(turns[2] - turns[0])[25:31].max() < 0.05
    assert [t.driver is None for t in iterate_render_targets(left)] == [
        23 <= i < 33 for i in range(60)
    ]


def test_a_face_that_is_cut_off_all_the_time_still_moves() -> None:
    motion = synthetic.driver(60)
    pose = rows(motion, "pose") - np.array([0, 0, 0, 0, 0.6, 0, 0])
    logit = np.full(60, 28.0, np.float32)
    out = retargeted(replace(motion, arrays={**motion.arrays, "pose": pose, "logit": logit}))
    assert all(target.driver is not None for target in iterate_render_targets(out))


def test_targets_of_undetected_frames_have_no_driver() -> None:
    out = retargeted(synthetic.with_gaps(synthetic.driver(20), (5, 8)))
    targets = list(iterate_render_targets(out))
    assert [t.driver is None for t in targets] == [5 <= i < 8 for i in range(20)]
    assert all(
        t.points.shape == (468, 3) and t.gaze.shape == (2, 2) and t.opening.shape == (2,)
        for t in targets
    )


def in_close_up(frames: slice) -> Motion:
    """Return a motion whose face is nearer in a shot of its own, partly beyond the frame's edge."""
    motion = synthetic.driver(60)
    pose, logit = rows(motion, "pose").copy(), np.full(60, 28.0, np.float32)
    pose[frames, 4] += 0.6
    logit[frames] = 22.0
    cut = np.zeros(60, bool)
    cut[[frames.start, frames.stop]] = True
    return replace(motion, arrays={**motion.arrays, "pose": pose, "logit": logit, "cut": cut})


def test_a_close_up_between_wide_shots_is_used() -> None:
    timeline = read_timeline(synthetic.buffer(in_close_up(slice(20, 44))), drives=True)
    assert timeline.valid.all()


def test_only_a_driver_loses_the_frames_in_which_its_face_leaves() -> None:
    motion = in_close_up(slice(25, 31))
    left = replace(motion, arrays={**motion.arrays, "cut": np.zeros(60, bool)})
    driver, footage = (read_timeline(synthetic.buffer(left), drives=flag) for flag in (True, False))
    assert list(driver.valid) == [not 23 <= i < 33 for i in range(60)]
    assert footage.valid.all()
