"""Tests of the correction of the jaw by the optical flow of the skin."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from thcli.core.types import Array, Array32, Crop, Face, Image
from thcli.motion.canonical import neutral
from thcli.pipeline.editing.skin_motion import MOST, SkinMotion, fast_part, move_mesh
from thcli.pipeline.editing.smoothed_meshes import follows_head

COUNT, SIDE, RATE = 36, 128, 25.0
MOVES = 0.8  # pixels a frame of the smooth path; the picture moves in every second frame


def face_at(x: float) -> Face:
    mesh = (neutral() * 30 + (SIDE / 2 + x, SIDE / 2 - 10, 0)).astype(np.float32)
    return Face(np.array([30, 20, 100, 110], np.float32), 1.0, mesh=mesh)


def picture_at(x: float) -> Image:
    noise = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    soft = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    return np.asarray(
        cv2.warpAffine(
            soft, np.array([[1, 0, x], [0, 1, 0]]), (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT
        ),
        np.uint8,
    )


def corrected(scenes: Sequence[int], missing: int = -1) -> tuple[Array, list[Array32]]:
    """Return the paths of the chin, and the corrections."""
    with SkinMotion() as log:
        faces = []
        for i in range(COUNT):
            faces.append(face_at(MOVES * i - 14))
            image = picture_at(2 * MOVES * (i // 2) - 14)
            known = None if i == missing else faces[-1]
            log.add(known, image, Crop(np.eye(3), (SIDE, SIDE)), i / RATE, scenes[i])
        corrections = list(log.corrections())
        assert len(list(log.corrections())) == COUNT  # may be read again
    meshes = [move_mesh(f, c).mesh for f, c in zip(faces, corrections, strict=True)]
    return np.array([mesh[152, 0] for mesh in meshes if mesh is not None]), corrections


def test_the_jaw_rests_in_repeated_frames() -> None:
    path, _ = corrected([0] * COUNT)
    steps = np.diff(path[6:-6])
    assert np.abs(steps[1::2]).mean() < 0.35 * MOVES or np.abs(steps[::2]).mean() < 0.35 * MOVES
    assert path[-8] - path[8] == pytest.approx(MOVES * (COUNT - 16), abs=2.5)


def test_nothing_crosses_a_scene_or_a_frame_without_the_face() -> None:
    _, corrections = corrected(range(COUNT))
    assert all(np.allclose(one, 0, atol=1e-6) for one in corrections)
    _, corrections = corrected([0] * COUNT, missing=18)
    assert np.all(corrections[18] == 0)


def test_scattered_errors_count_less() -> None:
    """A flow that disagrees with the mesh differently at every point is not trusted."""
    rng = np.random.default_rng(0)
    errors = np.zeros((COUNT, 468, 2), np.float32)
    errors[18] = 0.03
    seconds, known, scenes = np.arange(COUNT) / RATE, np.ones(COUNT, bool), np.zeros(COUNT, int)
    even = fast_part(errors, seconds, known, scenes)
    errors[18] += rng.normal(0, 0.05, (468, 2))
    scattered = fast_part(errors, seconds, known, scenes)
    assert np.abs(even).max() > 5 * np.abs(np.median(scattered, 1)).max()
    assert np.abs(scattered).max() <= MOST


def test_the_upper_face_stays() -> None:
    moved = move_mesh(face_at(0), np.full((468, 2), 0.03, np.float32)).mesh
    plain = face_at(0).mesh
    assert moved is not None and plain is not None
    kept = follows_head() == 1
    assert kept.any() and np.array_equal(moved[kept], plain[kept])
    assert (moved[152, :2] > plain[152, :2]).all()
