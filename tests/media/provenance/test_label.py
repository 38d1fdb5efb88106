"""Visible label."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.media.provenance.label import Label

SIZES = [(16, 16), (64, 48), (128, 128), (256, 256), (512, 384), (720, 1280), (1920, 1080)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_letters_are_readable_on_any_picture(size: tuple[int, int], level: int) -> None:
    frame = np.full((size[1], size[0], 3), level, np.uint8)
    label = Label(size)
    x0, y0, x1, y1 = label.box
    inside = label(frame)[y0:y1, x0:x1].astype(int)
    assert inside.max() - inside.min() > 100  # letters against their box
    assert y1 - y0 >= min(12, size[1])


@pytest.mark.parametrize("size", SIZES)
def test_only_the_lower_left_corner_changes(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    before = frame.copy()
    label = Label(size)
    x0, y0, x1, y1 = label.box
    changed = (label(frame) != frame).any(2)
    np.testing.assert_array_equal(frame, before)
    changed[y0:y1, x0:x1] = False
    assert not changed.any()
    if min(size) >= 256:
        assert x1 <= size[0] * 0.42 and y0 >= size[1] * 0.9


def test_deep_frames_have_the_same_label() -> None:
    frame = np.full((256, 256, 3), 100, np.uint8)
    deep = Label((256, 256))(frame.astype(np.uint16) * 257)
    assert np.abs(deep / 257 - Label((256, 256))(frame)).max() < 1
