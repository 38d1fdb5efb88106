"""Grain: measured as it was made, given only where it lacks, the same for the same seed and frame."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import rotated_square
from thcli.core.types import Crop
from thcli.faces.compositing import grain
from thcli.faces.compositing.paste import paste
from thcli.faces.crops.crop import crop

FULL = np.ones((240, 256), np.float32)


def smooth_picture(size: tuple[int, int] = (256, 240)) -> Any:
    """A cheek: light that falls off."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([0.4 + 0.3 * x / width, 0.4 + 0.1 * y / height, 0.5 - 0.1 * x / width], -1)


def noisy(
    sigma: float, seed: int = 0, blur: float = 0.0, size: tuple[int, int] = (256, 240)
) -> Any:
    white = np.random.default_rng(seed).normal(0, sigma, (size[1], size[0], 3)).astype(np.float32)
    return smooth_picture(size) + (cv2.GaussianBlur(white, (0, 0), blur) if blur else white)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.004, 0.02), st.floats(0.5, 0.74), st.integers(0, 99))
def test_what_is_made_is_measured(strength: float, fall: float, seed: int) -> None:
    wanted = strength * np.outer(fall ** np.arange(3), [1, 0.6, 0.5]).astype(np.float32)
    made = smooth_picture() + grain.make(wanted, (256, 240), seed, 7)
    flat = grain.flat_blocks([made], FULL)
    assert flat is not None
    found = grain.level(made, flat)
    np.testing.assert_allclose(found, wanted, rtol=0.3)


def test_a_smooth_crop_in_a_grainy_film_gets_its_grain() -> None:
    frames = [noisy(0.02, seed) for seed in range(2)]
    lack = grain.missing(frames[1], smooth_picture(), FULL, frames[0])
    assert lack is not None
    added = smooth_picture() + grain.make(lack, (256, 240), 0, 1)
    flat = grain.flat_blocks([frames[1], added], FULL)
    assert flat is not None
    np.testing.assert_allclose(grain.level(added, flat), grain.level(frames[1], flat), rtol=0.25)


def test_nothing_is_given_where_nothing_lacks() -> None:
    film = [noisy(0.02, seed) for seed in range(3)]
    lack = grain.missing(film[1], film[2], FULL, film[0])
    assert lack is None or lack.max() < 0.008  # of .02: two measurements differ by a little
    assert grain.missing(smooth_picture(), film[0], FULL, smooth_picture()) is None
    assert grain.missing(smooth_picture(), smooth_picture(), FULL) is None


def test_texture_that_stays_is_no_grain() -> None:
    """Pores: the same in both frames. One picture alone does not tell, and then less is given."""
    skin = noisy(0.02)
    assert grain.missing(skin, smooth_picture(), FULL, skin) is None
    alone = grain.missing(skin, smooth_picture(), FULL)
    assert alone is not None and alone.max() <= 0.006 + 1e-6


def test_too_little_to_measure_gives_nothing() -> None:
    tiny = np.full((6, 6, 3), 0.5, np.float32)
    assert grain.missing(tiny, tiny, np.ones((6, 6), np.float32)) is None
    assert grain.missing(noisy(0.02), smooth_picture(), FULL * 0) is None
    bright = np.ones((240, 256, 3), np.float32)
    assert grain.flat_blocks([bright], FULL) is None  # clipped: no noise to be seen


def test_grain_belongs_to_seed_and_frame() -> None:
    strength = np.full((3, 3), 0.01, np.float32)
    one = grain.make(strength, (700, 600), 5, 11)
    assert one.shape == (600, 700, 3) and abs(float(one.mean())) < 1e-3
    np.testing.assert_array_equal(one, grain.make(strength, (700, 600), 5, 11))
    for other in (grain.make(strength, (700, 600), 5, 12), grain.make(strength, (700, 600), 6, 11)):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_a_pasted_blurred_crop_has_the_frame_s_grain_and_no_other_brightness() -> None:
    frames = [
        np.clip(noisy(0.02, s, size=(400, 400)) * 255, 0, 255).astype(np.uint8) for s in range(2)
    ]
    where = Crop(rotated_square([200, 200], 256, 0.2, 256), (256, 256))
    blurred = cv2.GaussianBlur(crop(frames[1], where), (0, 0), 4)
    plain, grainy = (
        paste(frames[1], blurred, where, grain_from=g, previous=frames[0]) for g in (None, (0, 1))
    )
    middle = (slice(150, 250), slice(150, 250))

    def rough(picture: Any) -> float:
        return float(
            (
                picture.astype(np.float32)
                - cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1.5)
            )[middle].std()
        )

    assert rough(plain) < 0.3 * rough(frames[1])
    assert rough(grainy) == pytest.approx(rough(frames[1]), rel=0.2)
    assert abs(float(grainy[middle].mean()) - float(plain[middle].mean())) < 0.5
