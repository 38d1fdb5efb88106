"""Scene cuts on synthetic scenes: coloured blobs as scenery, one large blob as the head."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from thcli.faces.tracking.cuts import CutDetector, thumbnail

Pixels = npt.NDArray[np.uint8]
SIZE = (160, 240)


def scene(seed: int, head: float = 0.5, zoom: float = 1.0) -> Pixels:
    """Render a still scene with a head at `head` of the width."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    small = rng.uniform(20, 235, (6, 9, 3)).astype(np.float32) * rng.uniform(0.4, 1, 3).astype(
        np.float32
    )
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = rng.uniform(80, 220, 3)
    centre = (round(head * width), height // 2)
    cv2.ellipse(
        image,
        centre,
        (round(30 * zoom), round(42 * zoom)),
        0,
        0,
        360,
        skin.tolist(),
        -1,
        cv2.LINE_AA,
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def noisy(image: Pixels, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def cuts_in(images: list[Pixels]) -> list[int]:
    cuts = CutDetector()
    return [i for i, image in enumerate(images) if cuts.is_cut(noisy(image, i))]


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_is_detected_at_its_frame(seed: int) -> None:
    assert cuts_in([scene(seed)] * 3 + [scene(seed + 100)] * 3) == [3]


@pytest.mark.parametrize("bars", [(0, 72), (36, 0), (0, 200)])
def test_black_bars_do_not_hide_a_cut(bars: tuple[int, int]) -> None:
    (rows, columns), seeds = bars, range(8)

    def barred(image: Pixels) -> Pixels:
        return np.pad(image, ((rows, rows), (columns, columns), (0, 0)))

    for seed in seeds:
        assert cuts_in([barred(scene(seed))] * 3 + [barred(scene(seed + 100))] * 3) == [3]
    heads = [barred(scene(1, head)) for head in (0.3, 0.4, 0.5, 0.6, 0.7)]
    assert cuts_in(heads) == []


def test_a_still_scene_has_none() -> None:
    assert cuts_in([scene(0)] * 10) == []


def test_a_head_that_moves_fast_is_no_cut() -> None:
    """A fifth of the width per frame."""
    assert cuts_in([scene(1, head) for head in (0.2, 0.4, 0.6, 0.8, 0.6, 0.4, 0.2)]) == []


def test_a_fast_pan_is_no_cut() -> None:
    """5 % of the width per frame: half the image in a quarter second."""
    wide = scene(2)
    assert cuts_in([np.roll(wide, 12 * i, 1) for i in range(8)]) == []


def test_a_pan_by_a_third_of_a_plain_scene_is_no_cut() -> None:
    """A person before a plain wall, of whom hardly anything stays where it was."""
    for seed in range(8):
        tone = np.random.default_rng(seed).uniform(60, 200, 3)
        wide = np.full((160, 400, 3), tone, np.uint8)
        wide[:, 120:280] = scene(seed)[:, 40:200]
        views = [wide[:, x : x + 240] for x in (0, 80, 160, 80, 0)]
        assert cuts_in(views) == []
        other = [scene(seed + 100)] * 2
        assert cuts_in(views + other) == [len(views)]


def test_flashes_are_no_cuts() -> None:
    still = scene(3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    spot = np.exp(-((x - 60) ** 2 + (y - 50) ** 2) / 70.0**2)[..., None]
    lamp = np.clip(still + 150 * spot, 0, 255).astype(np.uint8)
    bright = np.clip(still * 1.5 + 40, 0, 255).astype(np.uint8)
    dim = (still * 0.4).astype(np.uint8)
    assert cuts_in([still, bright, still, lamp, still, dim, still]) == []


def test_a_white_frame_neither_hides_nor_is_a_cut() -> None:
    white = np.full((*SIZE, 3), 255, np.uint8)
    assert cuts_in([scene(4), white, white, scene(4)]) == []
    assert cuts_in([scene(4), white, white, scene(104)]) == [3]


def test_a_slow_fade_is_no_cut() -> None:
    steps = np.linspace(1, 0.1, 20)
    assert cuts_in([(scene(5) * k).astype(np.uint8) for k in steps]) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (31, 33), (1080, 1920)])
def test_images_of_any_size(shape: tuple[int, int]) -> None:
    flat = np.full((*shape, 3), 65535, np.uint16)
    assert thumbnail(flat).shape == (32, 32, 3)
    assert np.allclose(thumbnail(flat), 1)
    assert not CutDetector().is_cut(flat)
