"""Tests of mesh metrics: best values, symmetry, known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array
from thcli.evaluate.metrics import face_geometry as fm
from thcli.faces.landmarks.topology import LIDS, LIPS
from thcli.motion.canonical import RIGID, neutral
from thcli.motion.model3d import fit_coefficients

FACE: Array = np.random.default_rng(7).normal(0, 40, (468, 3)) * (1, 1.2, 0.5) + (130, 120, 0)
angles = st.floats(-0.6, 0.6)


def transform(
    mesh: Array, rotvec: tuple[float, float, float], scale: float = 1.0, shift: float = 0.0
) -> Array:
    return np.asarray(scale * mesh @ matrix_from_rotvec(rotvec).T + shift)


@settings(max_examples=25, deadline=None)
@given(angles, angles, angles, st.floats(0.3, 3), st.floats(-200, 200))
def test_expression_does_not_see_pose_and_pose_sees_the_angle(
    x: float, y: float, z: float, k: float, t: float
) -> None:
    other = transform(FACE, (x, y, z), k, t)
    assert fm.shape_distance(FACE, other) == pytest.approx(0, abs=1e-6)
    expected = math.degrees(math.sqrt(x * x + y * y + z * z))
    here, there = (fit_coefficients(mesh[None]) for mesh in (FACE, other))
    assert fm.pose_distance(here, there) == pytest.approx(expected, abs=1e-3)
    assert fm.pose_distance(there, here) == pytest.approx(expected, abs=1e-3)
    assert fm.expression_distance(here, there) == pytest.approx(0, abs=1e-4)


def test_pose_does_not_see_expression() -> None:
    other = FACE.copy()
    free = np.setdiff1d(np.arange(468), RIGID)
    other[free] += (0, 9, 0)
    here, there = (fit_coefficients(mesh[None]) for mesh in (FACE, other))
    assert fm.pose_distance(here, there) == pytest.approx(0, abs=1e-4)
    assert fm.expression_distance(here, there) > 0.1
    iod = fm.interocular(FACE)
    assert fm.shape_distance(FACE, other) == pytest.approx(100 * 9 * len(free) / 468 / iod)


def test_numbers_of_two_models_do_not_compare() -> None:
    here = fit_coefficients(FACE[None])
    for distance in (fm.pose_distance, fm.expression_distance):
        with pytest.raises(ValueError, match="mesh and deca"):
            distance(here, replace(here, model="deca"))


@given(st.floats(-50, 50), st.floats(-50, 50))
@settings(max_examples=25, deadline=None)
def test_a_shift_is_the_keypoint_distance(dx: float, dy: float) -> None:
    moved = FACE + np.array([dx, dy, 5])
    assert fm.keypoint_distance(FACE, moved) == pytest.approx(math.hypot(dx, dy))
    assert fm.keypoint_distance(moved, FACE) == pytest.approx(math.hypot(dx, dy))


def test_openings_are_of_the_face_and_not_of_its_pose() -> None:
    face = 100 * neutral()
    wide = face.copy()
    wide[LIPS.lower] += (0, 20, 0)
    assert fm.mouth_opening(wide) > fm.mouth_opening(face) + 0.2
    assert fm.eye_opening(wide) == pytest.approx(fm.eye_opening(face), rel=1e-6)
    assert fm.mouth_opening(transform(wide, (0.2, 0.4, -0.1), 2, 30)) == pytest.approx(
        fm.mouth_opening(wide), rel=1e-6
    )
    shut = face.copy()
    for lid in LIDS:
        shut[lid.upper] = shut[lid.lower]
    assert fm.eye_opening(shut) == pytest.approx(0, abs=1e-9)


@given(st.integers(-9, 9), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_a_late_signal_is_found(shift: int, seed: int) -> None:
    signal = np.random.default_rng(seed).normal(size=200)
    result = np.roll(signal, shift)
    lag = fm.correlate_signals(list(signal), list(3 * result + 5))
    assert lag.frames == shift
    assert lag.best is not None and lag.best == pytest.approx(1)
    assert lag.correlation is not None and (lag.correlation > 0.99) == (shift == 0)


def test_gaps_do_not_count_and_stillness_has_no_correlation() -> None:
    signal = [0.0, 1, 0, 1, math.nan, 0, 1, 1]
    assert fm.correlate_signals(
        signal, [0.0, 1, 0, 1, 77, 0, 1, 1], reach=1
    ).correlation == pytest.approx(1)
    assert fm.correlate_signals(signal, [1.0] * 8) == fm.SignalLag(None, None, None)
    assert fm.correlate_signals([], []) == fm.SignalLag(None, None, None)
    with pytest.raises(ValueError, match="lengths"):
        fm.correlate_signals([1.0], [1.0, 2.0])
