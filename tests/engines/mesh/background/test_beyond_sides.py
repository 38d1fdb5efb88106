"""Persons beyond the sides of a picture that cut them off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.background import beyond_sides
from thcli.engines.mesh.background.beyond_sides import WidePerson, continue_person

SIDE = 240
MESH = faces.centred_mesh(SIDE, SIDE)
HEIGHT = anatomy.face_height(MESH)
CHIN = float(MESH[anatomy.CHIN, 1])
HAIR = (90, 60, 30)


def cut(rows: slice, columns: int, colour: tuple[int, int, int] = HAIR) -> tuple[Image, Array32]:
    """Return a person whose hair reaches the right side, and the mask of that hair."""
    person = np.zeros((SIDE, SIDE, 4), np.uint8)
    hair = np.zeros((SIDE, SIDE), np.float32)
    person[40:200, 80:160] = (200, 160, 140, 255)
    person[rows, SIDE - columns :] = (*colour, 255)
    hair[rows, SIDE - columns :] = 1
    return person, hair


def ends(wide: WidePerson) -> list[int]:
    """Return by how many columns the person goes on to the right, for each row."""
    return [int((row > 127).sum()) for row in wide.person[:, -wide.right :, 3]]


def test_hair_goes_on_and_ends() -> None:
    person, hair = cut(slice(40, 150), 50)
    wide = continue_person(person, MESH, hair, None)
    assert wide.left == 0 and wide.person.shape == (SIDE, SIDE + wide.right, 4)
    assert np.array_equal(wide.person[:, :SIDE], person)
    longest = max(ends(wide))
    assert 0.1 * HEIGHT < longest < (beyond_sides.HAIR_REACH + 0.02) * HEIGHT
    shown = wide.person[90, SIDE : SIDE + longest - 4].astype(int)
    assert np.abs(shown - (*HAIR, 255)).max() <= 2
    assert not wide.person[:38, SIDE:].any() and not wide.person[152:, SIDE:].any()


def test_an_outline_goes_on_as_it_meets_the_side() -> None:
    """Hair that widens by a pixel per row widens on beyond the picture."""
    person, hair = cut(slice(0, 0), 1)
    for row in range(60, SIDE):
        columns = slice(SIDE - 60, SIDE - 40 + row - 60)
        person[row, columns] = (*HAIR, 255)
        hair[row, columns] = 1
    wide = continue_person(person, MESH, hair, None)
    found = ends(wide)
    first = next(row for row, count in enumerate(found) if count)
    assert abs(first - 100) < 5
    widening = np.diff(found[first : first + 12]).mean()
    assert 0.4 < widening < 1.2
    assert all(below >= above - 1 for above, below in pairwise(found[first:]))


def test_a_strand_ends_soon() -> None:
    person, hair = cut(slice(90, 94), 60)
    assert 0 < max(ends(continue_person(person, MESH, hair, None))) <= 4


def test_the_body_goes_on_as_far_as_the_picture_does() -> None:
    person, hair = cut(slice(round(CHIN + 0.1 * HEIGHT), SIDE), 60, (20, 40, 160))
    wide = continue_person(person, MESH, np.zeros_like(hair), None)
    assert wide.right >= round(beyond_sides.MARGIN * HEIGHT)
    assert wide.serves == (0, round(beyond_sides.MARGIN * HEIGHT))
    assert (wide.person[-5:, SIDE:, 3] > 200).all()
    as_cloth = continue_person(person, MESH, np.zeros_like(hair), hair)
    assert (as_cloth.person[-5:, SIDE:, 3] > 200).all()


def test_both_sides_are_continued_alike_and_a_whole_person_is_left_alone() -> None:
    person, hair = cut(slice(40, 150), 50)
    right = continue_person(person, MESH, hair, None)
    flipped = np.ascontiguousarray(person[:, ::-1]), np.ascontiguousarray(hair[:, ::-1])
    left = continue_person(flipped[0], MESH, flipped[1], None)
    assert (left.left, left.right) == (right.right, 0)
    assert np.array_equal(left.person[:, ::-1], right.person)
    whole = continue_person(person[:, : SIDE - 60], MESH, hair[:, : SIDE - 60], None)
    assert (whole.left, whole.right, whole.serves) == (0, 0, (0, 0))
    assert whole.person.shape[1] == SIDE - 60


@pytest.mark.parametrize("slope", [0.0, 0.7])
def test_strands_keep_their_direction(slope: float) -> None:
    """Mirrored, slanted strands would be a row of hooks."""
    person, hair = cut(slice(0, SIDE), 80)
    y, x = np.mgrid[:SIDE, SIDE - 80 : SIDE]
    strands = 100 + 60 * np.sin((x + slope * y) / 1.5)
    person[:, -80:, :3] = strands[..., None]
    wide = continue_person(person, MESH, hair, None).person[100:160, SIDE + 10 : SIDE + 24, 0]
    shown = wide.astype(np.float64) - wide.mean()

    def alike(lean: float) -> float:
        down = 3
        by = round(lean * down * 100) / 100
        columns = np.arange(shown.shape[1], dtype=np.float64)
        moved = np.stack([np.interp(columns - by, columns, row) for row in shown[:-down]])
        inner = slice(3, -3)
        return float(np.corrcoef(moved[:, inner].ravel(), shown[down:, inner].ravel())[0, 1])

    assert alike(-slope) > 0.8
    if slope:
        assert alike(slope) < alike(-slope) - 0.5


@pytest.mark.parametrize("size", [(40, 30), (64, 200), (12, 12)])
def test_pictures_smaller_than_the_margin_are_continued_too(size: tuple[int, int]) -> None:
    width, height = size
    person = np.full((height, width, 4), 255, np.uint8)
    mask = np.ones((max(height // 4, 1), max(width // 4, 1)), np.float32)
    wide = continue_person(person, faces.centred_mesh(width, height, 0.9), mask, None)
    assert wide.left == wide.right > 0
    assert wide.person.shape == (height, width + 2 * wide.left, 4)
    assert np.array_equal(wide.person[:, wide.left : -wide.right], person)
