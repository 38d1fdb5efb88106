"""Tests for the outlines of lenses."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.editors.atlas.removers.outline import lens_outlines
from thcli.editors.atlas.removers.parts import PARTS, canonical_places

SHAPE = (PARTS["eyes"].height, PARTS["eyes"].width)


def _two_rings() -> np.ndarray:
    places = canonical_places()[PARTS["eyes"].window]
    rings = np.zeros(SHAPE, np.float32)
    for middle in (-0.34, 0.34):
        away = np.hypot(places[..., 0] - middle, places[..., 1])
        away[~places.any(-1)] = np.inf
        y, x = np.unravel_index(int(np.argmin(away)), SHAPE)
        cv2.ellipse(rings, (int(x), int(y)), (30, 25), 0, 0, 360, 1.5, 2)
    return rings


def test_a_gap_of_a_rim_is_closed() -> None:
    rings = _two_rings()
    torn = rings.copy()
    columns = np.flatnonzero(rings.any(0))
    torn[60:, columns[0] + 15 : columns[0] + 30] = 0
    gap = (rings > 1) & (torn == 0)
    assert gap.sum() > 20
    found = lens_outlines(torn, np.ones(SHAPE, np.float32))
    assert found[rings > 1].mean() > 0.9
    assert found[gap].mean() > 0.8
    assert found.mean() < 0.2


def test_scattered_lines_are_no_outline() -> None:
    lines = (np.random.default_rng(0).random(SHAPE) < 0.05).astype(np.float32) * 1.5
    free = np.ones(SHAPE, np.float32)
    assert not lens_outlines(lines, free).any()
    assert not lens_outlines(_two_rings(), 0 * free).any()
