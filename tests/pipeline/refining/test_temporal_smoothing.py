"""Temporal smoothing of changes: constant ones stay, flicker is reduced, scenes are kept apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.types import Array32, Image
from thcli.pipeline.refining.temporal_smoothing import CropChange, smooth_change

SIDE = 64
_SMOOTH = cv2.GaussianBlur(
    np.random.default_rng(2).random((SIDE, 3 * SIDE, 3)).astype(np.float32), (0, 0), 2.0
)
WALL: Image = np.asarray(cv2.normalize(_SMOOTH, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]  # its stub wants an array


def change(shift: int = 0, level: float = 0.1, scene: int = 0) -> CropChange:
    """Return a constant change of a wall that has moved by `shift` pixels."""
    image = np.ascontiguousarray(WALL[:, SIDE + shift : 2 * SIDE + shift])
    return CropChange(image, np.full((SIDE, SIDE, 4), level, np.float32), scene)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 0.5), st.integers(1, 5), st.integers(0, 4))
def test_a_constant_change_stays(level: float, count: int, middle: int) -> None:
    found = smooth_change([change(2 * i, level) for i in range(count)], min(middle, count - 1))
    assert found == pytest.approx(np.full_like(found, level), abs=1e-5)


def test_flicker_is_reduced() -> None:
    levels = np.random.default_rng(5).normal(0, 0.1, 12)
    around = [change(i, level) for i, level in enumerate(levels)]
    means = [
        float(smooth_change(around[max(i - 2, 0) : i + 3], min(i, 2)).mean()) for i in range(12)
    ]
    assert np.std(np.diff(means)) < 0.65 * np.std(np.diff(levels))


def test_a_change_moves_with_the_image() -> None:
    """A spot on a wall that moves by 4 px per frame stays a spot."""

    def spotted(i: int) -> CropChange:
        own = change(4 * i, 0.0)
        own.change[28:36, 40 - 4 * i : 48 - 4 * i] = 0.4
        return own

    found = smooth_change([spotted(i) for i in range(5)], 2)[..., 0]
    assert found[30:34, 34:38].min() > 0.3
    assert found[30:34, 20:28].max() < 0.05 and found[30:34, 46:54].max() < 0.05


def test_other_scenes_and_frames_beyond_a_gap_have_no_weight() -> None:
    own = change(0, 0.1)
    for around, middle in (
        ([change(0, 0.9, 7), own, change(0, 0.9, 7)], 1),
        ([change(0, 0.9), None, own, None, change(0, 0.9)], 2),
        ([own], 0),
    ):
        assert np.array_equal(smooth_change(around, middle), own.change)


def test_unlike_images_have_no_weight() -> None:
    own, other = (
        change(0, 0.1),
        CropChange(np.ascontiguousarray(255 - WALL[:, :SIDE]), full(0.9), 0),
    )
    assert np.abs(smooth_change([other, own, other], 1) - own.change).mean() < 0.03


def full(level: float) -> Array32:
    """Return a change of one level everywhere."""
    return np.full((SIDE, SIDE, 4), level, np.float32)


def test_a_frame_without_a_change_is_rejected() -> None:
    with pytest.raises(ValueError, match="no change to smooth"):
        smooth_change([change(), None], 1)
