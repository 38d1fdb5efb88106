"""Shift of a person over the plate, in blocks that are filtered."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Array, Image
from thcli.engines.mesh import compose
from thcli.engines.mesh.background import shifting
from thcli.engines.mesh.background.edges import sample_mirrored

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


def stretched(side: int, shift: float) -> Array:
    """Return the positions that the pixels of an axis show after a shift."""
    pixels = np.arange(side, dtype=np.float64)
    if shift < 0:
        return np.asarray(side - 1 - stretched(side, -shift)[::-1])
    width = shifting.SPREAD * shift
    share = np.clip(pixels / max(width, 1e-6), 0, 1)
    return np.asarray(pixels - shift + shift * (1 - share) ** 2)


def sample_whole(image: Image, plate: Image, alpha: Image, x: float, y: float) -> Image:
    """Shift by sampling every pixel at its own position."""
    colour = cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)
    person = np.dstack([colour, alpha])
    positions = np.empty((HEIGHT, WIDTH, 2), np.float32)
    positions[..., 0], positions[..., 1] = stretched(WIDTH, x), stretched(HEIGHT, y)[:, None]
    return compose.lay_over(sample_mirrored(person, positions, cv2.INTER_CUBIC), plate)


@pytest.mark.parametrize("shift", [0.0, 0.03125, 0.5, -2.75, 31.25, -140.5, 600.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_what_is_shown_begins_at_the_edge_and_keeps_its_order(shift: float, axis: int) -> None:
    image, plate, alpha = close_up()
    alpha[:] = 255
    ramp = np.linspace(0, 255, image.shape[axis]).round().astype(np.uint8)
    image[:] = np.expand_dims(ramp, (1 - axis, 2))
    by = np.zeros(2)
    by[1 - axis] = shift
    shown = shifting.shift_person(image, plate, alpha, by).mean((1 - axis, 2))
    assert shown[0 if shift >= 0 else -1] == pytest.approx(0 if shift >= 0 else 255, abs=1)
    assert (np.diff(shown) >= -1e-6).all()


@pytest.mark.parametrize(
    "x, y", [(4.4375, -1.21875), (-17.625, 9.0), (0.0, -28.40625), (30.25, 41.03125), (500.0, 0.0)]
)
def test_a_shift_samples_every_pixel_at_its_place(x: float, y: float) -> None:
    image, plate, alpha = close_up()
    shifted = shifting.shift_person(image, plate, alpha, np.array([x, y]))
    expected = sample_whole(image, plate, alpha, x, y)
    difference = np.abs(shifted.astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001


def test_what_a_matte_half_takes_for_the_person_changes_gradually() -> None:
    image, plate, alpha = close_up()
    image[:], plate[:], alpha[60:200, 60:300] = 200, 40, 153
    reach = compose.LEFT_BEHIND * WIDTH
    shown = [
        float(shifting.shift_person(image, plate, alpha, np.array([x, 0.0]))[130, 180, 0])
        for x in np.linspace(0.06, 1.1 * reach, 12)
    ]
    assert shown[0] == pytest.approx(200, abs=2)
    assert shown[-1] == pytest.approx(0.6 * 200 + 0.4 * 40, abs=2)
    assert 0 <= -np.diff(shown).min() < 20
    assert np.diff(shown).max() <= 1


def test_what_the_person_covers_does_not_stay_behind_it() -> None:
    image, plate, alpha = close_up()
    image[:], plate[:], alpha[:] = 200, 40, 0
    alpha[:, 100:200] = 255
    image[alpha == 0] = 40
    shown = shifting.shift_person(image, plate, alpha, np.array([2.0, 0.0]))
    assert np.array_equal(shown[20:-20, 100:102], plate[20:-20, 100:102])


def test_no_outline_stays_behind_a_head_that_has_turned_by_itself() -> None:
    _, plate, alpha = close_up()
    image, plate[:], alpha[:] = np.full_like(plate, 20), 200, 0
    alpha[:, 100:200] = 255
    alpha[:, 200:206] = 100  # soft edge
    image[:, 206:] = 200
    by = np.array([-2.0, 0.0])
    turned = np.zeros_like(alpha)
    turned[: HEIGHT // 2] = 255
    shown = shifting.shift_person(image, plate, alpha, by, turned)
    upper, lower = shown[20, 190:260, 0].astype(int), shown[-20, 190:260, 0].astype(int)
    assert upper[14:].tolist() == [200] * 56 and lower[14:16].max() < 190
    assert np.array_equal(shown[-20], shifting.shift_person(image, plate, alpha, by)[-20])


def test_whole_pixels_are_shifted_exactly() -> None:
    image, plate, alpha = close_up()
    alpha[:] = 255
    shifted = shifting.shift_person(image, plate, alpha, np.array([7.0, -5.0]))
    assert np.array_equal(shifted[:-15, 21:], image[5:-10, 14:-7])


@pytest.mark.parametrize("x, y", [(7.0, 0.0), (-17.625, 9.0), (4.25, -28.40625), (500.0, 0.0)])
def test_a_person_that_is_cut_out_is_shifted_as_one_over_a_plate(x: float, y: float) -> None:
    image, plate, alpha = close_up()
    colour = cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)
    shifted = shifting.shift_cut_out(np.dstack([colour, alpha]), np.array([x, y]))
    expected = sample_whole(image, np.zeros_like(plate), alpha, x, y)
    difference = np.abs(shifted[..., :3].astype(int) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 0.001
