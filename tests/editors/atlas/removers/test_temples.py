"""Tests of the temples that are taken off beside the eyes' part."""

from __future__ import annotations

import numpy as np
import pytest

from tests.editors.atlas.removers.test_removers import make_face, remove
from thcli.core.types import Array32
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.parts import COLUMNS, PARTS, ROWS
from thcli.editors.atlas.removers.temples import take_off_temples

SKIN = tone.to_log(np.array((180, 140, 120), np.uint8))
ROW = PARTS["eyes"].top + 40


def wearer(thick: int, rise: float, ear: int, change: float) -> tuple[Array32, Array32, Array32]:
    """Return a texture whose temples end at column `ear` from the border, and its rims."""
    grain = np.random.default_rng(4).normal(0, 0.01, (ROWS, COLUMNS, 1))
    texture = np.asarray(SKIN + grain, np.float32)
    line = np.zeros((ROWS, COLUMNS), bool)
    for column in range(ear, COLUMNS - ear):
        out = abs(column - (COLUMNS - 1) / 2) - 60
        row = ROW - round(rise * max(out, 0))
        line[row - thick // 2 : row + thick - thick // 2, column] = True
    texture[line] += np.float32(change)
    rims = np.zeros((ROWS, COLUMNS), np.float32)
    rims[PARTS["eyes"].window] = line[PARTS["eyes"].window]
    return texture, line.astype(np.float32), rims


@pytest.mark.parametrize(
    ("thick", "rise", "change"), [(4, 0.0, -0.8), (3, 0.3, -0.5), (14, 0.1, -1.2), (3, 0.0, 0.4)]
)
def test_a_temple_is_followed_to_its_end(thick: int, rise: float, change: float) -> None:
    texture, line, rims = wearer(thick, rise, 20, change)
    found = take_off_temples(texture, np.ones_like(line), rims)
    outside = np.r_[0:50, COLUMNS - 50 : COLUMNS]
    on_line = line[:, outside] > 0
    assert np.mean(found.solid[:, outside][on_line] > 0.9) > 0.95
    left = np.abs(found.target - SKIN)[:, outside].max(-1)[on_line]
    assert np.quantile(left, 0.95) < 0.08
    beyond = np.r_[0:12, COLUMNS - 12 : COLUMNS]
    assert found.solid[:, beyond].max() < 0.1  # the ear
    far = np.abs(np.arange(ROWS) - ROW) > 36
    assert found.solid[far].max() == 0


def test_a_line_that_no_rim_leads_to_stays() -> None:
    texture, line, rims = wearer(4, 0.0, 20, -0.8)
    found = take_off_temples(texture, np.ones_like(line), np.zeros_like(rims))
    assert found.solid.max() == 0
    assert np.array_equal(found.target, texture)


def test_rims_without_temples_change_nothing_beside_the_part() -> None:
    texture, line, rims = wearer(4, 0.0, 75, -0.8)
    found = take_off_temples(texture, np.ones_like(line), rims)
    assert found.solid[:, : PARTS["eyes"].left].max() < 0.1


def test_a_hidden_side_stays() -> None:
    texture, line, rims = wearer(4, 0.0, 20, -0.8)
    seen = np.ones_like(line)
    seen[:, : COLUMNS // 2] = 0
    found = take_off_temples(texture, seen, rims)
    assert found.solid[:, : COLUMNS // 2].max() == 0
    assert found.solid[ROW, COLUMNS - 40] > 0.9


def test_a_temple_goes_beside_the_skin_too() -> None:
    """Over ears and hair the parser sees no face, but the temple goes on."""
    crop, face, regions = make_face()
    assert face.mesh is not None
    y = int(face.mesh[5, 1])  # the bridge of the nose
    crop[y : y + 6] = 20
    after = remove(crop, face, regions, {"eyeglasses": -1.0})
    edges = int(face.mesh[:, 0].min()) - 5, int(face.mesh[:, 0].max()) + 5
    for x in edges:
        beside = crop[y - 12, x].astype(int)
        assert np.abs(after[y + 3, x] - beside).max() < 0.3 * np.abs(beside - 20).max()
    assert (after[y + 3, 4] == crop[y + 3, 4]).all()
