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
from thcli.faces.tracking.reduced_frame import ReducedFrame
from thcli.faces.tracking.torso_motion import LATE_LOOKS, TorsoMotionEstimator

WIDTH, HEIGHT = 320, 240
BOX = np.array([130.0, 40.0, 190.0, 110.0])
PEOPLE = np.zeros((HEIGHT, WIDTH), np.uint8)
PEOPLE[110:, 50:270] = 1
PEOPLE[30:120, 125:195] = 1
SKIN = (200, 150, 125)
SHOULDERS = np.array([(100.0, 150.0), (220.0, 150.0)])


def reduced(picture: npt.NDArray[np.uint8]) -> ReducedFrame:
    return ReducedFrame.of(picture, WIDTH)


def seated(torso: Similarity, *, plain: bool = False, hand: int = 0) -> npt.NDArray[np.uint8]:
    """Show patterned clothes that move below a head that is still; a hand covers `hand` pixels.

    Returns:
        (h, w, 3) RGB.
    """
    pattern = np.random.default_rng(2).integers(60, 200, (26, 44), np.uint8)
    still = np.full((HEIGHT, WIDTH), 20, np.uint8)
    cloth = cv2.resize(pattern, (220, 130), interpolation=cv2.INTER_CUBIC)
    still[110:, 50:270] = 128 if plain else cloth
    a, b = torso.a, torso.b
    matrix = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]], np.float64)
    out = np.asarray(cv2.warpAffine(still, matrix, (WIDTH, HEIGHT), borderValue=20), np.uint8)
    out[160:, 150 : 150 + hand] = 220
    picture = np.repeat(out[..., None], 3, 2)
    picture[40:110, 130:190] = SKIN
    return picture


def with_hands(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Hold two hands with shades before most of the clothes."""
    shade = np.random.default_rng(3).uniform(0.75, 1.25, (20, 40))
    shades = cv2.resize(shade, (170, 85), interpolation=cv2.INTER_CUBIC)[..., None]
    out = picture.copy()
    out[135:220, 65:235] = np.clip(shades * SKIN, 0, 255)
    return out


def error(found: Similarity | None, true: Similarity) -> float:
    assert found is not None
    return float(np.abs(found.apply(SHOULDERS) - true.apply(SHOULDERS)).max())


def test_a_torso_that_leans_below_a_still_head_is_followed() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(reduced(seated(Similarity())), PEOPLE, boxes)
    for i in range(20):
        true = Similarity((1 + 0.004 * i) * cmath.exp(0.003j * i), complex(-1.2 * i, 0.6 * i))
        found = estimator.follow(reduced(seated(true)), boxes)
        assert error(found, true) < 0.5


def test_a_hand_that_comes_before_the_torso_does_not_move_it() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(reduced(seated(Similarity())), PEOPLE, boxes)
    found = [estimator.follow(reduced(seated(Similarity(), hand=3 * i)), boxes) for i in range(12)]
    assert max(error(motion, Similarity()) for motion in found) < 0.3


@pytest.mark.parametrize("grey", [False, True])
def test_hands_before_plain_clothes_are_no_torso(*, grey: bool) -> None:
    """In colour; in black and white they look as clothes do."""
    estimator = TorsoMotionEstimator()
    picture = with_hands(seated(Similarity(), plain=True))
    if grey:
        picture = np.repeat(picture[..., 1:2], 3, 2)
    estimator.begin(reduced(picture), PEOPLE, BOX[None])
    assert estimator.has_begun == grey


def close_up(torso: Similarity, head: float = 0) -> npt.NDArray[np.uint8]:
    """Show soft folds of clothes without corners below a large face, shifted by pixels."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    moved = torso.inverse().apply(np.stack([x, y], -1))
    folds = 120 + 60 * np.sin(moved[..., 0] / 12) + 50 * np.sin(moved[..., 1] / 8)
    picture = np.repeat(np.where(moved[..., 1] > 190, folds, 20)[..., None], 3, 2)
    picture[30:190, 90 + round(head) : 230 + round(head)] = SKIN
    return np.asarray(picture, np.uint8)


def test_a_torso_without_corners_is_followed_by_its_pixels() -> None:
    estimator, box = TorsoMotionEstimator(), np.array([90.0, 30.0, 230.0, 190.0])
    people = np.zeros((HEIGHT, WIDTH), np.uint8)
    people[190:], people[30:190, 90:230] = 1, 1
    estimator.begin(reduced(close_up(Similarity())), people, box[None])
    assert estimator.has_begun
    for i in range(15):
        true = Similarity(1, complex(2 * i, -0.5 * i))
        boxes = (box + np.array([3 * i, 0, 3 * i, 0]))[None]
        found = estimator.follow(reduced(close_up(true, 3 * i)), boxes)
        assert found is not None
        shown = np.array([(160.0, 215.0)])
        assert np.abs(found.apply(shown) - true.apply(shown)).max() < 1
    assert estimator.follow(reduced(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), boxes) is None


def badge_on_stripes(badge: int, body: int) -> npt.NDArray[np.uint8]:
    """Show striped clothes, which have no corners, moved by pixels, and a badge before them."""
    columns = np.arange(WIDTH) - body
    picture = np.full((HEIGHT, WIDTH), 20, np.uint8)
    stripes = 128 + 40 * np.sin(columns / 4)
    picture[110:] = np.where((columns >= 50) & (columns < 270), stripes, 20)
    pattern = np.random.default_rng(5).integers(60, 200, (6, 8), np.uint8)
    left = 140 + badge
    picture[170:200, left : left + 40] = cv2.resize(pattern, (40, 30))
    return np.repeat(picture[..., None], 3, 2)


@pytest.mark.parametrize("follows", [False, True])
def test_a_motion_that_does_not_explain_the_torsos_pixels_fades(*, follows: bool) -> None:
    """A thing before a still torso has all corners."""
    estimator, boxes, moves, shares = TorsoMotionEstimator(), BOX[None], [0j], list[float]()
    estimator.begin(reduced(badge_on_stripes(0, 0)), PEOPLE, boxes)
    for i in range(40):
        shift = round(8 * (1 - np.cos(i / 8)))
        found = estimator.follow(reduced(badge_on_stripes(shift, shift * follows)), boxes)
        assert found is not None
        moves.append(found.b)
        shares.append(abs(found.b) / max(shift, 1))
    assert np.abs(np.diff(moves)).max() < 3  # nothing pops
    assert np.allclose(shares[10:], 1, atol=0.1) if follows else max(shares[25:]) < 0.1


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), BOX[None]])
def test_plain_clothes_and_frames_without_a_face_give_no_motion(boxes: Array) -> None:
    estimator = TorsoMotionEstimator()
    estimator.begin(reduced(seated(Similarity(), plain=len(boxes) > 0)), PEOPLE, boxes)
    assert not estimator.has_begun
    assert estimator.box is None
    assert estimator.follow(reduced(seated(Similarity(1, 9))), BOX[None]) is None


def test_a_torso_that_was_covered_is_followed_from_the_first_frame_again() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    estimator.begin(reduced(seated(Similarity())), PEOPLE, boxes)
    for i in range(8):
        last = Similarity(1, complex(2 * i, -i))
        estimator.follow(reduced(seated(last)), boxes)
    black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    assert estimator.follow(reduced(black), boxes) is None
    true = Similarity(1, 16 - 8j)
    assert error(estimator.follow(reduced(seated(true)), boxes), true) < 0.5


def test_the_estimator_of_the_camera_measures_the_torso_too_and_begins_again_at_a_cut() -> None:
    background = np.random.default_rng(3).integers(0, 256, (30, 40, 3), np.uint8)
    wall = np.asarray(cv2.resize(background, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC))

    def frame(torso: Similarity) -> npt.NDArray[np.uint8]:
        shown = np.where(PEOPLE[..., None] > 0, seated(torso), wall)
        return np.asarray(cv2.resize(shown, (2 * WIDTH, 2 * HEIGHT)), np.uint8)

    estimator = CameraMotionEstimator(lambda _: PEOPLE.astype(np.float32))
    face = Face((2 * BOX).astype(np.float32), 1.0)
    for i in range(10):
        camera = estimator.estimate(frame(Similarity(1, complex(2 * i, 0))), [face])
        assert camera == Similarity()
        assert error(estimator.torso, Similarity(1, 4 * i)) < 1
    estimator.estimate(frame(Similarity(1, 18)), [face], cut=True)
    assert error(estimator.torso, Similarity()) < 0.1


def test_a_torso_that_begins_under_a_moved_camera_begins_in_the_scene() -> None:
    estimator, boxes = TorsoMotionEstimator(), BOX[None]
    camera = Similarity(cmath.exp(0.05 + 0.02j), 250 - 3j)
    estimator.begin(reduced(seated(Similarity())), PEOPLE, boxes, camera)
    assert error(estimator.follow(reduced(seated(Similarity())), boxes, camera), camera) < 0.1
    for i in range(1, 75):  # so far that a further key frame is needed
        moved = Similarity(1, complex(2 * i, 0))
        its_boxes = boxes + np.array([2 * i, 0, 2 * i, 0])
        found = estimator.follow(reduced(seated(moved)), its_boxes, camera)
        assert error(found, moved @ camera) < 1


def panned(shift: int, *, person: bool = True) -> npt.NDArray[np.uint8]:
    """Show a person before a wall that a camera pans over by pixels."""
    background = np.random.default_rng(3).integers(0, 256, (40, 80, 3), np.uint8)
    wide = cv2.resize(background, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    if person:
        area = wide[:, 60 : 60 + WIDTH]
        area[...] = np.where(PEOPLE[..., None] > 0, seated(Similarity()), area)
    return np.asarray(wide[:, 60 + shift : 60 + shift + WIDTH], np.uint8)


def people_at(shift: int) -> npt.NDArray[np.float32]:
    return np.asarray(np.roll(PEOPLE, -shift, 1), np.float32)


def test_a_scene_that_begins_without_a_face_begins_the_torso_with_its_camera() -> None:
    shown = [0]
    estimator = CameraMotionEstimator(lambda _: people_at(shown[0]) * (shown[0] > 30))
    torsos = []
    for shift in range(0, 60, 2):
        shown[0] = shift
        box = (BOX - (shift, 0, shift, 0)).astype(np.float32)
        faces = [Face(box, 1.0, track=4)] if shift > 30 else []
        camera = estimator.estimate(panned(shift, person=shift > 30), faces)
        if estimator.torso is not None:
            assert estimator.torso_track == 4
            torsos.append((shift, error(estimator.torso, camera)))
    assert torsos and torsos[0][0] > 10
    assert max(away for _, away in torsos) < 1.5


def test_a_scene_that_begins_without_a_face_under_a_still_camera_finds_the_torso() -> None:
    """The person who comes in is looked for a few times, however long the scene lasts."""
    looks, shown = [0], [False]

    def person(_: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        looks[0] += 1
        return people_at(0) * shown[0]

    for corners in (True, False):
        estimator = CameraMotionEstimator(person)
        shown[0], looks[0] = False, 0
        estimator.estimate(panned(0, person=False), [])
        shown[0] = corners
        for i in range(80):
            faces = [Face(BOX.astype(np.float32), 1.0, track=4)] if i > 5 else []
            estimator.estimate(panned(0), faces)
            assert (estimator.torso is not None) == (corners and i > 5)
        assert looks[0] == 1 + (1 if corners else LATE_LOOKS)


def test_the_torso_belongs_to_the_largest_face_of_the_scene() -> None:
    estimator = CameraMotionEstimator(lambda _: people_at(0))
    small = Face(np.array([20, 60, 50, 95], np.float32), 1.0, track=1)
    large = Face(BOX.astype(np.float32), 1.0, track=2)
    for faces in ([small, large], [small], [large, small]):
        estimator.estimate(panned(0), faces)
        assert estimator.torso is not None and estimator.torso_track == 2
    estimator.estimate(panned(0), [], cut=True)
    assert estimator.torso is None and estimator.torso_track is None
