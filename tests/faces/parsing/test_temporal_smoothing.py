"""Temporal smoothing of masks: stability, response to change, and absence of lag."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.faces.parsing.crops import Regions, full_frame_crop
from thcli.faces.parsing.temporal_smoothing import REACH, ParsedFrame, smooth_regions

SIDE = 96
HAIR = 13


def texture(seed: int, low: int, high: int) -> Image:
    noise = np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(low + (soft - soft.min()) / np.ptp(soft) * (high - low), np.uint8)


BACK, FRONT = texture(1, 10, 110), texture(2, 140, 250)


def parsed(hair: Array32, image: Image, scene: int = 0) -> ParsedFrame:
    probabilities = np.zeros((19, SIDE, SIDE), np.float32)
    probabilities[HAIR] = hair
    probabilities[0] = 1 - hair
    return ParsedFrame(Regions(full_frame_crop((SIDE, SIDE)), probabilities), image, scene)


def disc(x: float, y: float = 48.0, radius: float = 20.0) -> Array32:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1), np.float32)


def scene(x: float) -> tuple[Array32, Image]:
    """Render a textured disc in front of a textured wall, and its true mask."""
    mask = disc(x)
    shift = np.array([[1, 0, x - 48], [0, 1, 0]], np.float32)
    front = cv2.warpAffine(FRONT, shift, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return mask, (BACK * (1 - mask[..., None]) + front * mask[..., None]).astype(np.uint8)


def hair_of(found: Regions | None) -> Array32:
    assert found is not None
    return np.asarray(found.probabilities[HAIR], np.float32)


def noisy(mask: Array32, seed: int, level: float = 0.08) -> Array32:
    coarse = np.random.default_rng(seed).normal(0, 1, (SIDE // 4, SIDE // 4)).astype(np.float32)
    return np.asarray(
        np.clip(0.1 + 0.8 * mask + level * cv2.resize(coarse, (SIDE, SIDE)), 0, 1), np.float32
    )


@pytest.mark.parametrize("reach", [0, 1, REACH])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_constant_masks_are_unchanged(reach: int, count: int) -> None:
    mask = disc(40.3)
    found = list(smooth_regions([parsed(mask, BACK)] * count, reach))
    assert len(found) == count
    for one in found:
        np.testing.assert_allclose(hair_of(one), mask, atol=1e-5)
        assert one is not None
        np.testing.assert_allclose(one.probabilities.sum(0), 1, atol=1e-5)


def test_flicker_is_reduced() -> None:
    """Independent uncertainty of each frame of a still image is reduced to less than half."""
    frames = [noisy(disc(48), seed) for seed in range(16)]
    smooth = [hair_of(one) for one in smooth_regions([parsed(f, BACK) for f in frames])]
    steps = [
        np.abs(np.diff(np.stack(values), axis=0)).mean() for values in (frames[3:-3], smooth[3:-3])
    ]
    assert steps[1] < 0.3 * steps[0]
    spread = [np.stack(values).std(0).mean() for values in (frames[3:-3], smooth[3:-3])]
    assert spread[1] < 0.5 * spread[0]


@pytest.mark.parametrize("speed", [0.3, 1.5, -2.2])
def test_a_moving_edge_does_not_lag(speed: float) -> None:
    """The disc is at its true position at any speed; a lag of one frame would be `speed` px."""
    positions = [48 + speed * (i - 8) for i in range(17)]
    frames = [
        parsed(noisy(mask, i, 0.03), image) for i, (mask, image) in enumerate(map(scene, positions))
    ]
    found = list(smooth_regions(frames))
    columns = np.arange(SIDE)
    errors = []
    for one, x in zip(found, positions, strict=True):
        sure = np.clip((hair_of(one) - 0.3) / 0.4, 0, 1).sum(0)
        errors.append(float((sure * columns).sum() / sure.sum()) - x)
    assert abs(float(np.mean(errors[3:-3]))) < 0.1 * max(abs(speed), 0.5)
    assert np.abs(errors).max() < 0.6


def test_the_response_to_a_moving_edge_is_centred() -> None:
    """The best match with the true masks, over shifts in time, is at no shift."""
    positions = [30 + 1.7 * i for i in range(21)]
    pairs = [scene(x) for x in positions]
    smooth = [
        hair_of(one)
        for one in smooth_regions(
            [parsed(noisy(mask, i, 0.05), image) for i, (mask, image) in enumerate(pairs)]
        )
    ]
    match = {}
    for shift in range(-2, 3):
        match[shift] = np.mean(
            [np.abs(smooth[i] - (0.1 + 0.8 * pairs[i + shift][0])).mean() for i in range(4, 17)]
        )
    assert min(match, key=lambda shift: match[shift]) == 0
    assert match[-1] == pytest.approx(match[1], rel=0.1)


def test_an_entering_object_shows_at_once() -> None:
    """A hand covers the middle in frames 6 and 7: masks before, during and after are unchanged."""
    own, covered = disc(48), disc(48) * (1 - disc(60, radius=12))
    hand = BACK.copy()
    hand[disc(60, radius=13) > 0] = (250, 240, 60)
    frames = [parsed(covered, hand) if i in (6, 7) else parsed(own, BACK) for i in range(14)]
    inside = disc(60, radius=9) > 0
    for i, one in enumerate(smooth_regions(frames)):
        expected = covered if i in (6, 7) else own
        assert np.abs(hair_of(one) - expected)[inside].max() < 0.1, i


def test_a_single_error_of_the_parser_is_removed() -> None:
    """One frame has another result for an unchanged image."""
    wrong = disc(48) * (1 - disc(60, radius=8))
    frames = [parsed(wrong if i == 5 else disc(48), BACK) for i in range(11)]
    found = [hair_of(one) for one in smooth_regions(frames)]
    inside = disc(60, radius=6) > 0.5
    assert found[5][inside].mean() > 0.6
    assert found[4][inside].mean() > 0.8


def test_a_lasting_change_stays_sharp_in_time() -> None:
    """The mask changes at frame 6 of a fixed image: each frame keeps its own side."""
    later = disc(48) * (1 - disc(60, radius=12))
    found = [
        hair_of(one)
        for one in smooth_regions([parsed(disc(48) if i < 6 else later, BACK) for i in range(12)])
    ]
    inside = disc(60, radius=8) > 0.5
    assert min(float(one[inside].mean()) for one in found[:6]) > 0.95
    assert max(float(one[inside].mean()) for one in found[6:]) < 0.05


def test_the_result_does_not_depend_on_windows() -> None:
    frames = [
        parsed(noisy(mask, i), image)
        for i, (mask, image) in enumerate(map(scene, np.linspace(40, 56, 15)))
    ]
    every = list(smooth_regions(frames))
    part = list(smooth_regions(frames[4 - REACH : 9 + REACH]))[REACH:-REACH]
    for a, b in zip(every[4:9], part, strict=True):
        np.testing.assert_array_equal(hair_of(a), hair_of(b))


def test_gaps_and_scenes_separate() -> None:
    """No frame without the face, and no cut, is crossed."""
    full, empty = np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    gap = [parsed(full, BACK)] * 3 + [ParsedFrame(None, None)] + [parsed(empty, BACK)] * 3
    found = list(smooth_regions(gap))
    assert found[3] is None
    cut = [parsed(full, BACK, 0)] * 3 + [parsed(empty, BACK, 1)] * 3
    for one, expected in zip(
        [*found[:3], *found[4:], *smooth_regions(cut)],
        [1] * 3 + [0] * 3 + [1] * 3 + [0] * 3,
        strict=True,
    ):
        np.testing.assert_allclose(hair_of(one), expected, atol=1e-6)


def test_the_stream_is_read_lazily() -> None:
    read = 0

    def frames() -> Iterator[ParsedFrame]:
        nonlocal read
        for _ in range(40):
            read += 1
            yield parsed(disc(48), BACK)

    for count, _ in enumerate(smooth_regions(frames()), 1):
        assert read <= count + REACH
    assert count == 40
    assert list(smooth_regions([])) == []


def to_carry(image: Image, number: int = 0) -> ParsedFrame:
    """Return a frame that was not parsed."""
    return ParsedFrame(None, image, number, full_frame_crop((SIDE, SIDE)))


def test_regions_are_carried_to_the_frames_between() -> None:
    """A moving disc that is parsed in every second frame is in its place in the others."""
    shown = [scene(x) for x in np.linspace(40, 56, 17)]
    found = list(
        smooth_regions(
            parsed(mask, image) if number % 2 == 0 else to_carry(image)
            for number, (mask, image) in enumerate(shown)
        )
    )
    for number, ((mask, _), one) in enumerate(zip(shown, found, strict=True)):
        assert one is not None
        np.testing.assert_allclose(one.probabilities.sum(0), 1, atol=1e-3)
        inside, true = hair_of(one) > 0.5, mask > 0.5
        assert (inside & true).sum() > 0.95 * (inside | true).sum(), number


def test_nothing_is_carried_across_a_cut() -> None:
    mask, image = scene(48)
    found = list(smooth_regions([parsed(mask, image, 0), to_carry(image, 1)]))
    assert found[0] is not None
    assert found[1] is None


@pytest.mark.parametrize("sides", ["past", "future", "both"])
def test_an_image_without_a_match_keeps_its_neighbours_regions(sides: str) -> None:
    """A thing that only a carried frame shows does not end the face."""
    mask, image = scene(48)
    flash = np.full_like(image, 255)
    frames = [to_carry(flash)]
    if sides != "future":
        frames = [parsed(mask, image), *frames]
    if sides != "past":
        frames = [*frames, parsed(mask, image)]
    found = list(smooth_regions(frames))[sides != "future"]
    assert found is not None
    np.testing.assert_allclose(found.probabilities.sum(0), 1, atol=1e-3)
    inside, true = hair_of(found) > 0.5, mask > 0.5
    assert (inside & true).sum() > 0.8 * (inside | true).sum()
