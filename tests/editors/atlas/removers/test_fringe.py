"""Tests of hair that stands out beside a shaved jaw."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.editors.atlas.removers.test_removers import SKIN, make_face, painter
from thcli.core.types import Array, Array32, Image
from thcli.editors.atlas.removers.fringe import take_off_fringe
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import class_number
from thcli.faces.parsing.polygon import polygon_coverage

HAIR, AIR = (40, 34, 30), (205, 210, 220)
WIDTH = 7  # pixels of hair beside the outline; the eye corners are 126 apart


def bearded(
    yaw: float = 0.0, width: int = WIDTH
) -> tuple[Image, Image, Array, Array32, npt.NDArray[np.bool_]]:
    """Return a face with a beard, shaved within its outline, its mesh, regions, and the line."""
    _, face, regions = make_face(yaw)
    assert face.mesh is not None
    size = regions.shape[-1]
    inside = polygon_coverage(face.mesh[OVAL, :2], (size, size)) > 0.5
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
    low = np.arange(size)[:, None] > 290
    line = (cv2.dilate(inside.astype(np.uint8), element) > 0) & ~inside & low
    after = np.where(inside[..., None], SKIN, AIR)
    after = np.asarray(np.where(line[..., None], HAIR, after), np.uint8)
    before = np.asarray(np.where((inside & low)[..., None], HAIR, after), np.uint8)
    return before, after, face.mesh.astype(np.float64), regions, np.asarray(line)


@pytest.mark.parametrize("yaw", [0.0, 20.0])
def test_hair_before_the_background_gets_the_colour_of_skin(yaw: float) -> None:
    before, after, mesh, regions, line = bearded(yaw)
    out, beside = take_off_fringe(before, after, mesh, regions)
    assert beside is not None
    core = cv2.erode(line.astype(np.uint8), np.ones((3, 3))) > 0
    core[:320] = False  # the beard begins above
    left = np.abs(out[core].astype(int) - SKIN).max(-1)
    assert np.quantile(left, 0.9) < 40 and np.median(left) < 25
    assert beside[core].mean() > 0.8
    away = cv2.dilate(line.astype(np.uint8), np.ones((9, 9))) == 0
    assert (out[away] == after[away]).mean() > 0.99


def test_nothing_changes_without_a_shaved_beard() -> None:
    _, after, mesh, regions, _ = bearded()
    out, beside = take_off_fringe(after, after, mesh, regions)
    assert out is after and beside is None


def test_the_painter_takes_it_off_with_a_beard_alone() -> None:
    before, _, _, regions, line = bearded()
    _, face, _ = make_face()
    one = painter()
    seen = one.measure_appearance([before], [face], regions[None])[0]
    beside = {
        name: one.paint([before], [face], regions[None], one.prepare(seen, {name: -1.0}))[0].beside
        for name in ("beard", "lipstick")
    }
    assert beside["beard"] is not None and beside["beard"][line].mean() > 0.3
    assert beside["lipstick"] is None


@pytest.mark.parametrize("what", ["neck", "hair"])
def test_the_shade_before_a_throat_and_before_hair_stays(what: str) -> None:
    before, after, mesh, regions, _ = bearded()
    regions[class_number(what)], regions[0] = regions[0].copy(), 0
    assert take_off_fringe(before, after, mesh, regions)[1] is None


def test_what_covers_the_jaw_stays() -> None:
    """A hand or a microphone, which the parser calls background."""
    before, after, mesh, regions, line = bearded()
    low = int(np.flatnonzero(line.any(1)).max())
    place = (slice(low - 60, low + 10), slice(226, 286))
    regions = regions.copy()
    regions[:, place[0], place[1]] = 0
    regions[0][place] = 1
    out, beside = take_off_fringe(before, after, mesh, regions)
    inner = (place[0], slice(242, 270))
    assert beside is not None and beside.max() > 0.9 and beside[inner].max() < 0.01
    assert (out[inner] == after[inner]).all()


def test_what_goes_on_away_from_the_jaw_is_no_hair() -> None:
    """A coat, a dark wall or long hair, narrow or filling the picture."""
    before, after, mesh, regions, _ = bearded(width=5 * WIDTH)
    assert take_off_fringe(before, after, mesh, regions)[1] is None
    wall = np.where((after == AIR).all(-1, keepdims=True), HAIR, after).astype(np.uint8)
    assert take_off_fringe(before, wall, mesh, regions)[1] is None
