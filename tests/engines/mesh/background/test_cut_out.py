"""Persons that are cut out of a picture for another background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32, Crop, Image
from thcli.engines.mesh.background.border import Border
from thcli.engines.mesh.background.cut_out import cut_out
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.pictures.several import blend_face
from thcli.faces.parsing.crops import Regions
from thcli.motion.render_target import RenderTarget

SIDE = 240
RED, GREY = np.array([200, 30, 30]), np.array([110, 110, 110])


def rendered(target: RenderTarget) -> Image:
    """Render the astronaut, cut out."""
    return render_frame(faces.astronaut(cut=True), target, None)


def middle_of(alpha: Image, rows: slice) -> float:
    """Return the mean column of the rows of an alpha."""
    weight = alpha[rows].astype(float)
    return float((weight * np.arange(alpha.shape[1])).sum() / weight.sum())


def disc(column: int, row: int, radius: int, size: tuple[int, int] = (SIDE, SIDE)) -> Array32:
    """Draw a disc with an edge of four pixels, (h, w) in 0..1."""
    y, x = np.mgrid[: size[0], : size[1]]
    distance = np.hypot(x - column, y - row)
    return np.asarray(np.clip((radius + 2 - distance) / 4, 0, 1), np.float32)


def test_a_still_source_gives_its_still_matte() -> None:
    source = faces.astronaut(cut=True)
    assert source.layers is not None
    for _ in range(2):
        np.testing.assert_array_equal(rendered(faces.rest_target(source)), source.layers.person)


def test_what_the_network_does_not_see_is_not_shown() -> None:
    source = faces.astronaut(cut=True)
    shown = rendered(faces.make_target(source, turn=(0, 8, 0)))
    assert not shown[:60, :60].any()  # the flag
    colour, alpha = shown[..., :3].astype(int), shown[..., 3:].astype(int)
    assert (colour <= alpha + 1).all()  # premultiplied, rounded
    face = source.mesh[:, :2].mean(0).round().astype(int)
    assert shown[face[1], face[0], 3] == 255


def test_a_matte_follows_a_turned_head() -> None:
    source = faces.astronaut(cut=True)
    assert source.layers is not None
    shown = rendered(faces.make_target(source, turn=(0, 8, 0), shift=(0.1, 0.0)))
    upper = slice(0, round(source.mesh[:, 1].min()))  # above the face
    moved = middle_of(shown[..., 3], upper) - middle_of(source.layers.person[..., 3], upper)
    assert moved > 0.02 * np.ptp(source.mesh[:, 1])


@pytest.mark.parametrize("shift", [(7.0, 0.0), (6.5, 2.25)])
def test_a_matte_moves_with_the_whole_person(shift: tuple[float, float]) -> None:
    source = faces.astronaut(cut=True)
    still = rendered(faces.rest_target(source))
    moved = rendered(replace(faces.rest_target(source), body=np.array(shift)))
    rows = slice(40, 300)
    difference = middle_of(moved[..., 3], rows) - middle_of(still[..., 3], rows)
    assert difference > 0.5 * shift[0]
    if shift == (7.0, 0.0):
        np.testing.assert_array_equal(moved[:, 21:-20], still[:, 14:-27])


def test_an_edge_has_none_of_its_background_s_colour() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.4)
    alpha = disc(SIDE // 2, SIDE // 2, 80)
    share = alpha[..., None]
    image = np.round(share * GREY + (1 - share) * RED).astype(np.uint8)
    layers = cut_out(image, SeenPersons(alpha), mesh)
    seen = layers.person.astype(float)
    edge = (seen[..., 3] > 60) & (seen[..., 3] < 220)
    assert edge.sum() > 100
    colour = seen[edge, :3] / seen[edge, 3:] * 255
    old = image[edge].astype(float)
    tint, old_tint = (np.abs(c[:, 0] - c[:, 1]).mean() for c in (colour, old))
    assert tint < 0.3 * old_tint
    assert not layers.plate.any()


def test_the_parser_settles_what_the_network_does_not_know() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.4)
    image = np.full((SIDE, SIDE, 3), 90, np.uint8)
    likely = np.maximum(disc(120, 120, 70), np.float32(0.7))
    probabilities = np.zeros((19, SIDE, SIDE), np.float32)
    probabilities[1] = disc(120, 120, 70)
    probabilities[0] = 1 - probabilities[1]
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), probabilities)
    unsettled = cut_out(image, SeenPersons(likely), mesh).person[..., 3]
    settled = cut_out(image, SeenPersons(likely), mesh, regions).person[..., 3]
    assert unsettled[30, 120] > 60
    assert settled[30, 120] == 0
    assert settled[120, 120] == 255


def test_another_person_stays_where_it_is() -> None:
    size = SIDE, 2 * SIDE
    mesh = faces.centred_mesh(SIDE, SIDE, 0.4)
    first, second = disc(120, 120, 70, size), disc(370, 120, 70, size)
    likely = first + second
    image = np.where(likely[..., None] > 0.5, np.uint8(120), np.uint8(30)).repeat(3, 2)
    layers = cut_out(image, SeenPersons(likely), mesh)
    assert layers.strangers is not None
    assert layers.person[120, 120, 3] == 255
    assert layers.person[120, 370, 3] == 0
    np.testing.assert_array_equal(layers.strangers[120, 370], (120, 120, 120, 255))
    source = faces.astronaut(cut=True)
    assert source.layers is not None
    still = np.zeros((512, 512, 4), np.uint8)
    still[:40, :40] = 200
    together = replace(source, layers=replace(source.layers, strangers=still))
    target = replace(faces.make_target(source, turn=(0, 8, 0)), body=np.array([9.0, 0.0]))
    np.testing.assert_array_equal(render_frame(together, target, None)[:40, :40], still[:40, :40])


def test_a_border_is_no_part_of_the_person() -> None:
    source = faces.astronaut(cut=True)
    border = Border(0, 30, 9, 0, np.full((512, 512, 3), 9, np.uint8))
    shown = render_frame(replace(source, border=border), faces.rest_target(source), None)
    assert not shown[-30:].any()
    assert not shown[:, :5].any()
    assert shown[:-30, 5:].any()
    lines = replace(source, border=replace(border, bottom=3, left=0))
    shown, plain = (render_frame(one, faces.rest_target(source), None) for one in (lines, source))
    assert shown[-3:].any()
    np.testing.assert_array_equal(shown, plain)  # a body ends at the edge


def test_another_picture_s_face_is_blended_over_a_person_that_is_cut_out() -> None:
    source = faces.astronaut(cut=True)
    target = faces.rest_target(source)
    out = rendered(target)
    other = np.full((512, 512, 3), 77, np.uint8)
    blended = blend_face(out, other, target.points, None, 1.0)
    x, y = target.points[:, :2].mean(0).round().astype(int)
    np.testing.assert_array_equal(blended[y, x], (77, 77, 77, 255))
    np.testing.assert_array_equal(blended[:60, :60], out[:60, :60])
