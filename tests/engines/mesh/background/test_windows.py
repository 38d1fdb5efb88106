"""Windows of a sample grid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.engines.mesh.background.blocks import LEAST_AREA, MIXED, Block
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import pair

STEP, SIDE = 16, 80


def test_windows_hold_what_the_whole_grid_shows() -> None:
    grid = SampleGrid(-5 * STEP, 3 * STEP, STEP, SIDE, SIDE)
    assert SIDE**2 * STEP**2 >= LEAST_AREA
    samples = np.random.default_rng(2).random((SIDE, SIDE, 3)).astype(np.float32)
    share = np.zeros((SIDE, SIDE), np.float32)
    share[:30, 50:] = 0.5
    samples[..., 2] *= share
    size = (75 * STEP, 70 * STEP)
    whole = cv2.resize(samples, (SIDE * STEP, SIDE * STEP))[: 67 * STEP, 5 * STEP :]
    expected = np.zeros((size[1], size[0], 3), np.float32)
    expected[3 * STEP :] = whole
    found = np.zeros_like(expected)
    area = 0
    for region, values in iterate_windows(samples, share, grid, size):
        assert not found[region].any()
        found[region] = values
        area += values.shape[0] * values.shape[1]
    shown = expected[..., 2] > 0
    np.testing.assert_allclose(found[shown], expected[shown], atol=1e-4)
    assert area < 0.3 * size[0] * size[1]


def test_a_small_grid_is_one_window() -> None:
    grid = SampleGrid(0, 0, 4, 30, 20)
    samples = np.random.default_rng(3).random((20, 30, 2)).astype(np.float32)
    ((region, values),) = iterate_windows(samples, samples[..., 0], grid, (120, 80))
    assert region == (slice(0, 80), slice(0, 120))
    assert np.array_equal(values, cv2.resize(samples, (120, 80)))
    assert not list(iterate_windows(samples, np.zeros((20, 30), np.float32), grid, (9, 9)))


@pytest.mark.parametrize("step", [4, STEP])  # one window, and several
def test_windows_lie_in_a_block_and_hold_what_the_whole_grid_shows_there(step: int) -> None:
    grid = SampleGrid(0, 0, step, SIDE, SIDE)
    samples = np.random.default_rng(5).random((SIDE, SIDE, 2)).astype(np.float32)
    share = np.zeros((SIDE, SIDE), np.float32)
    share[:30, 50:] = 1
    samples[..., 1] = share
    whole = cv2.resize(samples, (SIDE * step, SIDE * step))
    size = SIDE * step, SIDE * step
    rows, columns = slice(25, 41), slice(31, 70)
    inside = slice(25 * step, 41 * step), slice(31 * step, 70 * step)
    found = np.zeros_like(whole)
    block = Block(rows, columns, MIXED)
    for region, values in iterate_windows(samples, share, grid, size, block):
        assert all(
            part.start >= most.start and part.stop <= most.stop
            for part, most in zip(region, inside, strict=True)
        )
        found[region] = values
    shown = whole[inside][..., 1] > 0
    np.testing.assert_allclose(found[inside][shown], whole[inside][shown], atol=1e-4)
    outside = Block(slice(60, 70), columns, MIXED)
    assert not list(iterate_windows(samples, share, grid, size, outside))


def test_a_pair_of_channels_is_contiguous() -> None:
    values = np.random.default_rng(6).random((5, 7, 4)).astype(np.float32)
    found = pair(values, 2)
    assert np.array_equal(found, values[..., 2:]) and found.flags.c_contiguous
