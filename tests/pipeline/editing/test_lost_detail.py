"""Tests of `replace_lost_detail`: a removed rim leaves no lines in frames of any size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from thcli.core.types import Crop, Image
from thcli.faces.compositing.paste import paste_change
from thcli.faces.crops.crop import crop
from thcli.pipeline.editing.lost_detail import lost_detail, replace_lost_detail


def rimmed(side: int, *, worn: bool) -> Image:
    """Return skin, with or without a thin dark ring."""
    image = np.full((side, side, 3), (190, 150, 130), np.uint8)
    if worn:
        cv2.circle(image, (side // 2, side // 2), side // 5, (30, 25, 25), max(1, side // 120))
    return image


@pytest.mark.parametrize("side", [120, 700])
@pytest.mark.parametrize("deep", [False, True])
def test_a_removed_rim_leaves_nothing(side: int, deep: bool) -> None:
    frame = rimmed(side, worn=True)
    if deep:
        frame = frame.astype(np.uint16) * np.uint16(257)
    scale = 256 / side
    matrix = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
    placement = Crop(matrix, (256, 256))
    small = rimmed(side, worn=True)
    before = np.asarray(crop(small, placement), np.uint8)
    after = rimmed(256, worn=False)
    mask = np.ones((256, 256), np.float32)
    added = paste_change(frame, before, after, placement, mask)
    found = replace_lost_detail(added, before, after, placement, mask)
    unit = 257 if deep else 1
    middle = slice(side // 5, -side // 5)
    left = np.abs(
        found[middle, middle].astype(float) / unit - rimmed(side, worn=False)[middle, middle]
    )
    assert found.dtype == frame.dtype and left.max() < 6
    same = replace_lost_detail(frame, before, before, placement, mask)
    assert same is frame


def test_a_tint_loses_no_detail() -> None:
    rng = np.random.default_rng(0)
    before = np.clip(rng.normal(150, 12, (96, 96, 1)) * np.ones(3), 0, 255).astype(np.uint8)
    tinted = (before.astype(np.float32) * 1.1).clip(0, 255).astype(np.uint8)
    assert lost_detail(before, tinted).max() < 0.1
    assert lost_detail(before, np.full_like(before, 150)).min() > 0.9


def test_the_edge_of_a_crop_leaves_no_dark_line() -> None:
    rng = np.random.default_rng(0)
    before = np.clip(rng.normal(150, 12, (64, 64, 1)) * np.ones(3), 0, 255).astype(np.uint8)
    after = np.full_like(before, 150)
    placement = Crop(np.array([[1.0, 0, -20.5], [0, 1, -20.5], [0, 0, 1]]), (64, 64))
    frame = np.full((120, 120, 3), 150, np.uint8)
    found = replace_lost_detail(frame, before, after, placement, np.ones((64, 64), np.float32))
    assert np.abs(found.astype(int) - 150).max() <= 1
