"""Transfer of detail: what is missing comes back, what is there or different stays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.sampling import resize
from thcli.motion.canonical import neutral
from thcli.refiners.detail.sharpness import lost_sharpness
from thcli.refiners.detail.texture import Texture, place_texture
from thcli.refiners.detail.transfer import CoarseCrop, analyse, colour_gains, missing_detail

SIDE, UNIT = 192, 192 / 256


def picture(seed: int, side: int = SIDE) -> Image:
    """Return structure of several sizes, (side, side, 3) uint8."""
    rng = np.random.default_rng(seed)
    out = np.full((side, side), 128.0)
    for sigma, strength in ((1.0, 12.0), (3.0, 20.0), (9.0, 30.0)):
        noise = cv2.GaussianBlur(rng.normal(0, 1, (side, side)), (0, 0), sigma)
        out += strength * noise / noise.std()
    return np.asarray(np.clip(out, 0, 255)[..., None].repeat(3, 2), np.uint8)


def mesh(side: int = SIDE) -> Array:
    shape = neutral() - (neutral().min(0) + neutral().max(0)) / 2
    return np.asarray(shape * 0.28 * side + (side / 2, side / 2, 0))


def texture(image: Image) -> Texture:
    side = image.shape[0]
    return Texture(image, mesh(side), np.ones((side, side), np.float32))


def blurred(image: Image, sigma: float = 1.6) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def detail_of(image: Image, source: Texture) -> Array32:
    return missing_detail([analyse(image, UNIT, mesh(), source, 0, np.eye(3))], 0, source)[..., 0]


def energy(values: Image | Array32 | Array) -> float:
    return float(cv2.Laplacian(values[40:-40, 40:-40].astype(np.float32), cv2.CV_32F).var())


def test_a_blurred_crop_gets_its_detail_back() -> None:
    sharp = picture(1)
    coarse = blurred(sharp)
    refined = coarse[..., 0] + detail_of(coarse, texture(sharp))
    before, after, true = (energy(v) for v in (coarse[..., 0], refined, sharp[..., 0]))
    assert before < 0.2 * true and 0.5 * true < after < 1.1 * true
    error, old = (np.abs(v - sharp[..., 0].astype(float)).mean() for v in (refined, coarse[..., 0]))
    assert error < 0.5 * old


def test_a_source_of_another_size_does_as_well() -> None:
    large = picture(2, 240)
    coarse = blurred(np.asarray(cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
    refined = coarse[..., 0] + detail_of(coarse, texture(large))
    assert energy(refined) > 2 * energy(coarse[..., 0])


def test_a_sharp_crop_stays() -> None:
    sharp = picture(3)
    noisy = np.clip(sharp + np.random.default_rng(0).normal(0, 2, sharp.shape), 0, 255)
    assert np.abs(detail_of(noisy.astype(np.uint8), texture(sharp))).mean() < 0.2


def test_another_picture_gives_no_detail() -> None:
    coarse = blurred(picture(4))
    own, other = (np.abs(detail_of(coarse, texture(picture(s)))).mean() for s in (4, 5))
    assert other < 0.2 * own


def test_pixels_that_the_source_lacks_give_no_detail() -> None:
    sharp = picture(6)
    half = texture(sharp)
    half.weight[:, : SIDE // 2] = 0
    detail = detail_of(blurred(sharp), half)
    assert np.abs(detail[:, : SIDE // 2 - 8]).max() == 0 and np.abs(detail[:, -80:]).max() > 1


def test_a_cheek_that_the_source_hides_is_not_visible() -> None:
    angle = np.radians(50)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    centre = np.array([SIDE / 2, SIDE / 2, 0])
    source = Texture(
        picture(7), (mesh() - centre) @ turn.T + centre, np.ones((SIDE,) * 2, np.float32)
    )
    placed = place_texture(source, picture(7), mesh(), np.eye(3))
    visibility = resize(placed.visibility, (SIDE, SIDE))
    cheeks = np.array([visibility[int(y), int(x)] for x, y in mesh()[[123, 352], :2]])
    assert cheeks.min() < 0.2 and cheeks.max() > 0.8


def crops(images: Sequence[Image], source: Texture, scenes: Sequence[int]) -> list[CoarseCrop]:
    return [
        analyse(image, UNIT, mesh(), source, scene, np.eye(3))
        for image, scene in zip(images, scenes, strict=True)
    ]


@pytest.mark.parametrize(("gain", "kept"), [(1.04, False), (1.3, True)])
def test_a_drift_of_colour_is_undone_and_other_light_stays(gain: float, kept: bool) -> None:
    source = texture(picture(8))
    tinted = source.image.copy()
    tinted[..., 0] = np.clip(tinted[..., 0] * gain, 0, 255)
    gains = colour_gains(crops([tinted], source, [0]), 0)
    assert gains[0] == pytest.approx(1 if kept else 1 / gain, abs=0.006)
    assert gains[1:] == pytest.approx([1, 1], abs=0.006)


def test_a_clipped_highlight_of_the_source_is_no_drift_of_colour() -> None:
    coarse = np.asarray(picture(8) * 0.06 + 227, np.uint8)
    source = texture(np.asarray(coarse + 15, np.uint8))
    assert np.median(coarse) < 245 < np.median(source.image)
    assert np.array_equal(colour_gains(crops([coarse], source, [0]), 0), np.ones(3))


def test_what_a_frame_shows_otherwise_is_no_drift_of_colour() -> None:
    source = texture(picture(10))
    opened = np.clip(source.image * 1.03, 0, 255).astype(np.uint8)
    opened[SIDE // 2 : 5 * SIDE // 8, 3 * SIDE // 8 : 5 * SIDE // 8] = 20
    gains = colour_gains(crops([opened], source, [0]), 0)
    assert gains == pytest.approx([1 / 1.03] * 3, abs=0.006)
    hidden = texture(source.image)
    hidden.weight[:] = 0
    assert np.array_equal(colour_gains(crops([opened], hidden, [0]), 0), np.ones(3))


def test_another_scene_and_a_gap_are_left_out() -> None:
    source = texture(picture(9))
    coarse, sharp = blurred(source.image), source.image
    alone = missing_detail(crops([coarse], source, [0]), 0, source)
    cut = missing_detail(crops([sharp, coarse, sharp], source, [0, 1, 2]), 1, source)
    gap = missing_detail([None, *crops([coarse], source, [0]), None], 1, source)
    mixed = missing_detail(crops([sharp, coarse, sharp], source, [0, 0, 0]), 1, source)
    assert np.array_equal(alone, cut) and np.array_equal(alone, gap)
    assert not np.array_equal(alone, mixed)
    with pytest.raises(ValueError, match="no crop"):
        missing_detail([None], 0, source)


def test_sharpness_that_was_lost_comes_back_and_no_more() -> None:
    sharp = picture(11)
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 0.8), np.float32)
    mended = soft[..., 0] + lost_sharpness(sharp, soft)
    before, after, true = (energy(v) for v in (soft[..., 0], mended, sharp[..., 0]))
    assert 1.5 * before < after <= 1.05 * true
    assert np.abs(lost_sharpness(sharp, sharp.astype(np.float32))).max() < 0.01


def test_light_that_pulses_around_the_head_stays() -> None:
    source = texture(picture(0))
    coarse = blurred(picture(0))
    first, bright, last = crops([coarse, coarse + np.uint8(2), coarse], source, [0] * 3)
    linked = [first.link(bright), bright.link(last), last]
    alone = missing_detail([None, bright, None], 1, source)
    taken = alone - missing_detail(linked, 1, source)
    middle = slice(SIDE // 2 - 8, SIDE // 2 + 8)
    assert taken[middle, middle].mean() > 0.5
    assert abs(taken[:6, :6].mean()) < 0.1
