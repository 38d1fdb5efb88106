"""Subsampling of images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thcli.core.imaging import subsample


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 9),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_every_nth_pixel(
    height: int, width: int, step: int, kind: type[np.uint8 | np.uint16]
) -> None:
    random = np.random.default_rng(height * 61 + width).integers(0, 255, (height, width, 3))
    image = np.asarray(random, kind)
    if min(height, width) < step:
        return
    out = subsample(image, step)
    own = max(step, 1)
    assert out.dtype == kind
    assert np.array_equal(out, image[::own, ::own][: height // own, : width // own])


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_view_of_an_image(step: int) -> None:
    image = np.arange(100 * 90 * 3, dtype=np.uint16).reshape(100, 90, 3)
    assert np.array_equal(
        subsample(image[5:75, 10:80], step),
        image[5:75, 10:80][::step, ::step][: 70 // step, : 70 // step],
    )
