"""Camera motion from the background: known motions, still cameras, plain backgrounds, cuts."""

from __future__ import annotations

import cmath
from dataclasses import replace

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Face, Image
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import Similarity

WIDTH, HEIGHT = 320, 240


def scene(seed: int = 0) -> Image:
    """Draw a background of blocks, larger than the frames that show it."""
    blocks = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), np.uint8)
    large = cv2.resize(blocks, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def frame(background: Image, frame_from_scene: Similarity, person_x: int = 130) -> Image:
    """Show the scene through a camera, behind a striped person at a place of its own."""
    a, b = frame_from_scene.a, frame_from_scene.b
    centred = b - a * complex(WIDTH / 2, HEIGHT / 2)
    matrix = np.array([[a.real, -a.imag, centred.real], [a.imag, a.real, centred.imag]])
    out = np.asarray(cv2.warpAffine(background, matrix, (WIDTH, HEIGHT)), np.uint8)
    stripes = (np.arange(60)[:, None] // 5 % 2 * 255).astype(np.uint8)
    out[100:, person_x : person_x + 60] = stripes.T[..., None]
    return out


def person(image: Image) -> Array32:
    """Segment the grey stripes."""
    return np.asarray(np.ptp(image.astype(int), axis=2) == 0, np.float32)


def largest_error(found: Similarity, true: Similarity) -> float:
    corners = np.array([(0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)], np.float64)
    return float(np.abs(found.apply(corners) - true.apply(corners)).max())


def test_a_panning_zooming_and_tilting_camera_is_found() -> None:
    estimator, background = CameraMotionEstimator(person), scene()
    for i in range(24):
        a = (1 + 0.004 * i) * cmath.exp(0.004j * i)
        true = Similarity(a, complex(2.5 * i, -1.5 * i))
        found = estimator.estimate(frame(background, true, 130 - 3 * i))
        assert largest_error(found, true) < 1.0
    assert abs(true.b) > 60


def test_errors_do_not_accumulate_in_a_shaking_camera() -> None:
    estimator, background = CameraMotionEstimator(person), scene(1)
    for i in range(60):
        true = Similarity(1, 40 * cmath.exp(0.7j * i) - 40)
        found = estimator.estimate(frame(background, true))
        assert largest_error(found, true) < 0.9  # up to a still camera's noise


def test_a_still_camera_behind_a_moving_person_does_not_move() -> None:
    estimator, background = CameraMotionEstimator(person), scene(2)
    noise = np.random.default_rng(3)
    for i in range(20):
        image = frame(background, Similarity(), 40 + 8 * i).astype(int)
        image += noise.integers(-2, 3, image.shape[:2])[..., None]
        found = estimator.estimate(np.clip(image, 0, 255).astype(np.uint8))
        assert found == Similarity()


@pytest.mark.parametrize("level", [0, 128])
def test_a_plain_background_gives_no_motion(level: int) -> None:
    estimator = CameraMotionEstimator(person)
    noise = np.random.default_rng(4)
    for i in range(30):
        image = np.full((HEIGHT, WIDTH, 3), level) + noise.integers(0, 3, (HEIGHT, WIDTH, 3))
        image[80:, 60 + 4 * i : 120 + 4 * i] = 200
        assert estimator.estimate(image.astype(np.uint8)) == Similarity()


def seated(frame_from_scene: Similarity) -> tuple[Image, Face]:
    """Show a patterned body under a head before a plain wall, through a camera."""
    a, b = frame_from_scene.a, frame_from_scene.b
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    pattern = np.random.default_rng(9).integers(0, 200, (30, 45), np.uint8)
    body = cv2.resize(pattern, (180, 120), interpolation=cv2.INTER_CUBIC)
    still = np.full((HEIGHT, WIDTH, 3), (90, 140, 200), np.uint8)
    still[130:, 70:250] = body[: HEIGHT - 130, :, None]
    still[40:100, 135:185] = 120
    frames = cv2.warpAffine(still, matrix, (WIDTH, HEIGHT), borderValue=(90, 140, 200))
    corners = frame_from_scene.apply(np.array([(135.0, 40.0), (185.0, 100.0)]))
    return np.asarray(frames, np.uint8), Face(corners.ravel().astype(np.float32), 1.0)


def test_before_a_plain_wall_the_camera_is_that_which_moves_the_body() -> None:
    estimator = CameraMotionEstimator(person)
    for i in range(20):
        true = Similarity(1 + 0.006 * i, complex(3 * i, -1.2 * i))
        image, face = seated(true)
        found = estimator.estimate(image, [face])
    assert largest_error(found, true) < 3


def shaded(frame_from_scene: Similarity, hidden: int = 0) -> Image:
    """Show a wall of soft shading without corners; things cover its left side up to a column."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    at = frame_from_scene.inverse().apply(np.stack([x, y], -1))
    shade = 130 + 40 * np.sin(at[..., 0] / 60) + 30 * np.sin(at[..., 1] / 50)
    out = np.repeat(np.clip(shade, 0, 255)[..., None], 3, 2) * (1, 0.8, 0.6)
    out[:, :hidden] = (0, 90, 180)
    return np.asarray(out, np.uint8)


def test_the_shading_of_a_wall_shows_the_camera_and_goes_on_as_things_cover_it() -> None:
    estimator = CameraMotionEstimator(person)
    for i in range(24):
        true = Similarity(1 + 0.004 * i, complex(2.5 * i, -0.5 * i))
        found = estimator.estimate(shaded(true, min(175, max(0, 20 * (i - 12)))))
        assert i < 12 or largest_error(found, true) < 6  # a wall alone shows no sway
    assert abs(true.b) > 50


@pytest.mark.parametrize("hair", [0, 60])
def test_the_body_below_a_face_shows_the_camera_with_and_without_hair(hair: int) -> None:
    """Beside a face without hair by corners, below hair as the torso."""
    pattern = np.random.default_rng(9).integers(0, 200, (20, 60), np.uint8)
    still = np.full((HEIGHT, WIDTH, 3), (90, 140, 200), np.uint8)
    still[170:, 20:300] = cv2.resize(pattern, (280, 70))[..., None]
    still[60:180, 110 - hair : 210 + hair] = 120
    box = np.array([(100.0, 60.0), (220.0, 170.0)])
    estimator = CameraMotionEstimator(person)
    for i in range(16):
        true = Similarity(1 + 0.008 * i, complex(-3 * i, -2 * i))
        matrix = np.array([[true.a.real, 0, true.b.real], [0, true.a.real, true.b.imag]])
        image = cv2.warpAffine(still, matrix, (WIDTH, HEIGHT), borderValue=(90, 140, 200))
        face = Face(true.apply(box).ravel().astype(np.float32), 1.0)
        found = estimator.estimate(np.asarray(image, np.uint8), [face])
    assert largest_error(found, true) < 3


@pytest.mark.parametrize("change", ["none", "a larger face beside it", "an opening mouth"])
def test_the_head_shows_the_camera_where_the_body_leaves_the_frame(change: str) -> None:
    estimator = CameraMotionEstimator(person)
    for i in range(50):
        true = Similarity(1, complex(0, 115 * np.sin(i / 49 * np.pi)))
        image, face = seated(true)
        if change == "an opening mouth" and i % 4 == 0:
            face = replace(face, box=face.box + np.array([0, 0, 0, 9], np.float32))
        faces = [face]
        if change == "a larger face beside it" and i in range(12, 38):
            faces.append(replace(face, box=face.box + np.array([95, -20, 115, 10], np.float32)))
        found = estimator.estimate(image, faces)
        if abs(true.b) > 32:  # less counts as swaying
            assert largest_error(found, true) < 10
    assert found == Similarity()


def test_a_few_corners_of_a_wall_give_way_to_a_patterned_body() -> None:
    estimator = CameraMotionEstimator(person)
    marks = [(20 + 34 * i, 6 + 5 * (i % 2)) for i in range(9)]
    for i in range(20):
        true = Similarity(1, complex(3 * i, 1.5 * i))
        image, face = seated(true)
        for x, y in marks:  # spots on the lens, which stay
            image[y : y + 5, x : x + 5] = 255
        found = estimator.estimate(image, [face])
    assert largest_error(found, true) < 3


def test_a_body_that_sways_before_a_plain_wall_is_no_camera() -> None:
    estimator = CameraMotionEstimator(person)
    for i in range(16):
        image, face = seated(Similarity(1, complex(12 * np.sin(0.5 * i), 0)))
        assert estimator.estimate(image, [face]) == Similarity()


@pytest.mark.parametrize("wall_rests", [True, False])
def test_the_shading_of_a_wall_tells_a_body_that_leans_from_a_camera(wall_rests: bool) -> None:
    estimator, found = CameraMotionEstimator(person), []
    for i in range(24):
        true = Similarity(1, complex(45 * np.sin(0.26 * i), 0))
        image, face = seated(true)
        y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
        x -= 0 if wall_rests else true.b.real
        wall = (image == (90, 140, 200)).all(-1)
        shade = 1 + 0.12 * np.sin(x / 45) + 0.08 * np.cos(y / 60)
        image[wall] = np.array((90, 140, 200)) * shade[wall][:, None]
        found.append(largest_error(estimator.estimate(image, [face]), Similarity()))
    assert max(found) == 0 if wall_rests else max(found) > 40


def test_a_pan_from_a_pattern_to_a_plain_wall_keeps_its_motion() -> None:
    estimator, strip = CameraMotionEstimator(person), scene(8)[:HEIGHT, :24]
    before = 0.0
    for i in range(24):
        image, face = seated(Similarity())
        shown = max(24 - i, 0)
        image[:, :shown] = strip[:, 24 - shown :]
        found = estimator.estimate(image, [face])
        assert abs(found.b) > before - 0.7
        before = max(before, abs(found.b))
    assert 8 < before < 24.5


@pytest.mark.parametrize("shows_body", [True, False])
def test_a_moving_camera_that_loses_its_background_goes_on_with_the_person(
    shows_body: bool,
) -> None:
    estimator, strip = CameraMotionEstimator(person), scene(8)[:HEIGHT, :66]
    for i in range(48):
        moved = round(90 * np.sin(i / 47 * np.pi))
        true = Similarity(1, complex(-moved, 0))
        image, face = seated(true)
        if not shows_body:
            image[130:] = image[0, -1]
        seen = strip[:, min(moved, 66) :]
        image[:, : seen.shape[1]] = seen
        found = estimator.estimate(image, [face])
        assert largest_error(found, true) < 11  # while the background leaves
    assert largest_error(found, Similarity()) < 1


def test_a_cut_begins_a_new_scene() -> None:
    estimator = CameraMotionEstimator(person)
    for i in range(5):
        moved = estimator.estimate(frame(scene(5), Similarity(1, 6 * i)))
    assert abs(moved.b - 24) < 0.5
    assert estimator.estimate(frame(scene(6), Similarity(1, 50)), cut=True) == Similarity()
    after = estimator.estimate(frame(scene(6), Similarity(1, 56)))
    assert abs(after.b - 6) < 0.5


def test_large_frames_give_motion_in_their_own_pixels() -> None:
    estimator, background = CameraMotionEstimator(person), scene(7)
    for i in range(6):
        small = frame(background, Similarity(1, 5 * i))
        large = np.asarray(cv2.resize(small, (4 * WIDTH, 4 * HEIGHT)), np.uint8)
        found = estimator.estimate(large.astype(np.uint16) * 257)
    assert abs(found.b - 4 * 25) < 2
