"""Driving of Real3D-Portrait: pose files, added angles, heads of a driver, their transfer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.faces.model3d.bfm.made_model import made_model
from tests.motion import synthetic_motion
from thcli.core.errors import MediaError, NoFaceError, UsageError
from thcli.core.options import MotionOptions, ViewOptions
from thcli.core.types import Array, Array32, Motion
from thcli.engines.real3d.driving.target import TargetMotion, transfer_heads
from thcli.engines.real3d.driving.track import (
    VOICE_KIND,
    FacePlace,
    HeadState,
    HeadTrack,
    read_track,
)
from thcli.engines.real3d.driving.view import euler_from_degrees
from thcli.faces.model3d.bfm.camera import cameras_from_pose, project
from thcli.motion.canonical import neutral
from thcli.motion.file.buffer import MotionBuffer

MODEL = made_model()
NOSE = 1  # of the 468 points
SOURCE = HeadState(
    np.linspace(-0.2, 0.2, 64, dtype=np.float32),
    np.array([0.05, -0.1, 0.02], np.float32),
    np.array([0.1, -0.2, -3.0], np.float32),
)
PLACE = FacePlace(np.array([0.5, 0.55]), 0.45)
EXACT = MotionOptions(smooth=0)
PLAIN = ViewOptions()
IDENTITY = np.zeros(80, np.float32)


def heads(count: int, seed: int = 0) -> HeadState:
    random = np.random.default_rng(seed)
    return HeadState(
        random.normal(0, 0.3, (count, 64)).astype(np.float32),
        random.normal(0, 0.1, (count, 3)).astype(np.float32),
        random.normal([0.0, 0.0, -2.0], 0.1, (count, 3)).astype(np.float32),
    )


def track(count: int = 5, seconds: float = 0.04, blink: float = 0.0) -> HeadTrack:
    found = heads(count)
    time_base = Fraction(1, 1000)
    pts = np.round(np.arange(count) * seconds * 1000).astype(np.int64)
    stamps = Motion("real3d-head", pts, time_base, np.ones(count, np.bool_), {})
    return HeadTrack(stamps, found, np.full(count, blink, np.float32), found[0])


def transfer(
    driver: HeadTrack, options: MotionOptions = EXACT, view: ViewOptions = PLAIN
) -> Motion:
    out = transfer_heads(MODEL, IDENTITY, SOURCE, driver, options, view)
    assert isinstance(out, TargetMotion) and out.kind == "real3d-target"
    return out.window(0, len(out))


def row(motion: Motion, name: str) -> Array:
    """Return an array of a motion in float64."""
    return np.asarray(motion.arrays[name], np.float64)


def reference_of(motion: Motion) -> Array:
    return np.asarray(motion.constants["source_expression"], np.float64)


def test_angles_are_those_of_thcli_fit() -> None:
    """Positive yaw: nose to the image's left; pitch: down; roll: clockwise."""
    points = MODEL.points468(IDENTITY, np.zeros(64))

    def turned(**degrees: float) -> Array32:
        angles = [degrees.get(name, 0.0) for name in ("pitch", "yaw", "roll")]
        seen = project(points, euler_from_degrees(angles)[None], np.zeros((1, 3)))[0]
        return np.asarray(seen, np.float32)

    straight = turned()
    assert turned(yaw=15)[NOSE, 0] < straight[NOSE, 0] - 0.02
    assert turned(pitch=15)[NOSE, 1] > straight[NOSE, 1] + 0.02
    left, right = straight[:, 0].argmin(), straight[:, 0].argmax()
    rolled = turned(roll=15)
    assert rolled[right, 1] > straight[right, 1] + 0.02
    assert rolled[left, 1] < straight[left, 1] - 0.02


def test_relative_motion_starts_at_the_sources_pose() -> None:
    driver = track()
    motion = transfer(driver)
    first = cameras_from_pose(SOURCE.euler, SOURCE.translation)[0]
    np.testing.assert_allclose(row(motion, "camera")[0], first, atol=1e-6)
    # as published: the driver's own expression, and the source drawn with its first one
    np.testing.assert_allclose(row(motion, "expression"), driver.heads.expression, atol=1e-6)
    reference = reference_of(motion)
    np.testing.assert_array_equal(reference, driver.heads.expression[0])
    moved = SOURCE.euler + driver.heads.euler[3] - driver.heads.euler[0]
    at = SOURCE.translation + driver.heads.translation[3] - driver.heads.translation[0]
    at[2] = SOURCE.translation[2]  # the distance does not change
    expected = cameras_from_pose(moved, at)[0]
    np.testing.assert_allclose(row(motion, "camera")[3], expected, atol=1e-5)


def test_the_distance_does_not_change_from_a_rest_pose_either() -> None:
    driver = track()
    farther = driver.reference.translation + np.array([0, 0, 1], np.float32)
    rest = replace(driver.reference, translation=farther)
    cameras = row(transfer(replace(driver, reference=rest)), "camera")
    first = driver.heads.euler[0] - rest.euler + SOURCE.euler
    expected = cameras_from_pose(first, SOURCE.translation)[0]
    np.testing.assert_allclose(cameras[0], expected, atol=1e-5)


def test_keypoints_are_those_the_torso_network_is_trained_on() -> None:
    """The published program's landmarks lie one vertex after the right ones."""
    driver = track()
    motion = transfer(driver, replace(EXACT, mode="absolute"))
    vertices = MODEL.vertices(IDENTITY, driver.heads.expression)[:, MODEL.keypoints68 + 1]
    at = driver.heads.translation.copy()
    at[:, 2] = at[0, 2]
    seen = project(vertices, driver.heads.euler, at) * 2 - 1
    np.testing.assert_allclose(row(motion, "keypoints"), np.clip(seen, -1, 1), atol=1e-5)


def test_absolute_motion_is_the_drivers() -> None:
    driver = track()
    motion = transfer(driver, replace(EXACT, mode="absolute"))
    at = driver.heads.translation[3].copy()
    at[2] = driver.heads.translation[0, 2]
    expected = cameras_from_pose(driver.heads.euler[3], at)[0]
    np.testing.assert_allclose(row(motion, "camera")[3], expected, atol=1e-5)
    np.testing.assert_array_equal(reference_of(motion), SOURCE.expression)


@pytest.mark.parametrize("mode", ["relative", "absolute"])
def test_without_strength_nothing_moves(mode: str) -> None:
    options = MotionOptions(
        smooth=0, strength=0, mode="absolute" if mode == "absolute" else "relative"
    )
    motion = transfer(track(blink=1.0), options)
    camera = cameras_from_pose(SOURCE.euler, SOURCE.translation)
    np.testing.assert_allclose(row(motion, "camera"), np.tile(camera, (5, 1)), atol=1e-5)
    reference = reference_of(motion)
    np.testing.assert_allclose(row(motion, "expression"), np.tile(reference, (5, 1)), atol=1e-6)
    assert not row(motion, "blink").any()


def test_pose_and_expression_have_gains_of_their_own() -> None:
    driver = track()
    pose = transfer(driver, replace(EXACT, region="pose"))
    face = transfer(driver, replace(EXACT, region="expression"))
    both = transfer(driver)
    np.testing.assert_allclose(row(pose, "camera"), row(both, "camera"), atol=1e-6)
    assert np.ptp(row(pose, "expression"), 0).max() < 1e-6
    assert np.ptp(row(face, "camera"), 0).max() < 1e-5
    np.testing.assert_allclose(row(face, "expression"), row(both, "expression"), atol=1e-6)
    with pytest.raises(UsageError, match="cannot move the lips"):
        transfer(driver, replace(EXACT, region="lips"))


def test_a_pose_file_replaces_the_drivers_head(tmp_path: Path) -> None:
    text = "seconds,pitch,yaw,roll\n5,0,10,0\n5.16,0,30,0\n"
    path = tmp_path / "poses.csv"
    path.write_text(text, "utf-8")
    view = ViewOptions(pose_file=path)
    cameras = row(transfer(track(), view=view), "camera")
    turned = SOURCE.euler + euler_from_degrees([0, 20, 0])
    np.testing.assert_allclose(
        cameras[4], cameras_from_pose(turned, SOURCE.translation)[0], atol=1e-5
    )
    own = transfer(track(), replace(EXACT, mode="absolute"), view)
    level = cameras_from_pose(euler_from_degrees([0, 10, 0]), SOURCE.translation)[0]
    np.testing.assert_allclose(row(own, "camera")[0], level, atol=1e-5)


def test_smoothing_is_over_seven_frames() -> None:
    driver = track(20)
    raw, smooth = transfer(driver), transfer(driver, MotionOptions(smooth=1))
    causal = transfer(driver, MotionOptions(smooth=1, causal=True))
    middle = row(raw, "keypoints")[7:14].mean(0)
    np.testing.assert_allclose(row(smooth, "keypoints")[10], middle, atol=1e-5)
    position = row(raw, "camera")[7:14, [3, 7, 11]].mean(0)
    np.testing.assert_allclose(row(smooth, "camera")[10, [3, 7, 11]], position, atol=1e-5)
    np.testing.assert_array_equal(row(causal, "camera"), row(raw, "camera"))


def test_windows_hold_the_numbers_of_their_frames() -> None:
    store = transfer_heads(MODEL, IDENTITY, SOURCE, track(), EXACT, PLAIN)
    part = store.window(3, 9)
    assert len(store) == 5 and len(part) == 2 and len(store.window(7, 9)) == 0
    assert row(part, "frame").tolist() == [3, 4]
    np.testing.assert_array_equal(
        row(part, "camera"), np.asarray(store.window(0, 5).arrays["camera"])[3:]
    )


class Fit:
    """A fit that remembers its landmarks and returns heads with the mean point as their place."""

    def __init__(self) -> None:
        self.sample, self.given = (np.zeros((0, 468, 2), np.float32) for _ in range(2))

    def fit_identity(self, landmarks: Array32) -> Array32:
        self.sample = landmarks
        return np.ones(80, np.float32)

    def fit_frames(self, identity: Array32, blocks: Iterable[Array32]) -> HeadState:
        assert identity.sum() == 80
        landmarks = np.concatenate(list(blocks))
        self.given = np.concatenate([self.given, landmarks])
        found = heads(len(landmarks), seed=len(landmarks))
        found.translation[:, :2] = np.nan_to_num(landmarks.mean(1))
        return found


def read(motion: Motion, options: MotionOptions = EXACT) -> tuple[HeadTrack, Fit]:
    fit = Fit()
    return read_track(MotionBuffer(motion), options, SOURCE, PLACE, fit), fit


def test_a_drivers_face_is_fitted_where_the_sources_stands() -> None:
    driver = synthetic_motion.driver(9)
    found, fit = read(driver)
    assert fit.given.shape == (9, 468, 2) and len(found) == 9
    places = [FacePlace.of(np.asarray(points, np.float64)) for points in fit.given]
    np.testing.assert_allclose(np.median([p.size for p in places]), PLACE.size, atol=1e-3)
    middle = np.median([p.centre for p in places], axis=0)
    np.testing.assert_allclose(middle, PLACE.centre, atol=1e-3)
    np.testing.assert_array_equal(found.reference.expression, found.heads.expression[0])
    again, _ = read(replace(driver, pts=driver.pts + 100))
    np.testing.assert_allclose(again.seconds, found.seconds)


def test_frames_without_a_face_are_not_fitted_but_filled() -> None:
    driver = synthetic_motion.driver(6)
    valid = np.array([False, True, True, False, True, True])
    found, fit = read(replace(driver, valid=valid))
    assert len(fit.sample) == 4 and np.isfinite(fit.sample).all()
    assert np.isnan(fit.given).all((1, 2)).tolist() == (~valid).tolist() and len(found) == 6
    place = found.heads.translation[:, 0]
    assert place[0] == place[1] == found.reference.translation[0]
    assert place[3] == pytest.approx((place[2] + place[4]) / 2, abs=1e-6)
    assert found.stamps.valid.tolist() == valid.tolist()


def test_generated_motion_starts_from_its_rest_pose() -> None:
    driver = synthetic_motion.driver(4)
    rest = row(driver, "pose")[2]
    generated = replace(driver, constants={**driver.constants, "rest": rest})
    found, fit = read(generated, MotionOptions(smooth=1))
    assert len(fit.given) == 5 and len(found) == 4
    shape = fit.given[4] - fit.given[4].mean(0)
    flat = neutral()[:, :2] - neutral()[:, :2].mean(0)
    assert np.corrcoef(shape[:, 1], flat[:, 1])[0, 1] > 0.95
    np.testing.assert_array_equal(found.reference.expression, heads(1, seed=1).expression[0])
    np.testing.assert_allclose(found.heads.expression, heads(4, seed=4).expression, atol=1e-6)


def test_a_voices_expressions_keep_the_sources_pose() -> None:
    pts, base = np.arange(3, dtype=np.int64), Fraction(1, 25)
    expression = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    arrays = {"expression": expression, "blink": np.array([0, 1.5, 0], np.float32)}
    spoken = Motion(VOICE_KIND, pts, base, np.ones(3, np.bool_), arrays)
    found, fit = read(spoken, MotionOptions(smooth=1))
    assert not fit.given.size
    np.testing.assert_allclose(found.heads.expression, expression, atol=1e-6)
    np.testing.assert_allclose(found.heads.euler, np.tile(SOURCE.euler, (3, 1)), atol=1e-6)
    assert found.blink.tolist() == [0, 1, 0]
    without, _ = read(replace(spoken, arrays={"expression": expression}))
    assert not without.blink.any()


def test_other_motion_and_empty_motion_are_refused() -> None:
    driver = synthetic_motion.driver(3)
    with pytest.raises(MediaError, match=r"'fomm'.*'mesh' and 'real3d'"):
        read(replace(driver, kind="fomm"))
    with pytest.raises(NoFaceError, match="no face in any frame"):
        read(replace(driver, valid=np.zeros(3, np.bool_)))
