"""Background plate filled with patches, and what of an image counts as background."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32
from thcli.engines.mesh.background import matte, plate
from thcli.engines.mesh.background.plate import fill_plate, push_pull
from thcli.engines.mesh.sampling import distance_to, nearest_to
from thcli.faces.landmarks import topology

FACE = faces.centred_mesh(256, 256)


def _stripes(height: int = 120, width: int = 160) -> Array32:
    """Return upright stripes of 10 pixels, 40 and 200."""
    values = np.where(np.arange(width) // 10 % 2, 200.0, 40.0)
    return np.repeat(np.tile(values, (height, 1))[..., None], 3, 2).astype(np.float32)


def test_texture_goes_on_behind_the_person() -> None:
    image = _stripes()
    hole = np.zeros(image.shape[:2], bool)
    hole[40:, 50:110] = True
    filled = fill_plate(np.where(hole[..., None], 0, image).astype(np.float32), hole)
    assert np.array_equal(filled[~hole], image[~hole])
    contrast, smooth = (fill[hole].mean(-1).std() for fill in (filled, push_pull(image, hole)))
    assert contrast > 50 > 1.5 * smooth  # of 80


def test_a_source_has_one_plate_which_is_searched_once() -> None:
    rng = np.random.default_rng(3)
    noise = rng.uniform(0, 255, (90, 100, 3)).astype(np.float32)
    image = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.float32)
    hole = np.zeros((90, 100), bool)
    hole[30:, 30:70] = True
    first = fill_plate(image, hole)
    plate._search_levels.cache_clear()
    assert np.array_equal(first, fill_plate(image.copy(), hole))
    assert np.array_equal(first, fill_plate(image.copy(), hole))
    assert plate._search_levels.cache_info()[:2] == (1, 1)  # found, and searched
    hole[:30, 40:60] = True
    for other in (image, np.flip(image, 1).copy()):
        kept = fill_plate(other, hole)
        plate._search_levels.cache_clear()
        assert np.array_equal(kept, fill_plate(other, hole))


def test_without_background_the_fill_is_smooth() -> None:
    image = _stripes(60, 60)
    hole = np.ones((60, 60), bool)
    hole[:2] = False
    assert np.array_equal(fill_plate(image, hole), push_pull(image, hole))


def test_what_the_network_was_unsure_of_far_from_the_face_is_background() -> None:
    image = faces.render_face(FACE, 256, 256)
    probability = faces.polygon_mask(FACE[topology.OVAL, :2], 256, 256).astype(np.float32)
    probability[:30, :30] = 0.6
    separated = matte.separate_person(image, probability, FACE)
    assert separated is not None
    layers = separated[0]
    assert layers.person[:28, :28, 3].max() == 0
    assert np.array_equal(layers.plate[:28, :28], image[:28, :28])


def test_black_before_black_is_no_person() -> None:
    image = faces.render_face(FACE, 256, 256)
    image[(image == faces.GROUND).all(-1)] = 0
    probability = faces.polygon_mask(FACE[topology.OVAL, :2], 256, 256).astype(np.float32)
    separated = matte.separate_person(image, probability, FACE)
    assert separated is not None
    assert separated[0].person[:20, :, 3].max() == 0


def test_the_halo_of_a_sharpened_photograph_leaves_the_plate() -> None:
    oval = faces.polygon_mask(FACE[topology.OVAL, :2], 256, 256).astype(np.uint8)
    image = np.full((256, 256, 3), 180, np.uint8)
    image[oval > 0] = (90, 60, 50)
    rim = cv2.dilate(oval, np.ones((5, 5), np.uint8)) - oval
    image[rim > 0] = 184
    separated = matte.separate_person(image, oval.astype(np.float32), FACE)
    assert separated is not None
    layers = separated[0]
    assert np.abs(layers.plate[rim > 0].astype(float) - 180).mean() < 1
    alpha = layers.person[..., 3:].astype(np.float32) / 255
    whole = layers.plate * (1 - alpha) + layers.person[..., :3]
    assert np.abs(whole - image).max() <= 1


def test_no_line_of_the_person_stays_in_the_plate() -> None:
    image = np.full((256, 256, 3), 245, np.uint8)
    head = faces.polygon_mask(FACE[topology.OVAL, :2], 256, 256, 8)
    image[head] = 40
    separated = matte.separate_person(image, head.astype(np.float32), FACE)
    assert separated is not None
    assert np.abs(separated[0].plate.astype(int) - 245).max() <= 2


def test_copies_of_another_thing_do_not_stand_beside_the_background() -> None:
    """A curtain that was copied before a window fades in with depth; like copies stay."""
    hole = np.zeros((200, 200), bool)
    hole[40:160, 40:160] = True
    window, curtain = np.array([180.0, 210.0, 220.0]), np.array([150.0, 40.0, 40.0])
    image = np.where(hole[..., None], curtain, window).astype(np.float32)
    out = plate._continue_rim(image, hole)
    assert np.array_equal(out[~hole], image[~hole])
    assert np.abs(out[41:43, 60:140] - window).max() < 12
    assert np.array_equal(out[70:130, 70:130], image[70:130, 70:130])
    near = np.where(hole[..., None], window - 2, window).astype(np.float32)
    assert np.array_equal(plate._continue_rim(near, hole), near)


def test_the_nearest_samples_of_a_mask() -> None:
    mask = np.zeros((4, 6), bool)
    mask[1, 1] = mask[3, 5] = True
    distance, nearest = nearest_to(mask)
    assert distance[1, 1] == 0 and distance[1, 3] == pytest.approx(2, abs=0.05)
    assert np.array_equal(np.unique(nearest), np.flatnonzero(mask))
    assert nearest[0, 0] == 7 and nearest[2, 5] == 23
    np.testing.assert_allclose(distance, distance_to(mask), rtol=1e-4)
    distance, nearest = nearest_to(np.zeros((2, 3), bool))
    assert np.isinf(distance).all() and not nearest.any()
