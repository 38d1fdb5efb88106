"""Width of the cheek that a turn brings into view."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array
from thcli.engines.mesh.head.cheeks.near_side import GROWN, NearSide
from thcli.faces.landmarks.topology import OVAL

FRONTAL = faces.centred_mesh(512, 512)
EYE_CORNERS = {1: 263, -1: 33}


def turned(mesh: Array, degrees: float) -> Array:
    middle = mesh.mean(0)
    rotation = matrix_from_rotvec(np.array([0, np.radians(degrees), 0]))
    return np.asarray((mesh - middle) @ rotation.T + middle)


def width(mesh: Array, side: int) -> float:
    outline = OVAL[6:13] if side > 0 else OVAL[24:31]
    return float(side * (mesh[outline, 0].mean() - mesh[EYE_CORNERS[side], 0]))


@pytest.mark.parametrize("degrees", [-35.0, 35.0])
def test_the_side_that_a_turn_shows_grows_less_than_the_turn_asks_for(degrees: float) -> None:
    target = turned(FRONTAL, degrees)
    side = 1 if width(target, 1) > width(target, -1) else -1
    found = NearSide.of(FRONTAL).narrow(target)
    own = width(FRONTAL, side)
    assert width(target, side) > 1.5 * own
    assert GROWN * own < width(found, side) < 0.93 * width(target, side)
    inner = side * (target[:, 0] - target[EYE_CORNERS[side], 0]) <= 0
    assert np.array_equal(found[inner], target[inner])
    order = np.argsort(side * target[OVAL[6:13] if side > 0 else OVAL[24:31], 0])
    ring = (OVAL[6:13] if side > 0 else OVAL[24:31])[order]
    assert (np.diff(side * found[ring, 0]) >= -1e-6).all()


def test_small_turns_and_sources_that_show_the_side_are_left() -> None:
    slightly = turned(FRONTAL, 8)
    assert NearSide.of(FRONTAL).narrow(slightly) is slightly
    aside, further = turned(FRONTAL, 30), turned(FRONTAL, 36)
    assert NearSide.of(aside).narrow(further) is further


@pytest.mark.parametrize("degrees", [-32.0, 32.0])
def test_a_side_that_turns_back_is_narrower_and_a_hidden_one_comes_back_whole(
    degrees: float,
) -> None:
    aside = turned(FRONTAL, degrees)
    near = 1 if width(aside, 1) > width(aside, -1) else -1
    found = NearSide.of(aside).narrow(FRONTAL)
    assert 0.75 < width(found, near) / width(FRONTAL, near) < 0.85
    assert width(found, -near) == width(FRONTAL, -near)
    half = NearSide.of(aside).narrow(turned(FRONTAL, degrees / 2))
    asked = width(turned(FRONTAL, degrees / 2), near)
    assert 0.85 < width(half, near) / asked < 0.95
    assert NearSide.of(aside).narrow(aside) is aside


@pytest.mark.parametrize("degrees", [-12.0, 12.0])
def test_a_little_turned_source_comes_back_as_wide_as_its_shape(degrees: float) -> None:
    assert NearSide.of(turned(FRONTAL, degrees)).narrow(FRONTAL) is FRONTAL
