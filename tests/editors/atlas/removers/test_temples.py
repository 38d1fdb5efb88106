"""Tests of the temples that are taken off beside the eyes' part."""

from __future__ import annotations

import numpy as np
import pytest

from tests.editors.atlas.removers.test_removers import make_face, painter, remove
from thcli.core.types import Array32, Face, Image
from thcli.editors.atlas import tone
from thcli.editors.atlas.removers.measured import beside, unpack
from thcli.editors.atlas.removers.parts import COLUMNS, PARTS, ROWS
from thcli.editors.atlas.removers.temples import take_off_temples
from thcli.editors.shared.face_mesh import mesh_of
from thcli.faces.parsing.classes import class_number

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


def test_a_side_that_is_not_told_stays() -> None:
    texture, line, rims = wearer(4, 0.0, 20, -0.8)
    seen = np.ones_like(line)
    seen[:, : COLUMNS // 2] = 0
    found = take_off_temples(texture, seen, rims)
    assert found.solid[:, : COLUMNS // 2].max() == 0
    assert found.solid[ROW, COLUMNS - 40] > 0.9


def haired(yaw: float = 0.0) -> tuple[Image, Face, Array32]:
    """Return a face among hair with a dark line from ear to ear, and its regions."""
    crop, face, regions = make_face(yaw)
    hair = class_number("hair")
    regions[hair], regions[0] = regions[0], 0
    crop[bridge(face) : bridge(face) + 6] = 20
    return crop, face, regions


def bridge(face: Face) -> int:
    """Return the row of the bridge of the nose."""
    return int(mesh_of(face)[5, 1])


def edges(face: Face) -> tuple[int, int]:
    """Return the columns five pixels beside a face."""
    x = mesh_of(face)[:, 0]
    return int(x.min()) - 5, int(x.max()) + 5


def told_beside(crop: Image, face: Face, regions: Array32) -> tuple[float, float]:
    """Return the mean visibility beside the eyes on the left and on the right."""
    _, weight = unpack(painter().measure_appearance([crop], [face], regions[None])[0])
    sides = (slice(0, COLUMNS // 2), slice(COLUMNS // 2, COLUMNS))
    left, right = (float(weight[:, side][beside()[:, side] > 0].mean()) for side in sides)
    return left, right


def test_a_temple_goes_beside_the_skin_too() -> None:
    """Over ears and hair the parser sees no face, but the temple goes on."""
    crop, face, regions = haired()
    after = remove(crop, face, regions, {"eyeglasses": -1.0})
    y = bridge(face)
    for x in edges(face):
        skin = crop[y - 12, x].astype(int)
        assert np.abs(after[y + 3, x] - skin).max() < 0.3 * np.abs(skin - 20).max()
    assert (after[y + 3, 4] == crop[y + 3, 4]).all()


@pytest.mark.parametrize("yaw", [30.0, 50.0])
def test_the_side_behind_a_turned_face_is_not_told(yaw: float) -> None:
    assert min(told_beside(*haired())) > 0.9 and min(told_beside(*haired(8.0))) > 0.8
    assert told_beside(*haired(yaw))[0] < 0.1 and told_beside(*haired(yaw))[1] > 0.9
    assert told_beside(*haired(-yaw))[0] > 0.9 and told_beside(*haired(-yaw))[1] < 0.1


@pytest.mark.parametrize("known", [False, True])
def test_nothing_is_painted_behind_a_turned_face(known: bool) -> None:
    """Neither when the clip shows it in other frames, nor when it does not."""
    crop, face, regions = haired(50.0)
    one = painter()
    told = haired() if known else (crop, face, regions)
    seen = one.measure_appearance([told[0]], [told[1]], told[2][None])[0]
    prepared = one.prepare(seen, {"eyeglasses": -1.0})
    after = one.paint([crop], [face], regions[None], prepared)[0].image
    assert (after[:, : edges(face)[0]] == crop[:, : edges(face)[0]]).all()


@pytest.mark.parametrize("name", ["background", "hat", "cloth"])
def test_what_hides_a_temple_is_not_told_and_stays(name: str) -> None:
    """A hand is background, a brim a hat, a veil cloth."""
    crop, face, regions = haired()
    one = painter()
    prepared = one.prepare(
        one.measure_appearance([crop], [face], regions[None])[0], {"eyeglasses": -1.0}
    )
    covered, (x, _) = regions.copy(), edges(face)
    covered[:, :, : x + 60] = 0
    covered[class_number(name), :, : x + 60] = 1
    assert told_beside(crop, face, covered)[0] < 0.1 < 0.9 < told_beside(crop, face, covered)[1]
    after = one.paint([crop], [face], covered[None], prepared)[0].image
    assert (after[:, :x] == crop[:, :x]).all()
    bare = one.paint([crop], [face], regions[None], prepared)[0].image
    assert (bare[:, :x] != crop[:, :x]).any()
