"""Hidden halves of turned sources: what is hidden, in which light, and up to a nose's ridge."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Crop, Image
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.eyes.extract import extract_eyes
from thcli.engines.mesh.eyes.layer import visibilities
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.cheeks import mirrored_cheek
from thcli.engines.mesh.head.covered_points import covered
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.landmarks.topology import PAIRS
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 320
RIDGE = (6, 197, 195, 5)
FAR_FLANK = {1: (456, 420, 399, 412), -1: (236, 198, 174, 188)}  # by the sign of the turn


def turned_mesh(angle: float) -> Array:
    """Turn the mean face by degrees about the vertical axis."""
    rest = faces.make_source(SIDE, SIDE)
    return np.asarray(faces.make_target(rest, turn=(0, angle, 0)).points)


def far_sign(mesh: Array) -> int:
    """Return 1 where the far flank of the nose is that of `FAR_FLANK[1]`."""
    depths = [mesh[list(FAR_FLANK[sign]), 2].mean() for sign in (1, -1)]
    return 1 if depths[0] > depths[1] else -1


@pytest.mark.parametrize("angle", [45.0, -45.0])
def test_a_nose_covers_what_is_behind_it(angle: float) -> None:
    points = np.arange(len(PAIRS))
    assert not covered(turned_mesh(0.0), points).any()
    mesh = turned_mesh(angle)
    hidden = covered(mesh, points)
    assert hidden.any()
    assert not hidden[list(RIDGE)].any()
    assert (mesh[hidden, 2] > mesh[hidden[PAIRS], 2].mean()).mean() > 0.9
    assert not (hidden & hidden[PAIRS]).any()
    np.testing.assert_array_equal(covered(mesh, np.flatnonzero(hidden)), True)


@pytest.mark.parametrize("angle", [0.0, 20.0, 55.0, -55.0])
def test_an_eye_that_a_turn_hides_is_the_mirror_image_of_the_other(angle: float) -> None:
    mesh = turned_mesh(angle)
    image = faces.render_face(mesh, SIDE, SIDE)
    eyes = extract_eyes(image, mesh, faces.iris_points(mesh), np.array(faces.SKIN, float))
    if abs(angle) < 30:
        assert all(eye.is_own for eye in eyes)
        return
    far = int(np.argmax([mesh[ring, 2].mean() for ring in anatomy.EYES]))
    assert [eye.is_own for eye in eyes] == [far != 0, far != 1]
    np.testing.assert_array_equal(eyes[far].image, image[:, ::-1])
    at_rest, back = (visibilities(eyes, target)[far] for target in (mesh, turned_mesh(0.3 * angle)))
    assert at_rest == 0
    assert back > 0.9


def lit_from_the_near_side(mesh: Array) -> Image:
    """Render a turned face whose light falls off from the near cheek to the nose and beyond."""
    image = faces.render_face(mesh, SIDE, SIDE, plain=True).astype(np.float64)
    near = mesh[PAIRS[list(FAR_FLANK[far_sign(mesh)])], 0].mean() - mesh[list(RIDGE), 0].mean()
    away = (np.arange(SIDE) - mesh[list(RIDGE), 0].mean()) * np.sign(near) / np.ptp(mesh[:, 0])
    light = np.clip(0.35 + 2.0 * np.maximum(away - 0.1, 0), 0.35, 1.2)
    return np.asarray(np.clip(image * light[None, :, None], 0, 255), np.uint8)


@pytest.mark.parametrize("angle", [32.0, -32.0])
def test_a_hidden_cheek_has_the_light_of_its_side_not_of_the_bright_one(angle: float) -> None:
    mesh = turned_mesh(angle)
    image = lit_from_the_near_side(mesh)
    cheek = mirrored_cheek.prepare(image, mesh)
    assert cheek is not None
    hidden = cheek.hidden > 0.9
    x, y = np.rint(cheek.positions[hidden]).astype(int).clip(0, SIDE - 1).T
    shown = (image[y, x] * cheek.gains[hidden]).mean(-1)
    in_view = image[tuple(np.rint(mesh[list(RIDGE), :2]).astype(int).T[::-1])].mean()
    assert image[y, x].mean(-1).max() > 2 * in_view
    assert shown.max() < 1.5 * in_view


def test_a_cheek_is_mirrored_as_a_whole_or_not_at_all() -> None:
    """Half transparent it would be a ghost before the source's own."""
    largest = []
    for angle in np.arange(2.0, 20.0, 0.5):
        mesh = turned_mesh(angle)
        image = faces.render_face(mesh, SIDE, SIDE, plain=True)
        cheek = mirrored_cheek.prepare(image, mesh)
        largest.append(0.0 if cheek is None else float(cheek.hidden.max()))
    assert largest[0] == 0 and min(largest[12:]) == 1
    assert sum(0 < share < 0.9 for share in largest) <= 2


@pytest.mark.parametrize("angle", [8.0, -8.0])
def test_a_lit_cheek_is_mirrored_from_one_in_the_shade(angle: float) -> None:
    """A head that turns back past the front has no cheek of its own there: it would be broad."""
    mesh = turned_mesh(angle)
    image = faces.render_face(mesh, SIDE, SIDE, plain=True).astype(np.float64)
    middle, width = mesh[list(RIDGE), 0].mean(), float(np.ptp(mesh[:, 0]))
    near = np.sign(mesh[PAIRS[list(FAR_FLANK[far_sign(mesh)])], 0].mean() - middle)
    light = 1 - 0.7 * smoothstep(0.3, 0.45, (np.arange(SIDE) - middle) * near / width)
    shaded = np.asarray(image * light[None, :, None], np.uint8)
    cheek = mirrored_cheek.prepare(shaded, mesh)
    assert cheek is not None and cheek.hidden.max() > 0.9


def test_a_hand_on_the_cheek_that_is_seen_is_not_mirrored() -> None:
    mesh = turned_mesh(20.0)
    image = faces.render_face(mesh, SIDE, SIDE, plain=True)
    free = mirrored_cheek.prepare(image, mesh)
    assert free is not None
    on_cheek = free.positions[free.hidden > 0.9]
    below = on_cheek + np.array([0, anatomy.face_height(mesh)])
    for points, is_mirrored in ((on_cheek, False), (below, True)):
        hand = np.resize(points, (1, 21, 2))
        assert (mirrored_cheek.prepare(image, mesh, hands=hand) is not None) == is_mirrored


@pytest.mark.parametrize(("angle", "is_mirrored"), [(8.0, False), (20.0, True)])
def test_no_skin_is_mirrored_to_where_hair_falls_before_a_cheek(
    angle: float, *, is_mirrored: bool
) -> None:
    mesh = turned_mesh(angle)
    image = faces.render_face(mesh, SIDE, SIDE, plain=True)
    hidden = mirrored_cheek.prepare(image, mesh)
    assert hidden is not None
    planes = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("skin")] = 1
    for x, y in np.rint(mesh[hidden.hidden > 0.5, :2]).astype(int):
        beside = slice(y - 4, y + 5), slice(x - 4, x + 5)
        planes[class_number("hair")][beside], planes[class_number("skin")][beside] = 1, 0
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)
    assert (mirrored_cheek.prepare(image, mesh, regions) is not None) == is_mirrored


@pytest.mark.parametrize("angle", [45.0, -45.0])
def test_no_line_of_what_lies_behind_a_nose_is_drawn_along_it(angle: float) -> None:
    """Hair that begins at the ridge of the nose stays hidden behind it in a turn back."""
    mesh = turned_mesh(angle)
    image = faces.render_face(mesh, SIDE, SIDE, plain=True)
    far = np.sign(mesh[list(RIDGE), 0].mean() - mesh[:, 0].mean())
    rows = np.arange(SIDE)
    order = np.argsort(mesh[list(RIDGE), 1])
    ridge = mesh[list(RIDGE)][order]
    level = (rows > ridge[0, 1]) & (rows < ridge[-1, 1])
    edge = np.interp(rows, ridge[:, 1], ridge[:, 0]) - 2 * far
    behind = (np.arange(SIDE)[None] - edge[:, None]) * far > 0
    image[behind & level[:, None]] = (10, 5, 5)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    target = faces.make_target(source, turn=(0, -0.5 * angle, 0))
    out = render_frame(source, target, None)
    ridge, flank = (target.points[point, :2] for point in (195, FAR_FLANK[far_sign(mesh)][2]))
    x, y = np.rint(ridge + np.linspace(0, 0.6, 7)[:, None] * (flank - ridge)).astype(int).T
    assert out[y, x].mean(-1).min() > 0.9 * np.mean(faces.SKIN)


@pytest.mark.parametrize(("angle", "whole"), [(44.0, True), (-44.0, True), (28.0, False)])
def test_a_profile_that_turns_back_shows_its_other_half_whole(angle: float, whole: bool) -> None:
    """Half transparent before dark hair, the mirrored half was a grey ghost with a second nose."""
    mesh = turned_mesh(angle)
    image = faces.render_face(mesh, SIDE, SIDE, plain=True)
    cheek = mirrored_cheek.prepare(image, mesh)
    assert cheek is not None
    target = turned_mesh(angle - np.sign(angle) * 9)
    assert mirrored_cheek.may_show(inward_normals(mesh), mesh, target)
    weight = mirrored_cheek.shown_weights(cheek, mesh, target)
    assert weight is not None
    assert (np.median(weight[cheek.hidden > 0.9]) > 0.9) == whole


@pytest.mark.parametrize("angle", [-45.0, 45.0])
def test_a_frontal_face_hides_nothing_however_far_it_turns(angle: float) -> None:
    front, turned = turned_mesh(0.0), turned_mesh(angle)
    image = faces.render_face(front, SIDE, SIDE, plain=True)
    assert mirrored_cheek.prepare(image, front) is None
    assert not mirrored_cheek.may_show(inward_normals(front), front, turned)
    assert mirrored_cheek.may_show(inward_normals(turned), turned, front)
