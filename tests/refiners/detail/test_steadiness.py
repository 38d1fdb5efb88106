"""Steady placement: shaking goes, movement stays, other scenes and edges of the clip count not."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from thcli.core.types import Array32, Image
from thcli.refiners.detail.steadiness import CropFlows, LinkedCrop, ReducedCrop, steady

SIDE = 96


def picture() -> Image:
    noise = np.random.default_rng(0).normal(0, 1, (2 * SIDE, 2 * SIDE))
    soft = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return np.asarray(np.clip(128 + 40 * soft / soft.std(), 0, 255)[..., None].repeat(3, 2), "u1")


def grid() -> Array32:
    axis = np.arange(SIDE, dtype=np.float32)
    return np.dstack(np.meshgrid(axis, axis))


def crop_at(x: float, error: float = 0.0, light: float = 0.0) -> ReducedCrop:
    """Return a crop of a picture `x` pixels to the right, its placement off by `error`.

    light: levels that are added to it.
    """
    where = grid() + np.float32(SIDE / 2) - np.array([x, 0], np.float32)
    shown = cv2.remap(picture(), where[..., 0], where[..., 1], cv2.INTER_CUBIC)
    image: Image = np.clip(np.rint(shown + light), 0, 255).astype(np.uint8)
    placed = where + np.float32(error)
    return ReducedCrop(image, image, image, placed, np.eye(3), 1.0)


def linked(crops: Sequence[ReducedCrop | None]) -> list[LinkedCrop | None]:
    """Link each crop to the next one."""
    return [
        None
        if one is None
        else LinkedCrop(one, None if other is None else CropFlows.between(one, other))
        for one, other in zip(crops, [*crops[1:], None], strict=True)
    ]


def inside(values: Array32) -> Array32:
    return values[20:-20, 20:-20]


def test_an_error_of_one_placement_is_averaged_away() -> None:
    window = linked([crop_at(0, error) for error in (0, 0, 0.8, 0, 0)])
    change = inside(steady(window, 2).positions)
    assert np.abs(change + 0.8).mean() < 0.35


def test_a_shaken_frame_is_placed_on_the_path_of_its_neighbours() -> None:
    window = linked([crop_at(x) for x in (0, 0, 0.4, 0, 0)])
    found = steady(window, 2)
    shake, change = inside(found.shake), inside(found.positions)
    assert np.abs(shake[..., 0] + 0.3).mean() < 0.15 and np.abs(shake[..., 1]).mean() < 0.1
    assert 0.15 < change[..., 0].mean() < 0.45


def test_even_movement_and_sudden_movement_stay() -> None:
    for path in ((0, 1, 2, 3, 4), (0, 0, 4, 4, 4)):
        found = steady(linked([crop_at(x) for x in path]), 2)
        assert np.abs(inside(found.shake)).mean() < 0.1
        assert np.abs(inside(found.positions)).mean() < 0.15


def test_the_ends_of_a_scene_stay() -> None:
    for window, middle in (([crop_at(0.4), crop_at(0)], 0), ([None, crop_at(0.4), crop_at(0)], 1)):
        found = steady(linked(window), middle)
        assert not found.shake.any() and np.abs(found.positions).max() < 1e-3


def test_a_neighbour_on_one_side_is_enough_for_doubt() -> None:
    window = linked([crop_at(0, error) for error in (3, 0, 0)])
    assert inside(steady(window, 0).certainty).max() < 0.5
    assert inside(steady(window[:1], 0).certainty).min() == 1


def test_a_crop_that_is_missing_in_the_middle_is_refused() -> None:
    with pytest.raises(ValueError, match="no crop in the middle"):
        steady(linked([crop_at(0), None, crop_at(0)]), 1)


@pytest.mark.parametrize(("light", "left"), [(2.0, 0.4), (12.0, 12.0)])
def test_light_that_pulses_is_averaged_and_a_lasting_change_stays(
    light: float, left: float
) -> None:
    """The change of one frame in five is spread over them, along the movement."""
    lights = (0, 0, light, 0, 0) if light < 3 else (0, 0, light, light, light)
    crops = [crop_at(x, light=level) for x, level in zip((0, 1, 2, 3, 4), lights, strict=True)]
    pulse = steady(linked(crops), 2).pulse[10:-10, 10:-10]
    assert abs(light + pulse.mean() - left) < 0.25 and np.abs(pulse - pulse.mean()).mean() < 0.6


@pytest.mark.parametrize("gain", [1.0, 0.15])
def test_a_mouth_that_opens_for_one_frame_is_no_pulse_in_any_light(gain: float) -> None:
    crops = []
    for opened in (False, False, True, False, False):
        face = cv2.resize(picture(), (SIDE, SIDE)).astype(np.float32) / 4 + 32
        if opened:
            cv2.ellipse(face, (48, 48), (14, 7), 0, 0, 360, (26, 26, 26), -1)
        image: Image = np.rint(cv2.GaussianBlur(face, (0, 0), 1.0) * gain).astype(np.uint8)
        crops.append(ReducedCrop(image, image, image, grid(), np.eye(3), 1.0))
    depth = float(crops[0].image[48, 48].mean()) - float(crops[2].image[48, 48].mean())
    assert depth > 3 and steady(linked(crops), 2).pulse[24, 24].mean() < 0.2 * depth
