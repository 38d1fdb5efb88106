"""Shift of a person over the plate, in blocks that are filtered."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import shifting
from thcli.engines.mesh.background.edges import sample_person

HEIGHT, WIDTH = 330, 420  # pixels: blocks of every kind


def close_up() -> tuple[Image, Image, Image]:
    """Draw a picture, a plate and the alpha of a person whom three edges cut off."""
    generator = np.random.default_rng(11)
    noise = generator.integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    image, plate = (np.asarray(cv2.GaussianBlur(one, (0, 0), 2), np.uint8) for one in noise)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(alpha, (190, 100), (80, 130), 0, 0, 360, (255,), -1)
    cv2.rectangle(alpha, (0, 200), (WIDTH, HEIGHT), (255,), -1)
    return image, plate, np.asarray(cv2.GaussianBlur(alpha, (0, 0), 4), np.uint8)


def sample_whole(image: Image, plate: Image, alpha: Image, x: float, y: float) -> Image:
    """Shift by sampling every pixel at its own position."""
    colour = cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)
    person = np.dstack([colour, alpha])
    positions = np.empty((HEIGHT, WIDTH, 2), np.float32)
    positions[..., 0], positions[..., 1] = np.arange(WIDTH) - x, (np.arange(HEIGHT) - y)[:, None]
    return compose.lay_over(sample_person(person, positions, cv2.INTER_CUBIC), plate)


@pytest.mark.parametrize(
    "x, y", [(3.4375, -1.21875), (-17.625, 9.0), (0.0, -28.40625), (30.25, 41.03125), (500.0, 0.0)]
)
def test_a_shift_samples_every_pixel_at_its_place(x: float, y: float) -> None:
    image, plate, alpha = close_up()
    shifted = shifting.shift_person(image, plate, alpha, np.array([x, y]))
    expected = sample_whole(image, plate, alpha, x, y)
    difference = np.abs(shifted.astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001


def test_whole_pixels_are_shifted_exactly() -> None:
    image, plate, alpha = close_up()
    alpha[:] = 255
    shifted = shifting.shift_person(image, plate, alpha, np.array([7.0, -5.0]))
    assert np.array_equal(shifted[:-5, 7:], image[5:, :-7])


def test_a_large_picture_is_shifted_by_whole_pixels() -> None:
    width, height, shift = shifting.WHOLE_PIXELS + 1, 40, np.array([6.6, -4.3])
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    plate, alpha = np.zeros_like(image), np.full((height, width), 255, np.uint8)
    alpha[:, 300:600] = 128
    shifted = shifting.shift_person(image, plate, alpha, shift)
    assert np.array_equal(shifted[:-10, 700:], image[4:-6, 693:-7])
    soft = image[4:-6, 300:600] * (128 / 255)
    assert np.abs(shifted[:-10, 307:607] - soft).max() <= 1
    part = shifting.shift_person(image[:, :900], plate[:, :900], alpha[:, :900], shift)
    assert not np.array_equal(part[:-10, 700:], image[4:-6, 693:893])


@pytest.mark.parametrize("x, y", [(8, -3), (-290, 41), (900, 0), (3000, 0), (0, -400)])
def test_a_large_picture_is_copied_where_its_person_moves_to(x: int, y: int) -> None:
    image, plate, alpha = (np.tile(one, (1, 7) + (1,) * (one.ndim - 2)) for one in close_up())
    shifted = shifting.shift_person(image, plate, alpha, np.array([x, y]))
    height, width = alpha.shape
    margin = shifting.REACH
    rows, columns = (
        np.arange(max(margin, margin + n), side - margin + min(n, 0))
        for n, side in zip((y, x), (height, width), strict=True)
    )
    shown, there = np.ix_(rows, columns), np.ix_(rows - y, columns - x)
    opaque = alpha[there][..., None] / 255
    expected = opaque * image[there] + (1 - opaque) * plate[shown]
    assert np.abs(shifted[shown] - expected).max(initial=0) <= 1
    assert np.array_equal(shifted[shown][opaque[..., 0] == 1], image[there][opaque[..., 0] == 1])


@pytest.mark.parametrize("x, y", [(7.0, 0.0), (-17.625, 9.0), (4.25, -28.40625), (500.0, 0.0)])
def test_a_person_that_is_cut_out_is_shifted_as_one_over_a_plate(x: float, y: float) -> None:
    image, plate, alpha = close_up()
    colour = cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)
    shifted = shifting.shift_cut_out(np.dstack([colour, alpha]), np.array([x, y]))
    expected = sample_whole(image, np.zeros_like(plate), alpha, x, y)
    difference = np.abs(shifted[..., :3].astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001
