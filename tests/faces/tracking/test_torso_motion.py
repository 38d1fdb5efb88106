"""Motion of a torso apart from the head: leaning, a hand before it, plain clothes, a lost view."""

from __future__ import annotations

import cmath

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from thcli.core.types import Array, Face
from thcli.faces.tracking.camera_motion import CameraMotionEstimator
from thcli.faces.tracking.head_motion import Similarity
from thcli.faces.tracking.torso_motion import TorsoMotionEstimator

WIDTH, HEIGHT = 320, 240
BOX = np.array([130.0, 40.0, 190.0, 110.0])
PEOPLE = np.zeros((HEIGHT, WIDTH), np.uint8)
PEOPLE[110:, 50:270] = 1
PEOPLE[30:120, 125:195] = 1
SHOULDERS = np.array([(100.0, 150.0), (220.0, 150.0)])


def seated(torso: Similarity, *, plain: bool = False, hand: int = 0) -> npt.NDArray[np.uint8]:
    """Show patterned clothes that move below a head that is still; a hand covers `hand` pixels."""
    pattern = np.random.default_rng(2).integers(60, 200, (26, 44), np.uint8)
    still = np.full((HEIGHT, WIDTH), 20, np.uint8)
    cloth = cv2.resize(pattern, (220, 130), interpolation=cv2.INTER_CUBIC)
    still[110:, 50:270] = 128 if plain else cloth
    a, b = torso.a, torso.b
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float64)
    out = np.asarray(cv2.warpAffine(still, matrix, (WIDTH, HEIGHT), borderValue=20), np.uint8)
    out[40:110, 130:190] = 150
    out[160:, 150 : 150 + hand] = 220
    return out


def error(found: Similarity, true: Similarity) -> float:
    return float(np.abs(found.apply(SHOULDERS) - true.apply(SHOULDERS)).max())


def test_a_torso_that_leans_below_a_still_head_is_followed() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(seated(Similarity()), PEOPLE, boxes)
    for i in range(20):
        true = Similarity((1 + 0.004 * i) * cmath.exp(0.003j * i), complex(-1.2 * i, 0.6 * i))
        found = estimator.follow(seated(true), boxes)
        assert error(found, true) < 0.5


def test_a_hand_that_comes_before_the_torso_does_not_move_it() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(seated(Similarity()), PEOPLE, boxes)
    found = [estimator.follow(seated(Similarity(), hand=3 * i), boxes) for i in range(12)]
    assert max(error(motion, Similarity()) for motion in found) < 0.3


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), BOX[None]])
def test_plain_clothes_and_frames_without_a_face_give_no_motion(boxes: Array) -> None:
    estimator = TorsoMotionEstimator()
    estimator.begin(seated(Similarity(), plain=len(boxes) > 0), PEOPLE, boxes)
    assert not estimator.has_begun
    assert estimator.follow(seated(Similarity(1, 9)), BOX[None]) == Similarity()


def test_a_torso_that_was_covered_is_followed_from_the_first_frame_again() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(seated(Similarity()), PEOPLE, boxes)
    for i in range(8):
        last = Similarity(1, complex(2 * i, -i))
        estimator.follow(seated(last), boxes)
    black = np.zeros((HEIGHT, WIDTH), np.uint8)
    assert error(estimator.follow(black, boxes), last) < 0.5
    true = Similarity(1, 16 - 8j)
    assert error(estimator.follow(seated(true), boxes), true) < 0.5


def test_the_estimator_of_the_camera_measures_the_torso_too_and_begins_again_at_a_cut() -> None:
    background = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
    wall = np.asarray(cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))

    def frame(torso: Similarity) -> npt.NDArray[np.uint8]:
        shown = np.where(PEOPLE[..., None] > 0, seated(torso)[..., None], wall)
        return np.asarray(cv2.resize(shown, (2 * WIDTH, 2 * HEIGHT)), np.uint8)

    estimator = CameraMotionEstimator(lambda _: PEOPLE.astype(np.float32))
    face = Face((2 * BOX).astype(np.float32), 1.0)
    for i in range(10):
        camera = estimator.estimate(frame(Similarity(1, complex(2 * i, 0))), [face])
        assert camera == Similarity()
        assert abs(estimator.torso.b - 4 * i) < 1
    estimator.estimate(frame(Similarity(1, 18)), [face], cut=True)
    assert abs(estimator.torso.b) < 0.1
