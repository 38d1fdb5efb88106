"""Masks calmed in time: what stays, what goes, and that nothing comes late."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.faces.parsing.crops import Regions, whole
from thcli.faces.parsing.temporal_smoothing import REACH, Parsed, smooth

SIDE = 96
HAIR = 13


def texture(seed: int, low: int, high: int) -> Image:
    noise = np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.asarray(low + (soft - soft.min()) / np.ptp(soft) * (high - low), np.uint8)


BACK, FRONT = texture(1, 10, 110), texture(2, 140, 250)


def parsed(hair: Array32, picture: Image, shot: int = 0) -> Parsed:
    probabilities = np.zeros((19, SIDE, SIDE), np.float32)
    probabilities[HAIR] = hair
    probabilities[0] = 1 - hair
    return Parsed(Regions(whole((SIDE, SIDE)), probabilities), picture, shot)


def disc(x: float, y: float = 48.0, radius: float = 20.0) -> Array32:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.asarray(np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1), np.float32)


def scene(x: float) -> tuple[Array32, Image]:
    """A textured disc before a textured wall, and its true mask."""
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
def test_what_is_constant_stays(reach: int, count: int) -> None:
    mask = disc(40.3)
    found = list(smooth([parsed(mask, BACK)] * count, reach))
    assert len(found) == count
    for one in found:
        np.testing.assert_allclose(hair_of(one), mask, atol=1e-5)
        assert one is not None
        np.testing.assert_allclose(one.probabilities.sum(0), 1, atol=1e-5)


def test_flicker_is_reduced() -> None:
    """Doubt that is new in each frame over a still picture: less than half of it is left."""
    frames = [noisy(disc(48), seed) for seed in range(16)]
    calm = [hair_of(one) for one in smooth([parsed(f, BACK) for f in frames])]
    steps = [
        np.abs(np.diff(np.stack(values), axis=0)).mean() for values in (frames[3:-3], calm[3:-3])
    ]
    assert steps[1] < 0.3 * steps[0]
    spread = [np.stack(values).std(0).mean() for values in (frames[3:-3], calm[3:-3])]
    assert spread[1] < 0.5 * spread[0]


@pytest.mark.parametrize("speed", [0.3, 1.5, -2.2])
def test_a_moving_edge_does_not_lag(speed: float) -> None:
    """The disc's place in the calmed masks is the true one, at any speed; a lag of one frame would be `speed` pixels."""
    places = [48 + speed * (i - 8) for i in range(17)]
    frames = [
        parsed(noisy(mask, i, 0.03), picture)
        for i, (mask, picture) in enumerate(map(scene, places))
    ]
    found = list(smooth(frames))
    columns = np.arange(SIDE)
    errors = []
    for one, x in zip(found, places, strict=True):
        sure = np.clip((hair_of(one) - 0.3) / 0.4, 0, 1).sum(0)
        errors.append(float((sure * columns).sum() / sure.sum()) - x)
    assert abs(float(np.mean(errors[3:-3]))) < 0.1 * max(abs(speed), 0.5)
    assert np.abs(errors).max() < 0.6


def test_the_response_to_a_moving_edge_is_centred() -> None:
    """Of the calmed masks against the true ones, shifted in time, the best match is at no shift."""
    places = [30 + 1.7 * i for i in range(21)]
    pairs = [scene(x) for x in places]
    calm = [
        hair_of(one)
        for one in smooth(
            [parsed(noisy(mask, i, 0.05), picture) for i, (mask, picture) in enumerate(pairs)]
        )
    ]
    match = {}
    for shift in range(-2, 3):
        match[shift] = np.mean(
            [np.abs(calm[i] - (0.1 + 0.8 * pairs[i + shift][0])).mean() for i in range(4, 17)]
        )
    assert min(match, key=lambda shift: match[shift]) == 0
    assert match[-1] == pytest.approx(match[1], rel=0.1)


def test_what_comes_in_shows_at_once() -> None:
    """A hand covers the middle from frame 6 to 7 (a blink is as short): before, while and after it masks are their own."""
    own, covered = disc(48), disc(48) * (1 - disc(60, radius=12))
    hand = BACK.copy()
    hand[disc(60, radius=13) > 0] = (250, 240, 60)
    frames = [parsed(covered, hand) if i in (6, 7) else parsed(own, BACK) for i in range(14)]
    inside = disc(60, radius=9) > 0
    for i, one in enumerate(smooth(frames)):
        wanted = covered if i in (6, 7) else own
        assert np.abs(hair_of(one) - wanted)[inside].max() < 0.1, i


def test_a_slip_of_the_parser_goes() -> None:
    """One frame says something else of a picture that has not changed."""
    wrong = disc(48) * (1 - disc(60, radius=8))
    frames = [parsed(wrong if i == 5 else disc(48), BACK) for i in range(11)]
    found = [hair_of(one) for one in smooth(frames)]
    inside = disc(60, radius=6) > 0.5
    assert found[5][inside].mean() > 0.6
    assert found[4][inside].mean() > 0.8


def test_a_change_that_lasts_stays_sharp_in_time() -> None:
    """From frame 6 on the mask is another, though the picture is the same: each frame keeps to its own side."""
    later = disc(48) * (1 - disc(60, radius=12))
    found = [
        hair_of(one)
        for one in smooth([parsed(disc(48) if i < 6 else later, BACK) for i in range(12)])
    ]
    inside = disc(60, radius=8) > 0.5
    assert min(float(one[inside].mean()) for one in found[:6]) > 0.95
    assert max(float(one[inside].mean()) for one in found[6:]) < 0.05


def test_windows_do_not_matter() -> None:
    frames = [
        parsed(noisy(mask, i), picture)
        for i, (mask, picture) in enumerate(map(scene, np.linspace(40, 56, 15)))
    ]
    every = list(smooth(frames))
    part = list(smooth(frames[4 - REACH : 9 + REACH]))[REACH:-REACH]
    for a, b in zip(every[4:9], part, strict=True):
        np.testing.assert_array_equal(hair_of(a), hair_of(b))


def test_gaps_and_scenes_separate() -> None:
    """Over a frame without the face, or a cut, nothing is carried."""
    full, empty = np.ones((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    gap = [parsed(full, BACK)] * 3 + [Parsed(None, None)] + [parsed(empty, BACK)] * 3
    found = list(smooth(gap))
    assert found[3] is None
    cut = [parsed(full, BACK, 0)] * 3 + [parsed(empty, BACK, 1)] * 3
    for one, wanted in zip(
        [*found[:3], *found[4:], *smooth(cut)], [1] * 3 + [0] * 3 + [1] * 3 + [0] * 3, strict=True
    ):
        np.testing.assert_allclose(hair_of(one), wanted, atol=1e-6)


def test_it_reads_no_more_than_it_must() -> None:
    read = 0

    def frames() -> Iterator[Parsed]:
        nonlocal read
        for _ in range(40):
            read += 1
            yield parsed(disc(48), BACK)

    for count, _ in enumerate(smooth(frames()), 1):
        assert read <= count + REACH
    assert count == 40
    assert list(smooth([])) == []
