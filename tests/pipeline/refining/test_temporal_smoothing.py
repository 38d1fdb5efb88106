"""Changes calmed in time: what is steady stays, what flickers gets less, nothing comes from another scene or another thing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.types import Array32, Image
from thcli.pipeline.refining.temporal_smoothing import Change, calmed

SIDE = 64
_SMOOTH = cv2.GaussianBlur(
    np.random.default_rng(2).random((SIDE, 3 * SIDE, 3)).astype(np.float32), (0, 0), 2.0
)
WALL: Image = np.asarray(cv2.normalize(_SMOOTH, None, 0, 255, cv2.NORM_MINMAX), np.uint8)  # type: ignore[call-overload]  # its stub wants an array


def seen(shift: int = 0, level: float = 0.1, scene: int = 0) -> Change:
    """A wall that has moved by `shift` pixels, changed all over by a level."""
    picture = np.ascontiguousarray(WALL[:, SIDE + shift : 2 * SIDE + shift])
    return Change(picture, np.full((SIDE, SIDE, 4), level, np.float32), scene)


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 0.5), st.integers(1, 5), st.integers(0, 4))
def test_what_is_steady_stays(level: float, count: int, middle: int) -> None:
    found = calmed([seen(2 * i, level) for i in range(count)], min(middle, count - 1))
    assert found == pytest.approx(np.full_like(found, level), abs=1e-5)


def test_what_flickers_gets_less() -> None:
    levels = np.random.default_rng(5).normal(0, 0.1, 12)
    around = [seen(i, level) for i, level in enumerate(levels)]
    means = [float(calmed(around[max(i - 2, 0) : i + 3], min(i, 2)).mean()) for i in range(12)]
    assert np.std(np.diff(means)) < 0.65 * np.std(np.diff(levels))


def test_a_change_goes_along_with_what_it_is_on() -> None:
    """A spot that sits on the wall, which moves by 4 pixels a frame, stays a spot."""

    def spotted(i: int) -> Change:
        own = seen(4 * i, 0.0)
        own.change[28:36, 40 - 4 * i : 48 - 4 * i] = 0.4
        return own

    found = calmed([spotted(i) for i in range(5)], 2)[..., 0]
    assert found[30:34, 34:38].min() > 0.3
    assert found[30:34, 20:28].max() < 0.05 and found[30:34, 46:54].max() < 0.05


def test_nothing_comes_from_another_scene_or_over_a_gap() -> None:
    own = seen(0, 0.1)
    for around, middle in (
        ([seen(0, 0.9, 7), own, seen(0, 0.9, 7)], 1),
        ([seen(0, 0.9), None, own, None, seen(0, 0.9)], 2),
        ([own], 0),
    ):
        assert np.array_equal(calmed(around, middle), own.change)


def test_nothing_comes_from_something_else() -> None:
    own, other = seen(0, 0.1), Change(np.ascontiguousarray(255 - WALL[:, :SIDE]), full(0.9), 0)
    assert np.abs(calmed([other, own, other], 1) - own.change).mean() < 0.03


def full(level: float) -> Array32:
    return np.full((SIDE, SIDE, 4), level, np.float32)


def test_a_frame_without_a_change_has_none_to_calm() -> None:
    with pytest.raises(ValueError, match="none to calm"):
        calmed([seen(), None], 1)
