"""Tests of image metrics: best values, symmetry, known answers, comparison with scikit-image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage import metrics as theirs

from thcli.core.types import Image
from thcli.evaluate.metrics import image

ASTRONAUT: Image = data.astronaut()  # type: ignore[no-untyped-call]  # scikit-image has no types
FACE: Image = np.ascontiguousarray(ASTRONAUT[:192, 130:322])


def add_noise(seed: int, sigma: float, base: Image = FACE) -> Image:
    noise = np.random.default_rng(seed).normal(0, sigma, base.shape)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def make_flat(value: int, side: int = 64) -> Image:
    return np.full((side, side, 3), value, np.uint8)


def shift_face(dx: int, dy: int) -> Image:
    return np.ascontiguousarray(np.roll(FACE, (dy, dx), (0, 1)))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 60))
def test_equal_images_are_best_and_order_does_not_matter(seed: int, sigma: float) -> None:
    a, b = FACE, add_noise(seed, sigma)
    for function, best in (
        (image.l1, 0),
        (image.mean_squared_error, 0),
        (image.ssim, 1),
        (image.ms_ssim, 1),
    ):
        assert function(b, b) == pytest.approx(best, abs=1e-6)
        assert function(a, b) == pytest.approx(function(b, a), abs=1e-6)
    assert image.both_ssim(a, b) == (image.ssim(a, b), image.ms_ssim(a, b))
    assert -1 <= image.ssim(a, b) <= 1 + 1e-6
    assert 0 <= image.ms_ssim(a, b) <= 1 + 1e-6


@given(st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=30, deadline=None)
def test_flat_images_have_known_values(p: int, q: int) -> None:
    a, b = make_flat(p, 176), make_flat(q, 176)
    assert image.l1(a, b) == abs(p - q)
    assert image.mean_squared_error(a, b) == pytest.approx((p - q) ** 2)
    luminance = (2 * p * q + image.C1) / (p * p + q * q + image.C1)
    assert image.ssim(a, b) == pytest.approx(luminance, abs=1e-3)
    assert image.ms_ssim(a, b) == pytest.approx(luminance**0.1333, abs=1e-3)


def test_psnr_of_known_errors() -> None:
    assert image.psnr(0) == 100
    assert image.psnr(255**2) == 0
    assert image.psnr(1) == pytest.approx(48.1308, abs=1e-4)


@pytest.mark.parametrize("sigma", [1, 8, 40])
def test_ssim_is_that_of_scikit_image(sigma: float) -> None:
    other = add_noise(3, sigma)
    expected = theirs.structural_similarity(  # type: ignore[no-untyped-call]  # no types
        FACE,
        other,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert image.ssim(FACE, other) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("function", [image.ssim, image.ms_ssim])
def test_more_noise_is_worse(function: Callable[[Image, Image], float]) -> None:
    values = [function(FACE, add_noise(1, sigma)) for sigma in (0, 5, 15, 40)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.9


def test_ms_ssim_of_a_small_image_uses_the_scales_that_fit() -> None:
    small = np.ascontiguousarray(FACE[:11, :11])
    other = add_noise(5, 20, small)
    assert image.ms_ssim(small, other) == pytest.approx(max(image.ssim(small, other), 0), abs=0.02)


@pytest.mark.parametrize(
    "function", [image.l1, image.mean_squared_error, image.ssim, image.ms_ssim]
)
def test_other_shapes_are_refused(function: Callable[[Image, Image], float]) -> None:
    with pytest.raises(ValueError, match="shapes"):
        function(make_flat(1, 64), make_flat(1, 65))


def test_too_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="11 pixels"):
        image.ssim(make_flat(1, 10), make_flat(1, 10))
    with pytest.raises(ValueError, match="16 pixels"):
        image.backward_flow(make_flat(1, 12), make_flat(1, 12))


def test_flow_finds_where_a_pixel_was() -> None:
    flow = image.backward_flow(FACE, shift_face(4, -3))[40:-40, 40:-40]
    assert np.median(flow[..., 0]) == pytest.approx(-4, abs=0.2)
    assert np.median(flow[..., 1]) == pytest.approx(3, abs=0.2)


def test_flicker_ignores_true_motion_and_sees_brightness_that_jumps() -> None:
    now = shift_face(4, -3)
    flow = image.backward_flow(FACE, now)
    own = image.warping_error(FACE, now, flow)
    assert own < 0.5 * image.l1(FACE, now)
    brighter = np.clip(now.astype(np.int16) + 10, 0, 255).astype(np.uint8)
    assert image.warping_error(FACE, brighter, flow) > own + 3


def test_flicker_of_a_still_image_is_zero() -> None:
    assert image.warping_error(FACE, FACE, np.zeros((*FACE.shape[:2], 2), np.float32)) == 0
