"""Alignment of a background's pixels: a shaded wall without corners, and a walker before a wall."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Image
from thcli.faces.tracking.aligned_pixels import AlignedPixels
from thcli.faces.tracking.camera_motion import EXPLAINED, NOISE
from thcli.faces.tracking.head_motion import Similarity

SIZE = (240, 320)


def wall(motion: Similarity, *, plain: bool = False) -> Image:
    """Show a wall with soft shading, through a camera."""
    y, x = np.mgrid[:240, :320].astype(np.float32)
    moved = motion.inverse().apply(np.stack([x, y], -1))
    shade = 40 * np.sin(moved[..., 0] / 60) + 30 * np.sin(moved[..., 1] / 50)
    return np.asarray(np.clip(130 + shade * (not plain), 0, 255), np.uint8)


def walker(image: Image, x: int) -> Image:
    out = image.copy()
    cv2.rectangle(out, (x, 60), (x + 80, 239), 30, -1)
    return out


def region(x: int) -> np.ndarray:
    out = np.ones(SIZE, np.bool_)
    out[50:, x - 10 : x + 90] = False
    return out


def test_soft_shading_shows_a_camera_without_corners() -> None:
    true = Similarity(1.05 + 0.01j, 30 - 4j)
    pixels = AlignedPixels.of(walker(wall(Similarity()), 100), region(100))
    assert pixels is not None
    found = pixels.align(walker(wall(true), 140), [Similarity(), Similarity(1, 24)], NOISE)
    assert found is not None
    motion, seen, _, rest = found
    corners = np.array([(0, 0), (320, 0), (0, 240), (320, 240)], np.float64)
    assert np.abs(motion.apply(corners) - true.apply(corners)).max() < 1.5
    assert seen < EXPLAINED * (rest - NOISE)


def test_a_walker_before_a_plain_wall_is_no_camera() -> None:
    still = wall(Similarity(), plain=True)
    pixels = AlignedPixels.of(walker(still, 100), region(100))
    assert pixels is not None
    found = pixels.align(walker(still, 150), [Similarity(), Similarity(1, 50)], NOISE)
    assert found is None or not found[1] < EXPLAINED * (found[3] - NOISE)


def test_a_small_region_has_no_pixels_to_align() -> None:
    nothing = np.zeros(SIZE, np.bool_)
    nothing[:40, :40] = True
    assert AlignedPixels.of(wall(Similarity()), nothing) is None


def test_a_background_that_is_as_it_was_needs_no_alignment() -> None:
    pixels = AlignedPixels.of(wall(Similarity()), np.ones(SIZE, np.bool_))
    assert pixels is not None
    brighter = np.asarray(wall(Similarity()) + 6, np.uint8)  # exposure is no motion
    assert pixels.align(brighter, [Similarity()], NOISE) is None
    moved = wall(Similarity(1, 9))
    assert pixels.align(moved, [Similarity()], NOISE) is not None
    assert pixels.align(moved, [Similarity()], 255.0) is None
