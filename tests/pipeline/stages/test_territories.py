"""Images in which several faces move, and the edge of a person before another background."""

from __future__ import annotations

import numpy as np

from thcli.faces.compositing.person_matte import soft_alpha
from thcli.pipeline.render.territories import divide_image, merge_faces

BOXES = [np.array([10, 20, 30, 45], np.float32), np.array([70, 20, 90, 45], np.float32)]


def test_the_nearest_face_has_the_pixel_and_shares_add_up() -> None:
    left, right = divide_image(BOXES, (100, 60))
    assert np.abs(left + right - 1).max() < 1e-6
    assert left[30, 20, 0] > 0.999 and right[30, 80, 0] > 0.999
    assert abs(float(left[30, 50, 0]) - 0.5) < 0.1
    assert np.diff(left[30, :, 0]).max() <= 1e-6


def test_merged_faces_keep_what_none_of_them_moves_and_do_not_speckle() -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (60, 100, 3), np.uint8)
    first, second = source.copy(), source.copy()
    first[20:45, 5:40] = rng.integers(0, 256, (25, 35, 3), np.uint8)
    second[20:45, 60:95] = 7
    second[20:45, 5:40] = 200  # what the second face's motion drags along of the first
    weights = divide_image(BOXES, (100, 60))
    merged = merge_faces([first, second], weights, source)
    still = np.ones((60, 100), bool)
    still[20:45] = False
    assert np.array_equal(merged[still], source[still])
    assert np.array_equal(merged[20:45, 10:30], first[20:45, 10:30])
    assert np.array_equal(merged[20:45, 70:90], second[20:45, 70:90])


def test_the_edge_of_a_coarse_matte_moves_to_the_images_edge() -> None:
    image = np.full((100, 400, 3), 230, np.uint8)
    image[:, 200:] = 20
    probability = np.tile(np.clip((np.arange(400) - 188) / 24, 0, 1), (100, 1)).astype(np.float32)
    alpha = soft_alpha(image, probability)
    before = np.clip((probability - 0.25) / 0.5, 0, 1)
    truth = np.arange(400) >= 200
    assert np.abs(alpha - truth).mean() < 0.6 * np.abs(before - truth).mean()
    assert alpha.min() == 0 and alpha.max() == 1
