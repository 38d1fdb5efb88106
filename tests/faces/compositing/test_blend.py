"""How a change meets its frame: nothing from nothing, nothing beyond the mask, no seam, no drift, things in front untouched."""

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
from thcli.core.geometry import rotated_square
from thcli.core.options import Blend
from thcli.core.types import Crop
from thcli.faces.compositing.blend import blended, membrane
from thcli.faces.compositing.mask import hull_mask, rim_mask
from thcli.faces.compositing.paste import carry, measure, paste, soft_mask
from thcli.faces.crops.crop import crop

WAYS: tuple[Blend, ...] = get_args(Blend)
FACE = Crop(
    rotated_square([224, 118], 150, 0.0, 150), (150, 150)
)  # her face in the photograph, pixel for pixel
OVAL = np.stack(
    [224 + 42 * np.cos(np.arange(36) * np.pi / 18), 122 + 52 * np.sin(np.arange(36) * np.pi / 18)],
    1,
)


def change_of(size: tuple[int, int], seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 40, (size[1], size[0], 3)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from(WAYS),
    st.integers(9, 200),
    st.integers(9, 200),
    st.floats(0.02, 0.5),
    st.booleans(),
)
def test_a_change_ends_with_its_mask(
    how: Blend, width: int, height: int, feather: float, front: bool
) -> None:
    mask = rim_mask((width, height), feather)
    keep = (np.mgrid[:height, :width][0] > height * 0.6).astype(np.float32) if front else None
    out = blended(change_of((width, height)), mask, how, 255.0, keep)
    assert out.dtype == np.float32 and out.shape == (height, width, 3) and np.isfinite(out).all()
    assert (out[mask == 0] == 0).all()
    if keep is not None:
        assert (out[keep == 1] == 0).all()
    assert (blended(np.zeros_like(out), mask, how, 255.0, keep) == 0).all()


@pytest.mark.parametrize("how", WAYS)
def test_the_middle_s_detail_is_the_change_s(how: Blend) -> None:
    change = change_of((300, 300))
    out = blended(change, rim_mask((300, 300), 0.1), how, 255.0)
    fine = [p - cv2.GaussianBlur(p, (0, 0), 3) for p in (change, out)]
    np.testing.assert_allclose(fine[1][100:200, 100:200], fine[0][100:200, 100:200], atol=0.5)


def test_laplacian_lays_no_two_textures_over_each_other() -> None:
    """Where a feather is half open both textures show at half their strength; octaves change over within a few pixels."""
    texture = np.repeat(np.random.default_rng(0).normal(0, 30, (256, 256, 1)), 3, 2).astype(
        np.float32
    )
    mask = rim_mask((256, 256), 0.2)
    mixed = {
        how: np.abs(blended(texture, mask, how, 255.0) / (texture + 1e-3))
        for how in ("feather", "laplacian")
    }
    both = {how: ((m > 0.25) & (m < 0.75)).mean() for how, m in mixed.items()}
    assert both["laplacian"] < 0.5 * both["feather"]


def test_the_membrane_solves_its_equation() -> None:
    rng = np.random.default_rng(1)
    hold = np.zeros((40, 52), np.float32)
    hold[[3, -4]] = hold[:, [3, -4]] = 4.0
    value = cv2.GaussianBlur(rng.normal(0, 300, (40, 52, 3)).astype(np.float32), (0, 0), 3)
    found = membrane(value * hold[..., None], hold, 1 / 20**2)
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
    """The mean slope across the rim: of brightness, blurred by 2 pixels, along the direction in which the mask rises, where it is half open."""
    grey = cv2.GaussianBlur(frame.astype(np.float32).mean(-1), (0, 0), 2.0)
    soft = cv2.GaussianBlur(mask, (0, 0), 2.0)
    (gy, gx), (my, mx) = np.gradient(grey), np.gradient(soft)
    along = np.abs(gx * mx + gy * my) / (np.hypot(mx, my) + 1e-6)
    return float(along[(mask > 0.02) & (mask < 0.98)].mean())


def hue_shifted(pixels: Any) -> Any:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] + 12) % 180
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def another_face(pixels: Any) -> Any:
    """Hers mirrored, darker, and three pixels elsewhere: nothing at the rim fits."""
    return np.clip(np.roll(pixels[:, ::-1], 3, 0).astype(int) * 0.8 + 10, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("own", [0.55, 1.0])
def test_no_seam_on_skin_or_at_the_face_s_edge(how: Blend, own: float) -> None:
    """own: the mask's size over the face's. At .55 the rim runs over cheeks and forehead, which have no edge to hide a seam."""
    frame = astronaut()
    cut = crop(frame, FACE)
    oval = (OVAL - OVAL.mean(0)) * own + OVAL.mean(0)
    placed = np.zeros((512, 512), np.float32)
    inside = hull_mask(oval - [149.5, 43.5], (150, 150), 0.08)
    placed[44:194, 150:300] = inside
    limit = 1.5 * rim_slope(frame, placed)
    for changed in (
        np.clip(cut.astype(int) + 25, 0, 255).astype(np.uint8),
        hue_shifted(cut),
        another_face(cut),
    ):
        for before in (None, cut):
            out = paste(frame, changed, FACE, points=oval, blend=how, before=before)
            assert rim_slope(out, placed) < limit


def test_poisson_takes_the_rim_s_colours_and_leaves_the_middle_s() -> None:
    """A crop that is lighter as a whole, with a blue stain at one side of its rim: the stain does not run over the face."""
    frame = np.full((300, 300, 3), 120, np.uint8)
    where = Crop(rotated_square([150, 150], 200, 0.0, 200), (200, 200))
    changed = np.full((200, 200, 3), 145, np.uint8)
    changed[:, :30] = [30, 60, 240]
    out = paste(frame, changed, where, blend="poisson", colour_match=False).astype(int)
    assert np.abs(out[150, 240] - 120).max() <= 8  # at the rim the frame's
    assert np.ptp(out[150, 150]) <= 6 and 120 < out[150, 150].mean() < 145


@pytest.mark.parametrize("how", WAYS)
def test_what_lies_in_front_stays_and_colours_nothing(how: Blend) -> None:
    frame = np.full((300, 300, 3), 150, np.uint8)
    frame[:, 100:140] = [20, 30, 90]  # a microphone across the rim and the middle
    where = Crop(rotated_square([150, 150], 200, 0.0, 200), (200, 200))
    keep = np.zeros((200, 200), np.float32)
    keep[:, 50:90] = 1
    out = paste(
        frame,
        np.full((200, 200, 3), 190, np.uint8),
        where,
        keep=keep,
        blend=how,
        colour_match=False,
    )
    np.testing.assert_array_equal(out[:, 101:139], frame[:, 101:139])
    beside = out[150, 142:180].astype(int)
    assert np.ptp(beside) <= 3  # as bright right beside it as away from it
    if how != "poisson":
        assert np.abs(beside - 190).max() <= 3
    soft = soft_mask(where)
    free = measure(
        np.full((300, 300, 3), 150, np.uint8), np.full((200, 200, 3), 190, np.uint8), where, soft
    )
    found = measure(frame, np.full((200, 200, 3), 190, np.uint8), where, soft, keep=keep)
    assert np.abs(found.offset - free.offset).max() < 0.03


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.0, np.pi / 6, -2.0]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(WAYS),
)
def test_an_unchanged_crop_gives_the_frame_bit_for_bit(
    scale: float, angle: float, kind: Any, how: Blend
) -> None:
    """With the crop as it was at hand: at any scale and angle, over the border too, with colours and grain matched."""
    frame = astronaut().astype(kind) * (257 if kind == np.uint16 else 1)
    for centre in ([226, 130], [500, 20]):
        where = Crop(
            rotated_square(centre, 200, angle, round(200 * scale)), (round(200 * scale),) * 2
        )
        cut = crop(frame, where)
        np.testing.assert_array_equal(
            paste(frame, cut, where, before=cut, blend=how, grain_from=(0, 3)), frame
        )
        np.testing.assert_array_equal(carry(frame, cut, cut.copy(), where), frame)


def test_a_smooth_change_keeps_the_frame_s_texture_and_a_new_picture_its_own() -> None:
    """A crop of half the frame's resolution: lit it shows the frame's fine detail, blurred it does not."""
    frame = astronaut()
    where = Crop(rotated_square([226, 130], 200, 0.2, 100), (100, 100))
    cut = crop(frame, where)
    lit = np.clip(cut * 0.8 + 20, 0, 255).astype(np.uint8)
    inside = covered(frame, where, soft_mask(where) > 0.99)

    def detail(picture: Any) -> Any:
        grey = picture.astype(np.float32).mean(-1)
        return (grey - cv2.GaussianBlur(grey, (0, 0), 1.0))[inside]

    own = detail(frame)
    with_it, without = (
        detail(paste(frame, lit, where, before=b, colour_match=False)) for b in (cut, None)
    )
    assert (with_it @ own) / (own @ own) == pytest.approx(0.8, abs=0.05)
    assert (without @ own) / (own @ own) < 0.5
    blurred = detail(carry(frame, cut, cv2.GaussianBlur(cut, (0, 0), 3), where))
    assert (blurred @ own) / (own @ own) < 0.2


def test_carry_adds_the_change_and_matches_nothing() -> None:
    frame = np.full((300, 300, 3), 100, np.uint16)
    where = Crop(rotated_square([150, 150], 200, 0.3, 100), (100, 100))
    before = np.full(
        (100, 100, 3), 0.5, np.float32
    )  # a network's reconstruction need not be the frame's colour
    out = carry(frame, before, before + np.float32(1000 / 65535), where)
    assert (out[150, 150] == 1100).all() and (out[0, 0] == 100).all()
    with pytest.raises(ValueError, match="crop as it was"):
        carry(frame, before[:50], before, where)


def test_no_way_is_much_dearer_than_a_feather() -> None:
    """CPU time, best of three, of a 512 crop in a frame of 1080 lines; with much room for a busy machine."""
    frame = cv2.resize(astronaut(), (1920, 1080))
    where = Crop(rotated_square([900, 300], 512, 0.1, 512), (512, 512))
    cut = crop(frame, where)
    for how in WAYS:
        best = 1e9
        for _ in range(3):
            begun = time.process_time()
            paste(frame, cut, where, blend=how, colour_match=False)
            best = min(best, time.process_time() - begun)
        assert best < 0.1
