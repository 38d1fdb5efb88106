"""Smoothing: exact on parabolas, without lag, by time stamps, and separate across gaps and cuts."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.motion import synthetic_motion as synthetic
from thcli.core.types import Array, Motion
from thcli.faces.landmarks.topology import LIPS
from thcli.motion import canonical, sliders
from thcli.motion.causal_filter import CausalFilter
from thcli.motion.smooth import (
    GapFilledMotion,
    ZeroPhaseFilter,
    count_taps,
    create_filter,
    local_quadratic_weights,
)
from thcli.motion.timeline import Timeline, read_timeline


def rows(motion: Motion, name: str) -> Array:
    return np.asarray(motion.arrays[name], np.float64)


def timeline_of(motion: Motion) -> Timeline:
    return read_timeline(synthetic.buffer(motion))


def zero_phase(motion: Motion, smooth: float = 1.0) -> ZeroPhaseFilter:
    return ZeroPhaseFilter(synthetic.buffer(motion), timeline_of(motion), smooth)


def with_time_stamps(motion: Motion, pts: list[int]) -> Motion:
    return replace(motion, pts=np.array(pts), time_base=synthetic.TIME_BASE / 40)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(15, 90), min_size=11, max_size=11), st.floats(-1, 1), st.floats(-1, 1))
def test_a_parabola_in_time_passes_unchanged_at_any_frame_rate(
    steps: list[int], a: float, b: float
) -> None:
    pts = np.cumsum([0, *steps]).astype(np.int64)
    t = pts / 1000
    weights = local_quadratic_weights(t, np.zeros(12, np.intp), np.ones(12, bool), 0.2, 0, 12)
    taps = weights.shape[1] // 2
    curve = 0.3 + a * t + b * t**2
    padded = np.concatenate([np.zeros(taps), curve, np.zeros(taps)])
    smoothed = [weights[i] @ padded[i : i + 2 * taps + 1] for i in range(12)]
    assert np.allclose(smoothed, curve, atol=1e-5)


def test_noise_is_reduced_without_lag() -> None:
    clean, noisy = synthetic.driver(100), synthetic.driver(100, noise=0.005)
    smoothed = zero_phase(noisy).expression(0, 100)
    before = np.sqrt(((rows(noisy, "expression") - rows(clean, "expression")) ** 2).mean())
    after = np.sqrt(((smoothed - rows(clean, "expression")) ** 2).mean())
    assert after < 0.75 * before
    wave = rows(clean, "expression")[:, 14, 1]
    lags = [
        float(np.corrcoef(wave[5:-5], smoothed[5 + k : 95 + k, 14, 1])[0, 1]) for k in (-1, 0, 1)
    ]
    assert int(np.argmax(lags)) == 1 and lags[1] > 0.99


def test_a_still_head_is_smoothed_and_a_fast_one_is_followed() -> None:
    first = synthetic.driver(1)
    noise = np.random.default_rng(0).normal(0, 0.002, (100, 3))
    shake = 0.06 * np.sin(2 * np.pi * 2.5 * np.arange(100) / 25)

    def error(rotation: Array) -> float:
        clean = np.repeat(rows(first, "pose"), 100, 0)
        clean[:, 1] += rotation
        pose = clean.copy()
        pose[:, :3] += noise
        arrays = {k: np.repeat(v, 100, 0) for k, v in first.arrays.items()} | {"pose": pose}
        motion = replace(first, pts=np.arange(100), valid=np.ones(100, bool), arrays=arrays)
        return float(np.sqrt(((zero_phase(motion).pose - clean)[8:-8, :3] ** 2).mean()))

    assert error(np.zeros(100)) < 0.42 * 0.002  # the narrow filter alone leaves 0.6 of the noise
    assert error(shake) < 0.1 * 0.06  # the wide filter alone removes half of the shake


@pytest.mark.parametrize("causal", [False, True])
def test_no_smoothing_is_the_raw_motion(causal: bool) -> None:
    motion = synthetic.driver(30, noise=0.01)
    kind = CausalFilter if causal else ZeroPhaseFilter
    smooth = kind(synthetic.buffer(motion), timeline_of(motion), 0.0)
    assert np.array_equal(smooth.expression(3, 20), rows(motion, "expression")[3:20])
    assert np.array_equal(smooth.pose, rows(motion, "pose")) and np.array_equal(
        smooth.gaze, rows(motion, "gaze")
    )


def test_the_causal_filter_never_looks_ahead_and_follows() -> None:
    motion = synthetic.driver(300, noise=0.003)
    whole = CausalFilter(synthetic.buffer(motion), timeline_of(motion), 1.0)
    half = CausalFilter(synthetic.buffer(motion[0:170]), timeline_of(motion[0:170]), 1.0)
    assert np.array_equal(whole.pose[:170], half.pose)
    assert np.array_equal(whole.expression(0, 170), half.expression(0, 170))
    # from a stored state
    assert np.array_equal(whole.expression(160, 170), whole.expression(0, 170)[160:])
    assert np.abs(whole.expression(0, 300) - rows(motion, "expression")).max() < 0.1


@pytest.mark.parametrize("causal", [False, True])
def test_filters_do_not_cross_cuts(causal: bool) -> None:
    motion = synthetic.driver(40)
    track = np.where(np.arange(40) < 20, 0, 1).astype(np.int32)
    arrays = {
        **motion.arrays,
        "track": track,
        "expression": rows(motion, "expression") + 0.3 * (track > 0)[:, None, None],
    }
    cut = replace(motion, arrays=arrays)
    kind = CausalFilter if causal else ZeroPhaseFilter
    both = kind(synthetic.buffer(cut), timeline_of(cut), 1.0)
    for part in (slice(0, 20), slice(20, 40)):
        alone = kind(synthetic.buffer(cut[part]), timeline_of(cut[part]), 1.0)
        assert np.allclose(
            both.expression(part.start, part.stop), alone.expression(0, 20), atol=1e-12
        )
        # the unit of One-Euro is the size of the first face
        assert np.allclose(both.pose[part], alone.pose, atol=1e-4)


def test_a_jump_of_the_head_is_a_cut() -> None:
    motion = synthetic.driver(30)
    pose = rows(motion, "pose").copy()
    pose[12:, 4] += 0.4
    pose[12:, 3] += 0.5
    timeline = timeline_of(replace(motion, arrays={**motion.arrays, "pose": pose}))
    assert timeline.scene.tolist() == [0] * 12 + [1] * 18
    # the short scene is framed like the long one; translations in units of the face are kept
    assert np.array_equal(timeline.pose[12:], pose[12:]) and np.array_equal(
        timeline.pose[:, :3], pose[:, :3]
    )
    assert abs(np.median(timeline.pose[:12, 3]) - np.median(pose[12:, 3])) < 1e-9
    steps, raw = np.diff(timeline.pose[:12, 4:6], axis=0), np.diff(pose[:12, 4:6], axis=0)
    assert np.allclose(steps / np.exp(timeline.pose[1:12, 3:4]), raw / np.exp(pose[1:12, 3:4]))


@pytest.mark.parametrize("repeated", [0, 1])
def test_a_head_that_is_thrown_to_the_side_is_no_cut(repeated: int) -> None:
    """It moves by more than half its eyes' distance in a frame, and the frame before may be one
    that was repeated.
    """
    motion = synthetic.driver(30)
    pose = rows(motion, "pose").copy()
    unit = float(np.exp(pose[12, 3]))
    way = np.cumsum(np.r_[np.zeros(10), 0.2, 0, 0.8, 0.2] if repeated else [*[0] * 11, 0.2, 0.7])
    pose[:, 4] += unit * np.pad(way, (0, 30 - len(way)), mode="edge")
    timeline = timeline_of(replace(motion, arrays={**motion.arrays, "pose": pose}))
    assert not timeline.scene.any() and np.array_equal(timeline.pose, pose)


def test_a_cut_beside_a_head_that_is_thrown_about_changes_the_framing() -> None:
    motion = synthetic.driver(30)
    pose = rows(motion, "pose").copy()
    unit = float(np.exp(pose[12, 3]))
    pose[10:, 4] += 2 * unit
    pose[11:, 4] += 0.45 * unit
    arrays = {**motion.arrays, "pose": pose, "cut": np.arange(30) == 10}
    timeline = timeline_of(replace(motion, arrays=arrays))
    assert timeline.scene.tolist() == [0] * 10 + [1] * 20
    assert abs(np.median(timeline.pose[:10, 4]) - np.median(pose[10:, 4])) < 1e-9


def test_a_cut_on_an_undetected_frame_applies_to_the_next_detected_one() -> None:
    motion = synthetic.with_gaps(synthetic.driver(30), (10, 14))
    cut = np.arange(30) == 12
    timeline = timeline_of(replace(motion, arrays={**motion.arrays, "cut": cut}))
    assert timeline.scene.tolist() == [0] * 14 + [1] * 16


def test_a_new_track_in_the_same_place_keeps_the_framing() -> None:
    motion = synthetic.driver(30)
    track = (np.arange(30) >= 12).astype(np.int32)
    timeline = timeline_of(replace(motion, arrays={**motion.arrays, "track": track}))
    assert timeline.scene[-1] == 1 and np.array_equal(timeline.pose, rows(motion, "pose"))


def test_the_window_is_in_seconds_not_in_frames() -> None:
    fast = with_time_stamps(synthetic.driver(60), list(range(0, 60 * 20, 20)))  # 50 frames a second
    slow = with_time_stamps(synthetic.driver(60), list(range(0, 60 * 80, 80)))
    assert (
        count_taps(timeline_of(fast).seconds, 0.13) == 7
        and count_taps(timeline_of(slow).seconds, 0.13) == 2
    )


def test_gaps_are_filled_from_both_sides() -> None:
    motion = synthetic.with_gaps(synthetic.driver(40), (0, 3), (10, 15), (37, 40))
    timeline = timeline_of(motion)
    filled = GapFilledMotion(timeline, zero_phase(motion, 0.0))
    expression = filled.expression(0, 40)
    assert np.array_equal(expression[0], expression[3]) and np.array_equal(
        expression[39], expression[36]
    )
    low, high = np.minimum(expression[9], expression[15]), np.maximum(expression[9], expression[15])
    assert np.all((expression[10:15] >= low - 1e-12) & (expression[10:15] <= high + 1e-12))
    assert np.all(np.diff(filled.pose[9:16, 0]) * (filled.pose[15, 0] - filled.pose[9, 0]) >= 0)
    assert np.array_equal(expression[11:14], filled.expression(11, 14))


def test_a_clip_without_a_face_has_no_weight() -> None:
    timeline = timeline_of(synthetic.with_gaps(synthetic.driver(10), (0, 10)))
    assert not timeline.weight.any()


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("causal", [False, True])
def test_short_clips_are_smoothed(count: int, causal: bool) -> None:
    motion = synthetic.driver(count)
    logit = np.linspace(28, 10, count).astype(np.float32)
    motion = replace(motion, arrays={**motion.arrays, "logit": logit})
    timeline = timeline_of(motion)
    kind = CausalFilter if causal else ZeroPhaseFilter
    filled = GapFilledMotion(timeline, kind(synthetic.buffer(motion), timeline, 1.0))
    assert timeline.unoccluded.shape == (count,) and timeline.unoccluded.any()
    assert filled.pose.shape == (count, 7) and np.isfinite(filled.expression(0, count)).all()


def test_an_empty_clip_is_smoothed() -> None:
    timeline = timeline_of(synthetic.driver(3)[0:0])
    assert len(timeline) == 0 and zero_phase(synthetic.driver(3)[0:0]).pose.shape == (0, 7)


def test_blinks_close_faster_than_they_open() -> None:
    t = np.arange(0, 1, 0.01)
    blink = sliders.blink_curve(t, [0.2])
    assert blink.max() == 1 and blink[t < 0.2].max() == 0 and blink[t > 0.55].max() == 0
    assert np.flatnonzero(blink > 0.5)[0] < 28 and 0.2 < blink[40] < 0.9


def test_lips_that_close_for_one_frame_are_kept() -> None:
    """A plosive lasts one frame at 25 per second; a plain average leaves a third of the gap."""
    count, closed = 25, 12
    clip = synthetic.driver(count, degrees=0.0)
    still = np.repeat(rows(clip, "expression")[:1], count, 0)
    open_lips = still.copy()
    open_lips[:, LIPS.lower, 1] += 0.12
    open_lips[closed, LIPS.lower, 1] -= 0.12
    spoken = replace(clip, arrays={**clip.arrays, "expression": open_lips.astype(np.float32)})
    gap = (zero_phase(spoken).expression(0, count) - still)[:, LIPS.lower, 1].mean(1)
    assert abs(gap[closed]) < 0.01
    assert np.all(gap[: closed - 1] > 0.11)


def noisy_motion(kind: str, noise: float, seed: int, count: int = 80) -> Motion:
    """Return a still, talking or turning face whose pose and expression are noisy."""
    clip = synthetic.driver(count, degrees={"still": 0.0, "talking": 2.0, "turning": 30.0}[kind])
    expression, pose = rows(clip, "expression").copy(), rows(clip, "pose").copy()
    if kind != "talking":
        expression[:] = expression[0]
    if kind == "still":
        pose[:] = pose[0]
    generator = np.random.default_rng(seed)
    expression += generator.normal(0, noise, expression.shape)
    units = np.array([1, 1, 1, 0.5, *[np.exp(pose[0, 3])] * 3])
    pose += generator.normal(0, noise, pose.shape) * units
    return replace(clip, arrays={**clip.arrays, "expression": expression, "pose": pose})


def acceleration(motion: Motion, smooth: float, causal: bool) -> float:
    """Return the RMS second difference of the smoothed landmarks, in IOD."""
    store, timeline = synthetic.buffer(motion), timeline_of(motion)
    smoothed = create_filter(store, timeline, smooth, causal)
    shape = canonical.neutral() + smoothed.expression(0, len(motion))
    mesh = canonical.unpack_pose(smoothed.pose, shape, synthetic.SIZE).mesh()
    unit = synthetic.SIZE[1] * np.exp(np.median(smoothed.pose[:, 3]))
    return float(np.sqrt((np.diff(mesh[..., :2] / unit, 2, axis=0) ** 2).mean()))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["still", "talking", "turning"])
@settings(max_examples=4, deadline=None)
@given(st.sampled_from([25, 60]), st.floats(0.001, 0.006), st.integers(0, 99))
def test_more_smoothing_never_makes_more_jitter(
    kind: str, causal: bool, rate: int, noise: float, seed: int
) -> None:
    motion = replace(noisy_motion(kind, noise, seed), time_base=Fraction(1, rate))
    found = [acceleration(motion, smooth, causal) for smooth in (0, 0.5, 1, 2, 3, 5, 10)]
    assert all(after <= 1.02 * before for before, after in pairwise(found)), found
