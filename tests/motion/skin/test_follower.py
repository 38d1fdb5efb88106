"""Landmarks on the skin of their template: shifts, light, covered faces, turns and cuts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.motion import synthetic_motion as synthetic
from thcli.core.types import Array, Face
from thcli.faces.landmarks import topology
from thcli.motion import canonical
from thcli.motion.skin.follower import SkinFollower

Pixels = npt.NDArray[Any]
SIZE = 480
CHEEKS = canonical.neutral()[:, 1] > 0.1  # below the eyes


def _skin(seed: int = 0) -> Pixels:
    """Return a picture with the texture of skin at several scales."""
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    grey = sum(cv2.GaussianBlur(noise, (0, 0), s) * s * 30 for s in (1.5, 4, 9))
    return np.repeat(np.clip(128 + np.asarray(grey), 0, 255).astype(np.uint8)[..., None], 3, 2)


def _mesh(turn: float = 0.0, zoom: float = 1.0) -> Array:
    """Return the neutral mesh in the middle of the picture; turn: radians about the vertical."""
    c, s = np.cos(turn), np.sin(turn)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    mesh = 110 * zoom * canonical.neutral() @ rotation.T
    return np.asarray(mesh + np.array([SIZE / 2, SIZE / 2 - 20, 0]))


def _face(mesh: Array) -> Face:
    face = synthetic.face(mesh)
    assert face.iris is not None
    return replace(face, mesh=mesh.astype(np.float32), iris=face.iris.astype(np.float32))


def _error(face: Face, truth: Array) -> float:
    """Return the mean distance in pixels of the points below the eyes from the truth."""
    assert face.mesh is not None
    return float(np.linalg.norm((face.mesh - truth)[CHEEKS, :2], axis=1).mean())


def _noise(pixels: float, seed: int = 1) -> Array:
    """Return an error of landmarks that changes slowly over the face, (468, 3)."""
    flat = canonical.neutral()[:, :2]
    a, b = np.random.default_rng(seed).normal(0, 1, (2, 2))
    wave = np.stack([np.sin(2 * flat @ a + b[0]), np.cos(2 * flat @ b + a[0])], 1)
    return np.column_stack([pixels * wave, np.zeros(len(flat))])


def _moved(image: Pixels, matrix: Array) -> Pixels:
    return np.asarray(cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC))


def _second(image: Pixels, tracked: Array, change: Any = lambda image: image) -> Face:
    """Return the face of a second frame, tracked with an error, after a first without one."""
    follower = SkinFollower()
    follower.correct(image, [_face(_mesh())], cut=True)
    return follower.correct(change(image), [_face(tracked)], cut=False)[0]


def test_the_first_frame_of_a_track_stays_as_tracked() -> None:
    face = _face(_mesh())
    assert SkinFollower().correct(_skin(), [face], cut=False) == [face]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_error_of_the_landmarks_is_taken_back(seed: int) -> None:
    tracked = _mesh() + _noise(2.0, seed)
    assert _error(_face(tracked), _mesh()) > 1
    assert _error(_second(_skin(), tracked), _mesh()) < 0.3


def test_a_head_that_moves_turns_and_grows_is_followed() -> None:
    image, centre = _skin(), (SIZE / 2, SIZE / 2)
    matrix = cv2.getRotationMatrix2D(centre, 7, 1.1) + np.array([[0, 0, 9.3], [0, 0, -6.4]])
    truth = _mesh()
    truth[:, :2] = truth[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    found = _second(image, truth + _noise(1.5), lambda image: _moved(image, matrix))
    assert _error(found, truth) < 0.35


def test_the_mesh_of_an_unchanged_frame_stays() -> None:
    assert _error(_second(_skin(), _mesh()), _mesh()) < 0.01


def test_the_light_may_change() -> None:
    def darken(image: Pixels) -> Pixels:
        return np.asarray(image * 0.6 + 10, np.uint8)

    assert _error(_second(_skin(), _mesh() + _noise(2.0), darken), _mesh()) < 0.35


def test_sixteen_bits_give_what_eight_give() -> None:
    tracked, image = _mesh() + _noise(2.0), _skin()
    wide = _second(image.astype(np.uint16) * 257, tracked).mesh
    narrow = _second(image, tracked).mesh
    assert wide is not None and narrow is not None
    assert np.abs(wide - narrow).max() < 0.05


@pytest.mark.parametrize("value", [0, 255])
def test_what_covers_a_face_moves_nothing_far(value: int) -> None:
    def cover(image: Pixels) -> Pixels:
        covered = image.copy()
        covered[SIZE // 2 :] = value
        return covered

    found = _second(_skin(), _mesh(), cover)
    assert _error(found, _mesh()) < 1.0


def test_skin_without_texture_leaves_the_landmarks() -> None:
    flat = np.full((SIZE, SIZE, 3), 120, np.uint8)
    tracked = _mesh() + _noise(2.0)
    assert _error(_second(flat, tracked), tracked) < 1e-3


def test_points_beyond_the_picture_tell_nothing() -> None:
    """The border of a crop is black there: it would draw the points of the edge."""
    image, shift = _skin(), np.array([0.0, SIZE * 0.42, 0])
    matrix = np.array([[1, 0, 0], [0, 1, shift[1]]])
    truth = _mesh() + shift
    found = _second(image, truth, lambda image: _moved(image, matrix))
    assert _error(found, truth) < 0.3


def test_irises_move_with_their_eyes() -> None:
    tracked = _mesh() + np.array([2.0, 1.0, 0])
    before, after = _face(tracked), _second(_skin(), tracked)
    assert before.iris is not None and after.iris is not None and after.mesh is not None
    assert np.allclose((after.iris - before.iris).mean((0, 1)), (-2, -1), atol=0.4)
    gazes = [canonical.gaze(face.mesh, face.iris) for face in (before, after)]  # type: ignore[arg-type]
    assert np.abs(gazes[0] - gazes[1]).max() < 0.02


def test_eyes_and_lips_stay_as_open_as_they_were_tracked() -> None:
    """The template's eyes are open, and so is its mouth: its pixels do not open others."""
    tracked = _mesh()
    for rims in (topology.LIPS, *topology.LIDS):
        middle = (tracked[rims.upper] + tracked[rims.lower]) / 2
        tracked[rims.upper] = tracked[rims.lower] = middle
    found = _second(_skin(), tracked + _noise(1.0)).mesh
    assert found is not None
    for rims in (topology.LIPS, *topology.LIDS):
        assert np.abs((found - tracked - _noise(1.0))[rims.upper, 1]).max() > 0.2  # they do move
        gap = (found[rims.lower] - found[rims.upper]) - (
            _noise(1.0)[rims.lower] - _noise(1.0)[rims.upper]
        )
        assert np.abs(gap[:, :2]).max() < 0.05


def test_a_cut_begins_anew() -> None:
    follower, tracked = SkinFollower(), _face(_mesh() + _noise(2.0))
    follower.correct(_skin(), [_face(_mesh())], cut=True)
    assert follower.correct(_skin(), [tracked], cut=True) == [tracked]


def test_a_head_beyond_its_templates_becomes_one_that_agrees_with_them() -> None:
    """Two frames of a larger head have one error at most, which is that of the first template."""
    image, follower = _skin(), SkinFollower()
    larger = np.asarray(cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2 - 20), 0, 1.5), np.float64)
    follower.correct(image, [_face(_mesh())], cut=True)
    big = _moved(image, larger)
    for seed in (1, 2):
        found = follower.correct(big, [_face(_mesh(zoom=1.5) + _noise(2.0, seed))], cut=False)[0]
        assert _error(found, _mesh(zoom=1.5)) < 0.6


def test_a_doubtful_face_is_no_template() -> None:
    follower, image = SkinFollower(), _skin()
    follower.correct(image, [replace(_face(_mesh()), logit=9.0)], cut=True)
    tracked = _face(_mesh() + _noise(2.0))
    assert follower.correct(image, [tracked], cut=False) == [tracked]


def test_each_face_has_templates_of_its_own() -> None:
    follower, image = SkinFollower(), _skin()
    follower.correct(image, [_face(_mesh())], cut=True)
    other = replace(_face(_mesh() + _noise(2.0)), track=1)
    assert follower.correct(image, [other], cut=False) == [other]


def test_a_head_that_turns_finds_the_template_of_its_pose() -> None:
    """Each pose shows another picture here: the template of the other one would lead astray."""
    follower, poses = SkinFollower(), [(_skin(), 0.0), (_skin(5), 0.3)]
    for image, turn in poses:
        follower.correct(image, [_face(_mesh(turn))], cut=False)
    settled = follower.correct(poses[1][0], [_face(_mesh(0.3))], cut=False)[0]
    for (image, turn), truth in zip(poses, (_face(_mesh()), settled), strict=True):
        found = follower.correct(image, [_face(_mesh(turn) + _noise(2.0))], cut=False)[0]
        assert truth.mesh is not None
        assert _error(found, truth.mesh.astype(np.float64)) < 0.4


def test_the_template_that_was_not_used_for_longest_goes_first() -> None:
    """With eight further poses the first one is gone, and becomes a template as tracked."""
    image, tracked = _skin(), _face(_mesh() + _noise(2.0))
    for turns, kept in ((6, True), (8, False)):
        follower = SkinFollower()
        follower.correct(image, [_face(_mesh())], cut=True)
        for step in range(1, turns + 1):
            other = _face(_mesh(zoom=1.45**step / (1.45**9)))
            follower.correct(np.zeros_like(image), [other], cut=False)
        found = follower.correct(image, [tracked], cut=False)[0]
        assert (_error(found, _mesh()) < 0.3) == kept


def test_many_faces_are_followed_and_those_that_left_are_forgotten() -> None:
    follower, image = SkinFollower(), _skin()
    tracks = range(20)
    follower.correct(image, [replace(_face(_mesh()), track=n) for n in tracks], cut=True)
    noisy = [replace(_face(_mesh() + _noise(2.0)), track=n) for n in tracks]
    assert max(_error(face, _mesh()) for face in follower.correct(image, noisy, cut=False)) < 0.3
    for n in range(20, 60):
        follower.correct(image, [replace(_face(_mesh()), track=n)], cut=False)
    assert follower.correct(image, noisy[:1], cut=False) == noisy[:1]
