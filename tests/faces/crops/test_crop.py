"""Resampling of crops: identity, sub-pixel accuracy, antialiasing, dtypes and borders."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.types import Crop
from thcli.faces.crops.crop import Border, crop


def waves(width: int, height: int, kind: Any = np.float32) -> Any:
    """Render a smooth image whose value at any (x, y) is known."""
    y, x = np.mgrid[:height, :width]
    full = 1.0 if kind == np.float32 else np.iinfo(kind).max
    return (value(x, y) * full).astype(kind)


def value(x: Any, y: Any) -> Any:
    return np.stack(
        [0.5 + 0.4 * np.sin(x / (20 + 5 * c) + c) * np.cos(y / 25 + c) for c in range(3)], -1
    )


def frame_points(placement: Crop) -> Any:
    """Return the frame's points under the crop's pixels."""
    v, u = np.mgrid[: placement.size[1], : placement.size[0]]
    points = transform_points(
        np.asarray(np.linalg.inv(placement.crop_from_frame)), np.stack([u, v], -1)
    )
    return points[..., 0], points[..., 1]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_the_identity_crop_is_the_image(kind: Any) -> None:
    image = (
        np.random.default_rng(0).uniform(size=(60, 80, 3)) * (1 if kind == np.float32 else 200)
    ).astype(kind)
    out = crop(image, Crop(np.eye(3), (80, 60)))
    assert out.dtype == kind
    np.testing.assert_array_equal(out, image)


def test_crop_of_a_whole_shift_is_a_slice() -> None:
    image = np.random.default_rng(1).integers(0, 65536, (90, 120, 3)).astype(np.uint16)
    placement = Crop(np.array([[1, 0, -31], [0, 1, -17], [0, 0, 1.0]]), (40, 50))
    np.testing.assert_array_equal(crop(image, placement), image[17:67, 31:71])


@settings(max_examples=30, deadline=None)
@given(
    st.floats(200, 300),
    st.floats(200, 300),
    st.floats(30, 200),
    st.floats(-3.2, 3.2),
    st.integers(24, 200),
)
def test_sampling_is_exact_to_a_fraction_of_a_pixel(
    x: float, y: float, side: float, angle: float, size: int
) -> None:
    """Also when it shrinks: neither the filters nor the reduced grid shift the image."""
    placement = Crop(square_crop_matrix([x, y], side, angle, size), (size, size))
    shrink = side / size
    out = crop(waves(500, 500), placement)
    assert np.abs(out - value(*frame_points(placement))).max() < 0.002 + 0.0003 * shrink**2


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_dtype_is_kept(kind: Any) -> None:
    placement = Crop(square_crop_matrix([200, 200], 300, 0.3, 128), (128, 128))
    exact = value(*frame_points(placement)) * np.iinfo(kind).max
    out = crop(waves(400, 400, kind), placement)
    assert out.dtype == kind
    assert np.abs(out - exact).max() < 0.008 * np.iinfo(kind).max


@pytest.mark.parametrize("shrink", [1.6, 2.0, 3.1, 5.0, 9.0])
def test_detail_finer_than_a_pixel_becomes_grey(shrink: float) -> None:
    """A grating just finer than the new pixels, which bilinear sampling alone would alias."""
    period = max(1.25 * shrink, 2.2)
    x = np.arange(600)
    image = np.repeat(
        np.tile(127.5 + 127.5 * np.sin(2 * np.pi * x / period), (600, 1))[..., None], 3, 2
    ).astype(np.uint8)
    size = int(500 / shrink)
    placement = Crop(square_crop_matrix([300, 300], size * shrink, 0.0, size), (size, size))
    fine, coarse = crop(image, placement), crop(image, placement, antialias=False)
    assert fine.astype(float).std() < (0.4 if shrink >= 2 else 0.6) * coarse.astype(float).std()


def test_a_slow_zoom_is_continuous() -> None:
    image = cv2.GaussianBlur(
        np.random.default_rng(2).normal(size=(500, 500)).astype(np.float32), (0, 0), 1.0
    )
    spreads = []
    for shrink in np.linspace(0.9, 4.0, 63):
        out = crop(image, Crop(square_crop_matrix([250, 250], 90 * shrink, 0.2, 90), (90, 90)))
        spreads.append(float(out.std()))
    steps = np.diff(np.log(spreads))
    assert np.abs(steps).max() < 0.12  # of contrast, from one size to the next 0.05 larger


@pytest.mark.parametrize("border", ["replicate", "black", "reflect"])
@pytest.mark.parametrize("side", [40.0, 160.0])
def test_borders(border: Border, side: float) -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    image[:, :50] = 100
    left = crop(image, Crop(square_crop_matrix([0, 50], side, 0.0, 40), (40, 40)), border=border)
    assert left.shape == (40, 40, 3)
    outside, inside = left[18:22, 4], left[18:22, 34 if side < 100 else 24]
    assert (inside == 100).all()
    assert (
        outside == {"replicate": 100, "black": 0, "reflect": 100 if side < 100 else 200}[border]
    ).all()


@pytest.mark.parametrize("border", ["replicate", "black", "reflect"])
def test_a_crop_outside_of_the_frame(border: Border) -> None:
    image = np.full((50, 60, 3), 77, np.uint8)
    out = crop(image, Crop(square_crop_matrix([500, -300], 30, 0.5, 24), (24, 24)), border=border)
    assert (out == (0 if border == "black" else 77)).all()


def test_one_pixel_and_grey_images() -> None:
    assert (
        crop(
            np.full((1, 1, 3), 9, np.uint8), Crop(square_crop_matrix([0, 0], 4, 0.1, 8), (8, 8))
        ).max()
        == 9
    )
    assert crop(
        np.zeros((30, 30), np.uint16), Crop(square_crop_matrix([9, 9], 30, 0.1, 8), (8, 8))
    ).shape == (8, 8)
