"""Compositing of a crop: bounds, identity, seams, bit depths, masks, cost."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thcli.core.errors import NoFaceError, UsageError
from thcli.core.geometry import square_crop_matrix, transform_points
from thcli.core.options import PasteOptions
from thcli.core.types import Crop
from thcli.faces.compositing.colour_match import (
    GRID,
    ColourTransfer,
    estimate_transfer,
    smooth_transfers,
)
from thcli.faces.compositing.mask import hull_mask, rim_mask
from thcli.faces.compositing.paste import PasteContext, measure_transfer, paste, soft_mask
from thcli.faces.crops.align import ffhq
from thcli.faces.crops.crop import crop

NO_MATCH = PasteOptions(colour_match=False)
FIVE = np.array([[203, 101], [247, 104], [223, 126], [202, 139], [245, 140]], np.float64)


def astronaut() -> Any:
    import skimage.data

    return np.asarray(skimage.data.astronaut())  # type: ignore[no-untyped-call]


def covered(frame: Any, placement: Crop, mask: Any) -> Any:
    """Return True at frame pixels where the mask is more than 0."""
    seen = cv2.warpAffine(
        np.asarray(mask, np.float32),
        placement.crop_from_frame[:2],
        frame.shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return cv2.dilate((seen > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


placements = st.tuples(
    st.floats(-80, 600), st.floats(-80, 600), st.floats(40, 500), st.floats(-3.2, 3.2)
)


@settings(max_examples=25, deadline=None)
@given(placements, st.sampled_from([np.uint8, np.uint16]), st.booleans())
def test_outside_of_the_mask_nothing_changes(
    params: tuple[float, ...], kind: Any, match: bool
) -> None:
    frame = astronaut().astype(kind) * (257 if kind == np.uint16 else 1)
    before = frame.copy()
    x, y, side, angle = params
    placement = Crop(square_crop_matrix([x, y], side, angle, 96), (96, 96))
    noise = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (96, 96, 3)).astype(kind)
    out = paste(frame, noise, placement, options=PasteOptions(colour_match=match))
    assert out.dtype == kind and out is not frame
    np.testing.assert_array_equal(frame, before)
    np.testing.assert_array_equal(
        out[~covered(frame, placement, soft_mask(placement))],
        frame[~covered(frame, placement, soft_mask(placement))],
    )


@settings(max_examples=20, deadline=None)
@given(
    st.floats(0, 511),
    st.floats(0, 511),
    st.floats(-3.2, 3.2),
    st.sampled_from([np.uint8, np.uint16]),
)
@example(214.5, 227.5, 0.0, np.uint8)
def test_an_unchanged_crop_changes_little(x: float, y: float, angle: float, kind: Any) -> None:
    """At scale 1, any angle, over the border: 0 outside; on a face at most 2 of 255 on average.

    A shift by half a pixel loses more on the cloth of this image's suit than on skin and hair.
    """
    unit = 257 if kind == np.uint16 else 1
    frame = astronaut().astype(kind) * unit
    for centre, limit in (([x, y], 2.5), ([226 + x / 512, 130 + y / 512], 2.0)):
        placement = Crop(square_crop_matrix(centre, 256, angle, 256), (256, 256))
        out = paste(frame, crop(frame, placement), placement)
        inside = covered(frame, placement, soft_mask(placement))
        assert np.abs(out[inside].astype(float) - frame[inside]).mean() / unit <= limit
        np.testing.assert_array_equal(out[~inside], frame[~inside])


def test_an_unchanged_crop_at_whole_pixels_is_the_frame() -> None:
    frame = astronaut()
    placement = Crop(np.array([[1, 0, -100], [0, 1, -40], [0, 0, 1.0]]), (256, 256))
    np.testing.assert_array_equal(
        paste(frame, crop(frame, placement), placement, options=NO_MATCH), frame
    )


def test_a_crop_away_from_the_frame_changes_nothing() -> None:
    frame = astronaut()
    placement = Crop(square_crop_matrix([2000, 2000], 100, 0.1, 64), (64, 64))
    np.testing.assert_array_equal(paste(frame, np.zeros((64, 64, 3), np.uint8), placement), frame)
    inside = Crop(square_crop_matrix([200, 200], 100, 0.1, 64), (64, 64))
    np.testing.assert_array_equal(
        paste(frame, np.zeros((64, 64, 3), np.uint8), inside, np.zeros((64, 64), np.uint8)), frame
    )


def test_the_middle_is_the_crop_in_every_dtype() -> None:
    frame = np.zeros((300, 300, 3), np.uint16)
    placement = Crop(square_crop_matrix([150, 150], 200, 0.4, 128), (128, 128))
    for pixels in (
        np.full((128, 128, 3), 102, np.uint8),
        np.full((128, 128, 3), 102 * 257, np.uint16),
        np.full((128, 128, 3), 0.4, np.float32),
    ):
        out = paste(frame, pixels, placement, options=NO_MATCH)
        assert out.dtype == np.uint16 and np.abs(out[150, 150].astype(int) - 102 * 257).max() <= 1
    deep = np.full((128, 128, 3), 0.40001, np.float32)  # finer than 8 bits
    assert paste(frame, deep, placement, options=NO_MATCH)[150, 150, 0] == round(0.40001 * 65535)


def border_gradient(frame: Any, placement: Crop) -> Any:
    """Return the mean absolute slope across the rim of the crop."""
    centre = transform_points(
        np.asarray(np.linalg.inv(placement.crop_from_frame)), [(placement.size[0] - 1) / 2] * 2
    )
    grey = frame.astype(np.float32).mean(-1)
    gy, gx = np.gradient(cv2.GaussianBlur(grey, (0, 0), 2.0))
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    away = np.stack([x - centre[0], y - centre[1]], -1)
    away = away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-6)
    slope = np.abs(gx * away[..., 0] + gy * away[..., 1])
    mask = soft_mask(placement)
    seen = cv2.warpAffine(
        mask,
        placement.crop_from_frame[:2],
        grey.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    rim = (seen > 0.02) & (seen < 0.98)
    return slope[rim].mean()


CHANGES = {
    "bright": lambda p: p * 0.8 + 45,
    "dark": lambda p: p * 0.7,
    "cast": lambda p: p * [1.15, 0.95, 0.8] + [10, 0, -10],
    "gamma": lambda p: 255 * (np.maximum(p, 0) / 255) ** 0.7,
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_no_seam_under_a_change_of_light(name: str, angle: float) -> None:
    frame = astronaut()
    placement = Crop(square_crop_matrix([226, 130], 250, angle, 256), (256, 256))
    original = crop(frame, placement).astype(np.float64)
    changed = np.clip(CHANGES[name](original), 0, 255).astype(np.uint8)
    own = border_gradient(frame, placement)
    matched = paste(frame, changed, placement)
    plain = paste(frame, changed, placement, options=NO_MATCH)
    assert border_gradient(matched, placement) < 1.5 * own
    rim = covered(frame, placement, soft_mask(placement))
    difference = np.abs(matched.astype(float) - frame)[rim].mean()
    assert difference < 0.45 * np.abs(plain.astype(float) - frame)[rim].mean()


def test_other_content_at_the_rim_does_not_tint_the_face() -> None:
    """A fifth of the width shows a hand that is not in the frame."""
    frame = np.full((300, 300, 3), 120, np.uint8)
    placement = Crop(square_crop_matrix([150, 150], 200, 0.0, 200), (200, 200))
    changed = np.full((200, 200, 3), 120, np.uint8)
    changed[:, :40] = [30, 200, 240]
    out = paste(frame, changed, placement)
    assert np.abs(out[150, 130:].astype(int) - 120).max() <= 12


def test_the_correction_is_stable_over_time() -> None:
    """In a still scene with sensor noise its flicker stays below a third of a level of 255."""
    frame = astronaut().astype(np.float32)
    placement = ffhq(FIVE, 256)
    rng = np.random.default_rng(0)
    noisy = [
        np.clip(frame + rng.normal(0, 4, frame.shape), 0, 255).astype(np.uint8) for _ in range(8)
    ]
    other = np.clip(crop(frame, placement) * 0.9 + 20, 0, 255)
    crops = [np.clip(other + rng.normal(0, 4, other.shape), 0, 255).astype(np.uint8) for _ in noisy]
    found = [
        measure_transfer(f, c, placement, soft_mask(placement))
        for f, c in zip(noisy, crops, strict=True)
    ]
    means = np.array(
        [t.apply(np.full((16, 16, 3), 128.0, np.float32), 255.0).mean((0, 1)) for t in found]
    )
    assert means.std(0).max() < 0.34
    smooth = smooth_transfers(found, np.arange(8) / 25)
    smoothed = np.array(
        [t.apply(np.full((16, 16, 3), 128.0, np.float32), 255.0).mean((0, 1)) for t in smooth]
    )
    assert smoothed.std(0).max() < 0.5 * means.std(0).max()


def test_the_transfer_of_equal_crops_is_the_identity() -> None:
    same = astronaut()[:200, :200]
    found = estimate_transfer(same, same, rim_mask((200, 200), 0.1))
    np.testing.assert_allclose(found.gain, 1, atol=1e-6)
    np.testing.assert_allclose(found.offset, 0, atol=1e-6)
    nothing = estimate_transfer(same, same // 2, np.zeros((200, 200), np.float32))
    assert (
        (nothing.gain == 1).all()
        and (nothing.offset == 0).all()
        and nothing.offset.shape == (GRID, GRID, 3)
    )


def test_a_given_transfer_is_used() -> None:
    frame = np.zeros((200, 200, 3), np.uint8)
    placement = Crop(square_crop_matrix([100, 100], 100, 0.0, 64), (64, 64))
    half = ColourTransfer(np.full(3, 0.5, np.float32), np.zeros((GRID, GRID, 3), np.float32))
    grey = np.full((64, 64, 3), 200, np.uint8)
    out = paste(frame, grey, placement, context=PasteContext(transfer=half))
    assert out[100, 100, 0] == 100


@given(st.integers(2, 200), st.integers(2, 200), st.floats(0, 0.5))
def test_rim_masks_are_soft_symmetric_and_end_at_0(width: int, height: int, feather: float) -> None:
    mask = rim_mask((width, height), feather)
    assert mask.shape == (height, width) and mask.dtype == np.float32
    assert mask.min() >= 0 and mask.max() <= 1
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0


def test_a_hull_mask_has_sub_pixel_accuracy() -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    oval = np.stack([60 * np.cos(angle), 80 * np.sin(angle)], 1) + 128.0
    masks = [hull_mask(oval + np.array([dx, 0]), (256, 256), 0.1) for dx in (0.0, 0.25, 0.5)]
    assert masks[0][128, 128] == 1 and masks[0][0].max() == 0
    sums = [float((m * np.arange(256)[None]).sum() / m.sum()) for m in masks]
    assert sums[1] - sums[0] == pytest.approx(0.25, abs=0.03)
    assert sums[2] - sums[0] == pytest.approx(0.5, abs=0.05)
    assert np.abs(np.diff(masks[0], axis=1)).max() < 0.08  # a ramp of 26 pixels
    with pytest.raises(NoFaceError):
        hull_mask([[0, 0], [1, 1], [5, 5]], (32, 32), 0.1)


def test_points_or_a_mask_select_the_visible_part() -> None:
    frame = np.zeros((300, 300, 3), np.uint8)
    placement = Crop(square_crop_matrix([150, 150], 200, 0.3, 128), (128, 128))
    white = np.full((128, 128, 3), 255, np.uint8)
    triangle = np.array([[150, 120], [180, 180], [120, 180]], np.float64)
    options = PasteOptions(colour_match=False, feather=0.05)
    by_hull = paste(frame, white, placement, context=PasteContext(points=triangle), options=options)
    assert by_hull[160, 150, 0] == 255 and by_hull[80, 150, 0] == 0
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    by_mask = paste(frame, white, placement, mask, options=NO_MATCH)
    inside = (
        transform_points(np.asarray(np.linalg.inv(placement.crop_from_frame)), [[96, 64], [32, 64]])
        .round()
        .astype(int)
    )
    assert (
        by_mask[inside[0, 1], inside[0, 0], 0] == 255
        and by_mask[inside[1, 1], inside[1, 0], 0] == 0
    )


def test_sizes_that_do_not_match_are_refused() -> None:
    frame, placement = np.zeros((90, 90, 3), np.uint8), Crop(np.eye(3), (32, 32))
    with pytest.raises(ValueError, match="32 x 32"):
        paste(frame, np.zeros((16, 16, 3), np.uint8), placement)
    with pytest.raises(ValueError, match="mask"):
        paste(frame, np.zeros((32, 32, 3), np.uint8), placement, np.zeros((8, 8), np.uint8))
    with pytest.raises(UsageError):
        PasteOptions(feather=0.7)


def test_a_small_face_in_4k_costs_little() -> None:
    """CPU time, best of three, with margin: a full-frame blend of 4K takes over half a second."""
    frame = np.zeros((2160, 3840, 3), np.uint8)
    placement = Crop(square_crop_matrix([1900, 1000], 400, 0.2, 256), (256, 256))
    pixels = np.zeros((256, 256, 3), np.uint8)
    best = 1e9
    for _ in range(3):
        start = time.process_time()
        paste(frame, pixels, placement)
        best = min(best, time.process_time() - start)
    assert best < 0.12
