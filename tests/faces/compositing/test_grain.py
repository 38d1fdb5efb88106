"""Film grain: measurement, synthesis, and grain added only where it is missing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import square_crop_matrix
from thcli.core.types import Crop
from thcli.faces.compositing import grain
from thcli.faces.compositing.paste import PasteContext, paste
from thcli.faces.crops.crop import crop

FULL = np.ones((240, 256), np.float32)


def smooth_image(size: tuple[int, int] = (256, 240)) -> Any:
    """Render a cheek: a gradient of light."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([0.4 + 0.3 * x / width, 0.4 + 0.1 * y / height, 0.5 - 0.1 * x / width], -1)


def noisy(
    sigma: float, seed: int = 0, blur: float = 0.0, size: tuple[int, int] = (256, 240)
) -> Any:
    white = np.random.default_rng(seed).normal(0, sigma, (size[1], size[0], 3)).astype(np.float32)
    return smooth_image(size) + (cv2.GaussianBlur(white, (0, 0), blur) if blur else white)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.004, 0.02), st.floats(0.5, 0.74), st.integers(0, 99))
def test_synthesized_grain_is_measured(strength: float, fall: float, seed: int) -> None:
    wanted = strength * np.outer(fall ** np.arange(3), [1, 0.6, 0.5]).astype(np.float32)
    synthetic = smooth_image() + grain.synthesize(wanted, (256, 240), seed, 7)
    flat = grain.find_flat_blocks([synthetic], FULL)
    assert flat is not None
    found = grain.grain_level(synthetic, flat)
    np.testing.assert_allclose(found, wanted, rtol=0.3)


def test_a_smooth_crop_in_a_grainy_clip_gets_its_grain() -> None:
    frames = [noisy(0.02, seed) for seed in range(2)]
    lack = grain.missing_grain(frames[1], smooth_image(), FULL, frames[0])
    assert lack is not None
    added = smooth_image() + grain.synthesize(lack, (256, 240), 0, 1)
    flat = grain.find_flat_blocks([frames[1], added], FULL)
    assert flat is not None
    np.testing.assert_allclose(
        grain.grain_level(added, flat), grain.grain_level(frames[1], flat), rtol=0.25
    )


def test_no_grain_is_added_where_none_is_missing() -> None:
    clip = [noisy(0.02, seed) for seed in range(3)]
    lack = grain.missing_grain(clip[1], clip[2], FULL, clip[0])
    assert lack is None or lack.max() < 0.008  # of .02: two measurements differ by a little
    assert grain.missing_grain(smooth_image(), clip[0], FULL, smooth_image()) is None
    assert grain.missing_grain(smooth_image(), smooth_image(), FULL) is None


def test_constant_texture_is_not_grain() -> None:
    """Pores are the same in both frames. From one image alone, less grain is added."""
    skin = noisy(0.02)
    assert grain.missing_grain(skin, smooth_image(), FULL, skin) is None
    alone = grain.missing_grain(skin, smooth_image(), FULL)
    assert alone is not None and alone.max() <= 0.006 + 1e-6


def test_too_few_blocks_give_no_grain() -> None:
    tiny = np.full((6, 6, 3), 0.5, np.float32)
    assert grain.missing_grain(tiny, tiny, np.ones((6, 6), np.float32)) is None
    assert grain.missing_grain(noisy(0.02), smooth_image(), FULL * 0) is None
    bright = np.ones((240, 256, 3), np.float32)
    assert grain.find_flat_blocks([bright], FULL) is None  # clipped: without noise


def test_grain_depends_on_seed_and_frame() -> None:
    strength = np.full((3, 3), 0.01, np.float32)
    one = grain.synthesize(strength, (700, 600), 5, 11)
    assert one.shape == (600, 700, 3) and abs(float(one.mean())) < 1e-3
    np.testing.assert_array_equal(one, grain.synthesize(strength, (700, 600), 5, 11))
    for other in (
        grain.synthesize(strength, (700, 600), 5, 12),
        grain.synthesize(strength, (700, 600), 6, 11),
    ):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_a_pasted_blurred_crop_has_the_frame_s_grain_and_no_other_brightness() -> None:
    frames = [
        np.clip(noisy(0.02, s, size=(400, 400)) * 255, 0, 255).astype(np.uint8) for s in range(2)
    ]
    placement = Crop(square_crop_matrix([200, 200], 256, 0.2, 256), (256, 256))
    blurred = cv2.GaussianBlur(crop(frames[1], placement), (0, 0), 4)
    plain, grainy = (
        paste(
            frames[1],
            blurred,
            placement,
            context=PasteContext(grain_key=key, previous_frame=frames[0]),
        )
        for key in (None, (0, 1))
    )
    middle = (slice(150, 250), slice(150, 250))

    def roughness(image: Any) -> float:
        pixels = image.astype(np.float32)
        return float((pixels - cv2.GaussianBlur(pixels, (0, 0), 1.5))[middle].std())

    assert roughness(plain) < 0.3 * roughness(frames[1])
    assert roughness(grainy) == pytest.approx(roughness(frames[1]), rel=0.2)
    assert abs(float(grainy[middle].mean()) - float(plain[middle].mean())) < 0.5
