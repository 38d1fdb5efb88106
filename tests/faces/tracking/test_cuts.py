"""Scene cuts on made scenes: blobs of colour for the scenery, one large blob for the head."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from thcli.faces.tracking.cuts import Cuts, thumbnail

Picture = npt.NDArray[np.uint8]
SIZE = (160, 240)


def scene(seed: int, head: float = 0.5, zoom: float = 1.0) -> Picture:
    """A still scene with a head at `head` of the width."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    small = rng.uniform(20, 235, (6, 9, 3)).astype(np.float32) * rng.uniform(0.4, 1, 3).astype(
        np.float32
    )
    picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    skin = rng.uniform(80, 220, 3)
    centre = (round(head * width), height // 2)
    cv2.ellipse(
        picture,
        centre,
        (round(30 * zoom), round(42 * zoom)),
        0,
        0,
        360,
        skin.tolist(),
        -1,
        cv2.LINE_AA,
    )
    return np.clip(picture, 0, 255).astype(np.uint8)


def noisy(picture: Picture, seed: int) -> Picture:
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def cuts_in(pictures: list[Picture]) -> list[int]:
    cuts = Cuts()
    return [i for i, picture in enumerate(pictures) if cuts.is_cut(noisy(picture, i))]


@pytest.mark.parametrize("seed", range(8))
def test_a_cut_is_found_where_it_is(seed: int) -> None:
    assert cuts_in([scene(seed)] * 3 + [scene(seed + 100)] * 3) == [3]


def test_a_still_scene_has_none() -> None:
    assert cuts_in([scene(0)] * 10) == []


def test_a_head_that_moves_fast_is_no_cut() -> None:
    """A fifth of the width a frame."""
    assert cuts_in([scene(1, head) for head in (0.2, 0.4, 0.6, 0.8, 0.6, 0.4, 0.2)]) == []


def test_a_fast_pan_is_no_cut() -> None:
    """5 % of the width a frame: a quarter second for half the picture."""
    wide = scene(2)
    assert cuts_in([np.roll(wide, 12 * i, 1) for i in range(8)]) == []


def test_flashes_are_no_cuts() -> None:
    still = scene(3)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    spot = np.exp(-((x - 60) ** 2 + (y - 50) ** 2) / 70.0**2)[..., None]
    lamp = np.clip(still + 150 * spot, 0, 255).astype(np.uint8)
    bright = np.clip(still * 1.5 + 40, 0, 255).astype(np.uint8)
    dim = (still * 0.4).astype(np.uint8)
    assert cuts_in([still, bright, still, lamp, still, dim, still]) == []


def test_a_white_out_hides_no_cut_and_makes_none() -> None:
    white = np.full((*SIZE, 3), 255, np.uint8)
    assert cuts_in([scene(4), white, white, scene(4)]) == []
    assert cuts_in([scene(4), white, white, scene(104)]) == [3]


def test_a_slow_fade_is_no_cut() -> None:
    steps = np.linspace(1, 0.1, 20)
    assert cuts_in([(scene(5) * k).astype(np.uint8) for k in steps]) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (31, 33), (1080, 1920)])
def test_pictures_of_any_size(shape: tuple[int, int]) -> None:
    flat = np.full((*shape, 3), 65535, np.uint16)
    assert thumbnail(flat).shape == (32, 32, 3)
    assert np.allclose(thumbnail(flat), 1)
    assert not Cuts().is_cut(flat)
