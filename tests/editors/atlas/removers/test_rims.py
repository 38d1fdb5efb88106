"""Tests of rims and lenses that are taken off a texture."""

from __future__ import annotations

import warnings

import numpy as np

from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.parts import PARTS, eye_openings
from thcli.editors.atlas.removers.rims import take_off

SKIN = (180, 140, 120)


def test_rims_are_replaced_and_tints_lifted_with_their_detail() -> None:
    """A dark line goes for good, a wide tint leaves the skin's own detail."""
    spec = PARTS["eyes"]
    rng = np.random.default_rng(3)
    size = (spec.height, spec.width)
    detail = rng.normal(0, 0.01, (*size, 1)).astype(np.float32)
    skin = np.full((*size, 3), tone.to_log(np.array(SKIN, np.uint8)), np.float32) + detail
    worn, mask = skin.copy(), np.zeros(size, np.float32)
    worn[:, 20:80] -= 0.2
    worn[40:43] -= 0.9
    mask[:, 20:80], mask[40:43] = 1, 1
    found = take_off(worn, skin - detail + np.float32(0.1), mask, np.ones(size, np.float32))
    assert found.solid[41].min() > 0.9 and found.solid[:25, 30:70].max() < 0.1
    changed = worn + found.gain + found.solid[..., None] * (found.target - worn - found.gain)
    assert np.abs(changed[:, 100:] - skin[:, 100:]).max() < 0.06, "its own tone, not the network's"
    tinted = (changed - skin)[5:30, 30:70]
    assert np.abs(tinted - tinted.mean()).max() < 0.02


def test_eyes_behind_a_tint_lose_it_and_behind_clear_lenses_stay() -> None:
    """An eye keeps its own pixels, so what the lens before it adds is taken off them."""
    size = (PARTS["eyes"].height, PARTS["eyes"].width)
    skin = np.full((*size, 3), tone.to_log(np.array(SKIN, np.uint8)), np.float32)
    mask = np.zeros(size, np.float32)
    mask[20:60, 10:70] = 1  # the left lens
    closed = 1 - eye_openings()[PARTS["eyes"].window]
    left = np.arange(size[1]) < size[1] // 2
    for tint, most in ((0.03, 0.01), (0.4, 0.4)):
        worn = skin - np.float32(tint) * mask[..., None]
        gain = take_off(worn, skin, mask, closed).gain[closed < 0.05]
        eyes = np.broadcast_to(left, size)[closed < 0.05]
        assert np.abs(gain[~eyes]).max() < 0.01
        assert abs(gain[eyes].mean() - (0 if most < 0.1 else tint - 0.06)) < most / 4 + 0.02


def test_a_pale_rim_is_replaced_where_glasses_are_worn() -> None:
    """The network sees that there are glasses, but not where their pale rims are."""
    spec = PARTS["eyes"]
    size = (spec.height, spec.width)
    skin = np.full((*size, 3), tone.to_log(np.array(SKIN, np.uint8)), np.float32)
    skin += np.random.default_rng(4).normal(0, 0.003, (*size, 1)).astype(np.float32)
    worn = skin.copy()
    worn[58:60, 20:60] += 0.1
    seen = np.ones(size, np.float32)
    for mask, replaced in ((0.25, True), (0.01, False)):
        found = take_off(worn, skin, np.full(size, mask, np.float32), seen)
        assert (found.solid[58:60, 25:55] > 0.9).all() == replaced
        assert found.solid[75:, 20:60].max() < 0.05


def test_a_part_without_visible_skin_has_no_pale_rim() -> None:
    size = (PARTS["eyes"].height, PARTS["eyes"].width)
    flat, unseen = np.zeros((*size, 3), np.float32), np.zeros(size, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = take_off(flat, flat, np.full(size, 0.25, np.float32), unseen)
    assert not found.solid.any()
