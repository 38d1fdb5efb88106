"""Tests of the warp of crops from their landmarks to others."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.editors.dva.motion import fit_displacements, warp_to_landmarks

SIZE = 64


def dots(points: Array32) -> Image:
    """Return a grey image with a soft white dot at each point."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    out = np.full((SIZE, SIZE), 60.0)
    for at in points.reshape(-1, 2) * SIZE:
        out += 180 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)
    return np.repeat(out.clip(0, 255).astype(np.uint8)[..., None], 3, 2)


def points() -> tuple[Array32, Array32]:
    own = np.array([0.3, 0.4, 0.7, 0.4, 0.5, 0.75], np.float32)
    return own, own + np.array([0.03, -0.05, 0.03, -0.05, -0.06, 0.04], np.float32)


def test_what_is_at_a_landmark_comes_to_the_target() -> None:
    own, target = points()
    moved = warp_to_landmarks(dots(own), own, target).astype(int)
    was = np.abs(dots(own).astype(int) - dots(target)).mean()
    assert np.abs(moved - dots(target)).mean() < 0.15 * was
    assert np.abs(moved[[0, -1]] - 60).max() <= 1, "the edges stay"


def test_landmarks_that_do_not_move_change_nothing() -> None:
    own, _ = points()
    image = dots(own)
    assert warp_to_landmarks(image, own, own.copy()) is image


def test_displacements_fade_to_nothing_at_the_edges() -> None:
    field = fit_displacements(np.array([[0.5, 0.5]]), np.array([[0.1, -0.05]], np.float32))
    middle = field[len(field) // 2, len(field) // 2]
    assert middle == pytest.approx((0.1, -0.05), abs=0.01)
    assert max(np.abs(field[edge]).max() for edge in (0, -1)) < 0.01
    assert np.abs(field[:, [0, -1]]).max() < 0.01
