"""Blending of a change: bounds, detail, seams, colour drift, occlusions, cost."""

from __future__ import annotations

import time
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.compositing.test_paste import astronaut, covered
from thcli.core.geometry import square_crop_matrix
from thcli.core.options import Blend, PasteOptions
from thcli.core.types import Crop
from thcli.faces.compositing.blend import blend_change, solve_membrane
from thcli.faces.compositing.mask import hull_mask, rim_mask
from thcli.faces.compositing.paste import (
    PasteContext,
    measure_transfer,
    paste,
    paste_change,
    soft_mask,
)
from thcli.faces.crops.crop import crop

MODES: tuple[Blend, ...] = get_args(Blend)
# The face of the photograph, pixel for pixel.
FACE = Crop(square_crop_matrix([224, 118], 150, 0.0, 150), (150, 150))
OVAL = np.stack(
    [224 + 42 * np.cos(np.arange(36) * np.pi / 18), 122 + 52 * np.sin(np.arange(36) * np.pi / 18)],
    1,
)


def random_change(size: tuple[int, int], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 40, (size[1], size[0], 3)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(MODES),
    st.integers(9, 200),
    st.integers(9, 200),
    st.floats(0.02, 0.5),
    st.booleans(),
)
def test_a_change_ends_with_its_mask(
    mode: Blend, width: int, height: int, feather: float, front: bool
) -> None:
    mask = rim_mask((width, height), feather)
    lower = (np.mgrid[:height, :width][0] > height * 0.6).astype(np.float32)
    occlusion = lower if front else None
    out = blend_change(random_change((width, height)), mask, mode, 255.0, occlusion)
    assert out.dtype == np.float32 and out.shape == (height, width, 3) and np.isfinite(out).all()
    assert (out[mask == 0] == 0).all()
    if occlusion is not None:
        assert (out[occlusion == 1] == 0).all()
    assert (blend_change(np.zeros_like(out), mask, mode, 255.0, occlusion) == 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_the_detail_in_the_middle_is_that_of_the_change(mode: Blend) -> None:
    change = random_change((300, 300))
    out = blend_change(change, rim_mask((300, 300), 0.1), mode, 255.0)
    fine = [p - cv2.GaussianBlur(p, (0, 0), 3) for p in (change, out)]
    np.testing.assert_allclose(fine[1][100:200, 100:200], fine[0][100:200, 100:200], atol=0.5)


def test_laplacian_does_not_overlay_two_textures() -> None:
    """A feather shows both textures at half strength over its ramp; octaves over a few pixels."""
    texture = np.repeat(np.random.default_rng(0).normal(0, 30, (256, 256, 1)), 3, 2).astype(
        np.float32
    )
    mask = rim_mask((256, 256), 0.2)
    mixed = {
        mode: np.abs(blend_change(texture, mask, mode, 255.0) / (texture + 1e-3))
        for mode in ("feather", "laplacian")
    }
    both = {mode: ((m > 0.25) & (m < 0.75)).mean() for mode, m in mixed.items()}
    assert both["laplacian"] < 0.5 * both["feather"]


def test_the_membrane_solves_its_equation() -> None:
    rng = np.random.default_rng(1)
    hold = np.zeros((40, 52), np.float32)
    hold[[3, -4]] = hold[:, [3, -4]] = 4.0
    value = cv2.GaussianBlur(rng.normal(0, 300, (40, 52, 3)).astype(np.float32), (0, 0), 3)
    found = solve_membrane(value * hold[..., None], hold, 1 / 20**2)
    count = hold.size
    number = np.arange(count).reshape(hold.shape)
    matrix = scipy.sparse.lil_matrix((count, count))
    matrix.setdiag(hold.ravel().astype(float) + 1 / 20**2)
    for a, b in ((number[:, 1:], number[:, :-1]), (number[1:], number[:-1])):
        for i, j in zip(a.ravel(), b.ravel(), strict=True):
            matrix[i, i] += 1
            matrix[j, j] += 1
            matrix[i, j] -= 1
            matrix[j, i] -= 1
    exact = scipy.sparse.linalg.spsolve(
        matrix.tocsc(), (value * hold[..., None]).reshape(count, 3)
    ).reshape(value.shape)
    assert np.abs(found - exact).max() < 0.05 * np.ptp(exact)
    assert np.abs(found - exact).mean() < 0.01 * np.ptp(exact)


def rim_slope(frame: Any, mask: Any) -> float:
    """Return the mean slope of blurred brightness across the rim, where the mask is half open."""
    grey = cv2.GaussianBlur(frame.astype(np.float32).mean(-1), (0, 0), 2.0)
    soft = cv2.GaussianBlur(mask, (0, 0), 2.0)
    (gy, gx), (my, mx) = np.gradient(grey), np.gradient(soft)
    along = np.abs(gx * mx + gy * my) / (np.hypot(mx, my) + 1e-6)
    return float(along[(mask > 0.02) & (mask < 0.98)].mean())


def shift_hue(pixels: Any) -> Any:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] + 12) % 180
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def misalign(pixels: Any) -> Any:
    """Return the face mirrored, darker and shifted by 3 px, so that nothing matches at the rim."""
    return np.clip(np.roll(pixels[:, ::-1], 3, 0).astype(int) * 0.8 + 10, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [0.55, 1.0])
def test_no_seam_on_skin_or_at_the_edge_of_the_face(mode: Blend, size: float) -> None:
    """size: of the mask over the face. At 0.55 the rim is on cheeks and forehead, without edges."""
    frame = astronaut()
    original = crop(frame, FACE)
    oval = (OVAL - OVAL.mean(0)) * size + OVAL.mean(0)
    placed = np.zeros((512, 512), np.float32)
    inside = hull_mask(oval - [149.5, 43.5], (150, 150), 0.08)
    placed[44:194, 150:300] = inside
    limit = 1.5 * rim_slope(frame, placed)
    for changed in (
        np.clip(original.astype(int) + 25, 0, 255).astype(np.uint8),
        shift_hue(original),
        misalign(original),
    ):
        for before in (None, original):
            context = PasteContext(original=before, points=oval)
            out = paste(frame, changed, FACE, context=context, options=PasteOptions(blend=mode))
            assert rim_slope(out, placed) < limit


def test_poisson_matches_the_rim_and_keeps_the_middle() -> None:
    """A lighter crop with a blue stain at one side of its rim: the stain does not spread."""
    frame = np.full((300, 300, 3), 120, np.uint8)
    placement = Crop(square_crop_matrix([150, 150], 200, 0.0, 200), (200, 200))
    changed = np.full((200, 200, 3), 145, np.uint8)
    changed[:, :30] = [30, 60, 240]
    options = PasteOptions(blend="poisson", colour_match=False)
    out = paste(frame, changed, placement, options=options).astype(int)
    assert np.abs(out[150, 240] - 120).max() <= 8  # of the frame at the rim
    assert np.ptp(out[150, 150]) <= 6 and 120 < out[150, 150].mean() < 145


@pytest.mark.parametrize("mode", MODES)
def test_occlusions_stay_and_do_not_affect_colours(mode: Blend) -> None:
    frame = np.full((300, 300, 3), 150, np.uint8)
    frame[:, 100:140] = [20, 30, 90]  # a microphone across the rim and the middle
    placement = Crop(square_crop_matrix([150, 150], 200, 0.0, 200), (200, 200))
    occlusion = np.zeros((200, 200), np.float32)
    occlusion[:, 50:90] = 1
    light = np.full((200, 200, 3), 190, np.uint8)
    out = paste(
        frame,
        light,
        placement,
        context=PasteContext(occlusion_mask=occlusion),
        options=PasteOptions(blend=mode, colour_match=False),
    )
    np.testing.assert_array_equal(out[:, 101:139], frame[:, 101:139])
    adjacent = out[150, 142:180].astype(int)
    assert np.ptp(adjacent) <= 3  # as bright next to it as away from it
    if mode != "poisson":
        assert np.abs(adjacent - 190).max() <= 3
    soft = soft_mask(placement)
    plain = np.full((300, 300, 3), 150, np.uint8)
    free = measure_transfer(plain, light, placement, soft)
    found = measure_transfer(frame, light, placement, soft, occlusion_mask=occlusion)
    assert np.abs(found.offset - free.offset).max() < 0.03


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.0, np.pi / 6, -2.0]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(MODES),
)
def test_an_unchanged_crop_gives_the_frame_bit_for_bit(
    scale: float, angle: float, kind: Any, mode: Blend
) -> None:
    """With the original crop: at any scale and angle, over the border, with colours and grain."""
    frame = astronaut().astype(kind) * (257 if kind == np.uint16 else 1)
    for centre in ([226, 130], [500, 20]):
        placement = Crop(
            square_crop_matrix(centre, 200, angle, round(200 * scale)), (round(200 * scale),) * 2
        )
        original = crop(frame, placement)
        context = PasteContext(original=original, grain_key=(0, 3))
        out = paste(frame, original, placement, context=context, options=PasteOptions(blend=mode))
        np.testing.assert_array_equal(out, frame)
        np.testing.assert_array_equal(
            paste_change(frame, original, original.copy(), placement), frame
        )


def test_a_smooth_change_keeps_the_texture_of_the_frame() -> None:
    """A crop of half the resolution: relit it keeps the fine detail of the frame, blurred not."""
    frame = astronaut()
    placement = Crop(square_crop_matrix([226, 130], 200, 0.2, 100), (100, 100))
    original = crop(frame, placement)
    lit = np.clip(original * 0.8 + 20, 0, 255).astype(np.uint8)
    inside = covered(frame, placement, soft_mask(placement) > 0.99)

    def detail(image: Any) -> Any:
        grey = image.astype(np.float32).mean(-1)
        return (grey - cv2.GaussianBlur(grey, (0, 0), 1.0))[inside]

    own = detail(frame)
    options = PasteOptions(colour_match=False)
    with_original, without = (
        detail(paste(frame, lit, placement, context=PasteContext(original=o), options=options))
        for o in (original, None)
    )
    assert (with_original @ own) / (own @ own) == pytest.approx(0.8, abs=0.05)
    assert (without @ own) / (own @ own) < 0.5
    smooth = cv2.GaussianBlur(original, (0, 0), 3)
    blurred = detail(paste_change(frame, original, smooth, placement))
    assert (blurred @ own) / (own @ own) < 0.2


def test_paste_change_adds_the_change_without_a_colour_match() -> None:
    frame = np.full((300, 300, 3), 100, np.uint16)
    placement = Crop(square_crop_matrix([150, 150], 200, 0.3, 100), (100, 100))
    # The reconstruction of a network need not have the frame's colour.
    before = np.full((100, 100, 3), 0.5, np.float32)
    out = paste_change(frame, before, before + np.float32(1000 / 65535), placement)
    assert (out[150, 150] == 1100).all() and (out[0, 0] == 100).all()
    with pytest.raises(ValueError, match="original crop"):
        paste_change(frame, before[:50], before, placement)


def test_every_mode_is_fast() -> None:
    """CPU time, best of three, of a 512 crop in a frame of 1080 lines, with margin."""
    frame = cv2.resize(astronaut(), (1920, 1080))
    placement = Crop(square_crop_matrix([900, 300], 512, 0.1, 512), (512, 512))
    changed = crop(frame, placement)
    for mode in MODES:
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            options = PasteOptions(blend=mode, colour_match=False)
            paste(frame, changed, placement, options=options)
            best = min(best, time.process_time() - start)
        assert best < 0.1
