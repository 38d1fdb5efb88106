"""Stabilization of crop paths: no jitter at rest, no lag in motion, windows, gaps and cuts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import square_crop_matrix
from thcli.core.options import StabilizationOptions
from thcli.core.types import Array, Crop
from thcli.faces.crops.stabilize import (
    crop_from_params,
    crop_params,
    halo,
    smooth_points,
    stabilize,
    stabilize_windows,
)

SIDE = 300.0
SCALE = 512 / SIDE  # frame pixels to those of a 512 crop


def still(count: int) -> Array:
    return np.asarray(np.tile([400.0, 300.0, np.log(SIDE), 0.1], (count, 1)))


def jitter(count: int, pixels: float, seed: int = 0) -> Array:
    """Return jitter of `pixels` RMS at 512 in x, y, size and angle (at the rim of the crop)."""
    scale = pixels * np.array([1 / SCALE, 1 / SCALE, 1 / 256, 1 / 256])
    return np.asarray(np.random.default_rng(seed).normal(size=(count, 4)) * scale)


@given(
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.floats(1, 2000),
    st.floats(-3.1, 3.1),
    st.integers(16, 1024),
)
def test_params_and_crops_are_inverse(
    x: float, y: float, side: float, angle: float, size: int
) -> None:
    placement = Crop(square_crop_matrix([x, y], side, angle, size), (size, size))
    row = crop_params([placement])[0]
    np.testing.assert_allclose(row, [x, y, np.log(side), angle], atol=1e-6)
    np.testing.assert_allclose(
        crop_from_params(row, placement.size).crop_from_frame,
        placement.crop_from_frame,
        atol=1e-7 * size / side * 300 + 1e-6,
    )


def test_angles_are_unwrapped() -> None:
    turns = [Crop(square_crop_matrix([0, 0], 9, a, 9), (9, 9)) for a in np.linspace(0, 9, 40)]
    np.testing.assert_allclose(crop_params(turns)[:, 3], np.linspace(0, 9, 40), atol=1e-9)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_still_head_has_a_still_crop(fps: int) -> None:
    """0.6 px RMS of jitter at 512 is reduced to at most 0.15 px."""
    count = 8 * fps
    out = stabilize(still(count) + jitter(count, 0.6), np.arange(count) / fps) - still(count)
    for column in (out[:, 0] * SCALE, out[:, 1] * SCALE, out[:, 2] * 256, out[:, 3] * 256):
        assert np.sqrt((column**2).mean()) < 0.15
        assert np.sqrt((np.diff(column) ** 2).mean()) < 0.03


def test_a_moving_head_has_no_lag() -> None:
    fps, count = 25, 250
    time = np.arange(count) / fps
    path = still(count)
    path[:, 0] += 80 * np.tanh((time - 5) / 0.25)  # 270 pixels of a 512 crop in half a second
    path[:, 3] += 0.3 * np.tanh((time - 5) / 0.25)
    out = stabilize(path + jitter(count, 0.6), time)
    error = out[:, 0] - path[:, 0]
    speed = np.gradient(path[:, 0])
    lag = -float(error @ speed) / float(speed @ speed)  # in frames
    assert abs(lag) < 0.1
    assert np.abs(error).max() * SCALE < 8  # at 25 pixels a frame
    mirrored = stabilize((path + jitter(count, 0.6))[::-1], time)[::-1]
    np.testing.assert_allclose(mirrored, out, atol=1e-6)  # zero-phase: time has no direction


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 900), st.integers(1, 300), st.integers(0, 99))
def test_windows_give_the_result_of_the_whole_clip(count: int, window: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    options = StabilizationOptions(reach=20)
    time = np.cumsum(rng.uniform(0.02, 0.08, count))  # VFR
    raw = still(count) + np.cumsum(rng.normal(size=(count, 4)) * [2, 2, 0.01, 0.01], 0)
    valid, scene = rng.uniform(size=count) > 0.1, np.sort(rng.integers(0, 4, count))
    steps = np.where(
        rng.uniform(size=(count, 1)) > 0.3, np.diff(raw, axis=0, prepend=raw[:1]), np.nan
    )
    turns = np.where(
        rng.uniform(size=(count, 1)) > 0.1, np.cumsum(rng.normal(0, 0.01, (count, 2)), 0), np.nan
    )
    whole = stabilize(raw, time, valid, scene, steps, turns, options=options)
    longest = 0

    def read(start: int, stop: int) -> tuple[np.ndarray, ...]:
        nonlocal longest
        longest = max(longest, stop - start)
        return tuple(rows[start:stop] for rows in (raw, time, valid, scene, steps, turns))

    parts = list(stabilize_windows(read, count, window, options=options))
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert longest <= window + 2 * halo(options)


def test_steps_remove_drift_without_lag() -> None:
    """2 px of drift of the landmarks is removed; half a face in 0.25 s is followed without lag."""
    time = np.arange(150) / 25
    path = still(150)
    path[:, 0] += 100 * np.clip((time - 3) / 0.25, 0, 1)
    slow = np.sin(2 * np.pi * 0.4 * time)[:, None] * [2 / SCALE, 2 / SCALE, 2 / 256, 2 / 256]
    raw = path + slow + jitter(150, 0.6, 1)
    steps = np.diff(path, axis=0, prepend=np.nan) + jitter(150, 0.01, 2)
    out = (stabilize(raw, time, steps=steps) - path) * [SCALE, SCALE, 256, 256]
    assert out.std(0).max() < 0.3
    assert np.diff(out, axis=0).std(0).max() < 0.03
    alone = (stabilize(raw, time) - path) * [SCALE, SCALE, 256, 256]
    assert alone[:, 0].std() > 3 * out[:, 0].std()


def test_steps_are_ignored_while_the_head_turns() -> None:
    """The integral of steps drifts while the head turns: the landmarks are followed instead."""
    time = np.arange(150) / 25
    raw = still(150) + jitter(150, 0.3)
    turn = np.stack([np.radians(30) * np.sin(2 * np.pi * 0.5 * time), 0 * time], 1)
    astray = np.gradient(30 * np.sin(2 * np.pi * 0.5 * time))[:, None] * [1 / SCALE, 0, 1 / 256, 0]
    alone = stabilize(raw, time)
    off = [
        np.abs((stabilize(raw, time, steps=astray, turns=way) - alone)[:, 0] * SCALE).max()
        for way in (turn, 0 * turn)
    ]
    assert off[0] < 0.6 and off[1] > 1.5  # (even then no further than `apart`)


def test_an_outline_is_still_where_a_jaw_moves() -> None:
    rng, time = np.random.default_rng(5), np.arange(150) / 25
    jaw = 20 * np.maximum(np.sin(2 * np.pi * 2 * time), 0)
    true = np.zeros((150, 2, 2))
    true[:, 1, 1] = jaw  # the first point keeps still, the second one talks
    seen, scene = np.ones(150, bool), np.repeat([0, 1], 75)
    seen[40:44] = False
    true[75:, :, 0] += 50  # at a cut
    raw = true + rng.normal(0, 0.4, true.shape)
    raw[~seen] = np.nan
    off = smooth_points(raw, time, seen, scene) - true
    assert off[seen, 0].std(0).max() < 0.12
    assert np.abs(off[seen, 1, 1]).mean() < 1.0
    assert np.isfinite(off).all()


def test_without_steps_the_path_is_that_of_the_landmarks() -> None:
    time = np.arange(120) / 25
    raw = still(120) + jitter(120, 0.6)
    unknown = np.full((120, 4), np.nan)
    out = (stabilize(raw, time, steps=unknown) - stabilize(raw, time)) * [SCALE, SCALE, 256, 256]
    assert np.abs(out).max() < 0.2
    assert np.abs(np.diff(out, axis=0)).max() < 0.02


def test_a_gap_is_filled_along_the_path() -> None:
    time = np.arange(100) / 25
    path = still(100)
    path[:, 0] += 20 * time
    broken = path.copy()
    broken[40:48] = np.nan
    valid = np.isfinite(broken[:, 0])
    out = stabilize(broken, time, valid)
    np.testing.assert_allclose(out[38:50, 0], path[38:50, 0], atol=0.01)


def test_a_straight_path_is_unchanged_to_the_ends() -> None:
    time = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.1, 80))
    path = still(80) + np.outer(time, [60, -20, 0.05, 0.2])
    np.testing.assert_allclose(stabilize(path, time), path, atol=1e-3)


def test_a_cut_is_not_smoothed_over() -> None:
    path = still(60)
    path[30:, 0] += 200
    scene = np.repeat([0, 1], 30)
    np.testing.assert_allclose(stabilize(path, np.arange(60) / 25, scene=scene), path, atol=1e-6)


def test_none_one_and_no_valid_frame() -> None:
    assert stabilize(np.zeros((0, 4)), []).shape == (0, 4)
    np.testing.assert_allclose(stabilize(still(1), [0.0]), still(1))
    assert np.isnan(stabilize(still(3), [0, 1, 2], valid=np.zeros(3, bool))).all()
