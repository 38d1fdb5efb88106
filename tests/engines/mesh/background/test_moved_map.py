"""Motion of the whole person by whole pixels, as a part of a frame's map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh.background.test_shifting import close_up
from thcli.core.types import Array32, Image
from thcli.engines.mesh import compose, picture
from thcli.engines.mesh.background.edges import sample_person
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.background.moved_map import move_map
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.warp import WarpMap

STEP = 6  # pixels per sample


def layers_of_close_up() -> tuple[Image, MatteLayers]:
    """Draw a picture and its layers; the person is cut off by three edges."""
    image, plate, alpha = close_up()
    colour = cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)
    person = np.dstack([colour, alpha])
    return compose.lay_over(person, plate), MatteLayers.of(person, plate)


def map_of(displacement: Array32, x0: int, y0: int) -> WarpMap:
    """Return a map without a face; displacement: (rows, columns, 2) pixels."""
    rows, columns = displacement.shape[:2]
    grid = SampleGrid(x0, y0, STEP, columns, rows)
    outside = np.full((rows, columns), -1, np.int32)
    return WarpMap(grid, displacement, grid, outside, np.zeros((rows, columns), np.float32))


def shift_whole(layers: MatteLayers, x: int, y: int) -> Image:
    """Shift a person by sampling every pixel at its own position."""
    height, width = layers.plate.shape[:2]
    positions = np.empty((height, width, 2), np.float32)
    positions[..., 0], positions[..., 1] = np.arange(width) - x, (np.arange(height) - y)[:, None]
    return compose.lay_over(sample_person(layers.person, positions), layers.plate)


@pytest.mark.parametrize("x, y", [(8, -3), (-29, 41), (131, 0), (-300, -200), (600, 0), (0, -400)])
def test_a_person_at_rest_is_copied_where_it_moves_to(x: int, y: int) -> None:
    image, layers = layers_of_close_up()
    still = map_of(np.zeros((20, 30, 2), np.float32), 96, 60)
    height, width = image.shape[:2]
    moved = move_map(still, (x, y), (width, height))
    assert np.array_equal(compose.render(image, layers, moved), shift_whole(layers, x, y))


def test_a_warped_person_is_that_of_a_person_at_its_place() -> None:
    image, layers = layers_of_close_up()
    rows, columns = np.mgrid[:30, :40].astype(np.float32)
    bump = np.sin(np.pi * rows / 29) * np.sin(np.pi * columns / 39)
    warped = map_of(np.dstack([7 * bump, -5 * bump]).astype(np.float32), 90, 60)
    there = compose.render(image, layers, warped)
    moved = compose.render(image, layers, move_map(warped, (37, 20), image.shape[1::-1]))
    opaque = cv2.erode(layers.person[..., 3], np.ones((21, 21))) == 255
    opaque[:, -37:] = opaque[-20:] = False
    shown = np.roll(opaque, (20, 37), (0, 1))
    difference = np.abs(moved[shown].astype(int) - there[opaque])
    assert (there[opaque] != image[opaque]).any() and (difference > 1).mean() < 5e-3


def test_the_displacement_goes_on_beyond_the_map() -> None:
    image, layers = layers_of_close_up()
    height, width = image.shape[:2]
    grid = -(-height // STEP) + 2, -(-width // STEP) + 2
    leaning = map_of(np.full((*grid, 2), (4, 0), np.float32), -STEP, -STEP)
    moved = compose.render(image, layers, move_map(leaning, (60, 0), (width, height)))
    assert np.array_equal(moved, shift_whole(layers, 56, 0))


def test_light_beside_a_person_does_not_move_with_it() -> None:
    plate = np.full((90, 150, 3), 40, np.uint8)
    person = np.zeros((90, 150, 4), np.uint8)
    person[30:, 60:90] = (200, 100, 50, 255)
    person[30:, 90:110, :3] = 80  # brighter than the plate, and no part of the person
    layers = MatteLayers.of(person, plate)
    still = map_of(np.zeros((8, 8, 2), np.float32), 60, 30)
    moved = compose.render(
        compose.lay_over(person, plate), layers, move_map(still, (12, 0), (150, 90))
    )
    expected = plate.copy()
    expected[30:, 72:102] = (200, 100, 50)
    assert np.array_equal(moved, expected)


def test_a_large_picture_alone_moves_by_whole_pixels() -> None:
    shift = np.array([6.6, -4.3])
    side = picture.WHOLE_PIXELS
    for width, whole in ((side, None), (side + 1, (7, -4))):
        plate, person = np.zeros((20, width, 3), np.uint8), np.zeros((20, width, 4), np.uint8)
        layers = MatteLayers.of(person, plate)
        assert picture.whole_move(layers, shift) == whole
        assert picture.whole_move(layers, None) is None
    assert picture.whole_move(None, shift) is None


def test_light_beside_a_person_is_lost_as_it_moves() -> None:
    person = np.full((4, 4, 4), 200, np.uint8)
    person[..., 3] = 100
    dark = np.zeros((4, 4, 3), np.uint8)
    shown = [int(compose.lay_over(person, dark, alone)[0, 0, 0]) for alone in (0, 0.25, 0.5, 1)]
    assert shown == [200, 200, pytest.approx(178, abs=1), 100]
    picture = np.zeros((300, 400, 3), np.uint8)
    shares = [compose.moved_share((x, 0.0), picture) for x in (0, 1, 2, 3, 4, 50)]
    assert shares[0] == 0 and shares[-2:] == [1, 1]
    assert shares == sorted(shares)
