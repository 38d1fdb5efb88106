"""Turned sources that turn back, chins that rise: no second outline, no seam, no second jaw."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.options import RunOptions
from thcli.core.types import Array, Crop
from thcli.engines.mesh import anatomy, compose, warp
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.engine import MeshEngine
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head import drawn_out, steep_texture
from thcli.engines.mesh.head.cheeks import mirrored_cheek
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.surrounding_field import surrounding_displacement
from thcli.faces.landmarks.topology import OVAL, PAIRS
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions


def turned_source(angle: float) -> MeshSource:
    mesh = faces.make_target(faces.make_source(512, 512), turn=(0, angle, 0)).points
    image = faces.render_face(mesh, 512, 512)
    image[(image == (200, 200, 60)).all(-1)] = faces.GROUND
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)


@pytest.mark.parametrize("angle", [25.0, -25.0])
def test_beside_the_mirrored_cheek_the_source_shows_what_is_beside_its_face(angle: float) -> None:
    source = turned_source(angle)
    cheek, mesh = source.hidden_cheek, source.mesh
    assert cheek is not None
    target = faces.make_target(source, turn=(0, -0.8 * angle, 0)).points
    weight = mirrored_cheek.shown_weights(cheek, mesh, target)
    assert weight is not None
    texture = steep_texture.texture_positions(source.normals, mesh, target)
    moved = mirrored_cheek.move_beside(texture, cheek, mesh, weight)
    hull = cv2.convexHull(mesh[:, :2].astype(np.float32))

    def outside(positions: Array) -> float:
        """Return how far out of the face the outline's texture lies on the side that is shown."""
        around = source.surroundings.outline.points + (positions - mesh[:, :2])[OVAL]
        level = np.abs(mesh[OVAL, 1] - mesh[4, 1]) < 40
        chosen = around[(weight[OVAL] > 0.9) & level]
        return float(np.mean([-cv2.pointPolygonTest(hull, (x, y), True) for x, y in chosen]))

    assert outside(moved) > 0.02 * anatomy.face_height(mesh) > outside(mesh[:, :2])
    assert np.array_equal(moved[weight == 0], texture[weight == 0])


def test_a_profile_shows_what_is_beside_its_face_earlier() -> None:
    """Its nose reaches beyond the mesh, and would be seen twice."""
    moved = []
    for angle in (25.0, 45.0):
        source = turned_source(angle)
        cheek = source.hidden_cheek
        assert cheek is not None
        texture, half = source.mesh[:, :2], np.full(len(source.mesh), 0.6)
        beside = mirrored_cheek.move_beside(texture, cheek, source.mesh, half)
        reach = np.linalg.norm(beside - texture, axis=1).max()
        moved.append(reach / anatomy.face_height(source.mesh))
    assert moved[0] == 0
    assert moved[1] > 0.03


@pytest.mark.parametrize("angle", [25.0, -25.0])
def test_a_person_that_moves_takes_its_mirrored_cheek_along(angle: float) -> None:
    """Beside the source's face lies its background, which the plate is not shown for."""
    mesh = faces.make_target(faces.make_source(512, 512), turn=(0, angle, 0)).points
    image = faces.render_face(mesh, 512, 512)
    image[(image == (200, 200, 60)).all(-1)] = faces.GROUND
    person = faces.polygon_mask(mesh[OVAL, :2], 512, 512).astype(np.float32)
    face = faces.make_face(mesh, faces.iris_points(mesh))
    source = prepare(image, face, SeenPersons(person))
    target = faces.make_target(source, turn=(0, -0.9 * angle, 0))
    assert source.hidden_cheek is not None and source.far_side is None
    still = render_frame(source, target, None).astype(int)
    moved = render_frame(source, replace(target, body=np.array([0.0, -24.0])), None).astype(int)
    inside = faces.polygon_mask(target.points[OVAL, :2], 512, 512, grow=-6)[24:]
    assert (np.abs(moved[:-24] - still[24:]).max(-1)[inside] > 40).mean() < 1e-3


def test_mirrored_texture_meets_the_tone_of_its_surroundings() -> None:
    """A light from the side: the hidden half goes on as dark as the part of it that is seen."""
    source = turned_source(30)
    ramp = np.clip(np.interp(np.arange(512), [190, 330], [0.5, 1.0]), 0, 1)
    lit = np.asarray(source.image * ramp[:, None], np.uint8)
    cheek = mirrored_cheek.prepare(lit, source.mesh)
    even = mirrored_cheek.prepare(source.image, source.mesh)
    assert cheek is not None and even is not None
    hidden = cheek.hidden > 0.5
    assert np.median(np.abs(even.gains[hidden] - 1)) < 0.1
    relative = np.log(cheek.gains / even.gains).mean(1)
    cosine = source.normals[:, 2]
    seen = np.minimum(cosine, cosine[PAIRS]) > mirrored_cheek.TRUSTED_COSINE
    darker = source.mesh[:, 0] < source.mesh[PAIRS, 0]
    assert relative[hidden & darker].mean() < 0.5 * relative[seen & darker].mean() < 0


def test_no_weight_without_a_turn_back() -> None:
    source = turned_source(30)
    assert source.hidden_cheek is not None
    weights = mirrored_cheek.shown_weights
    assert weights(source.hidden_cheek, source.mesh, source.mesh) is None
    away = faces.make_target(source, turn=(0, 10, 0)).points
    assert weights(source.hidden_cheek, source.mesh, away) is None
    small, large = (
        weights(source.hidden_cheek, source.mesh, faces.make_target(source, turn=(0, a, 0)).points)
        for a in (-9, -18)
    )
    assert small is not None and large is not None
    assert 0 < small.max() <= 1 and (large >= small - 1e-9).all() and large.sum() > small.sum()


@pytest.mark.parametrize(("nod", "rise"), [(-14, 0.15), (-20, 0.2), (0, 0.3)])
def test_a_chin_that_rises_near_the_pictures_edge_shows_once(nod: float, rise: float) -> None:
    source = faces.make_source(512, 512)
    mesh = source.mesh + np.array([0, 478 - source.mesh[anatomy.CHIN, 1], 0])
    image = faces.render_face(mesh, 512, 512)
    low = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    low = replace(low, hidden_cheek=None)
    size = anatomy.face_height(mesh)
    target = faces.make_target(low, turn=(nod, 0, 0), shift=(0, -rise)).points
    chin = target[anatomy.CHIN]
    grid = SampleGrid(int(chin[0]), int(chin[1]) + 2, 1, 1, int(0.25 * size))
    field = surrounding_displacement(low.mesh, low.surroundings, target, low.mesh[:, :2], grid)
    rows = field[:, 0, 1] + grid.pixel_axes()[1]
    assert rows.min() > mesh[anatomy.CHIN, 1] - 0.02 * size
    assert np.diff(rows).min() > 0


def test_streaks_below_a_chin_that_rises_grow_plain_and_clothes_beside_them_stay() -> None:
    source = faces.make_source(512, 512)
    mesh = source.mesh + np.array([0, 500 - source.mesh[anatomy.CHIN, 1], 0])
    image = faces.render_face(mesh, 512, 512)
    image[(image == (200, 200, 60)).all(-1)] = faces.GROUND
    chin, stripes = int(mesh[anatomy.CHIN, 0]), np.arange(512) // 3 % 2 > 0
    neck = abs(np.arange(512) - chin) < 60
    image[502:, neck] = faces.SKIN
    image[502:, neck & stripes] = np.subtract(faces.SKIN, 30)
    low = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    target = faces.make_target(low, shift=(0, -0.3))
    texture = warp.TexturePositions(mesh[:, :2], mesh[:, :2])
    found = warp.build_map(mesh, low.surroundings, target.points, texture, (512, 512), low.step)
    assert found is not None and found.drawn_out is not None
    drawn = compose.render(low.image, low.layers, found)
    out = drawn.copy()
    drawn_out.soften(out, found)
    below = slice(490, 512), slice(chin - 40, chin + 40)
    assert drawn[below].std(1).mean() > 8 > 2 * out[below].std(1).mean()
    beside = slice(490, 512), slice(chin + 75, chin + 100)
    assert np.abs(out[beside].astype(int) - drawn[beside]).max() < 12
    above = slice(0, int(target.points[anatomy.CHIN, 1]) - 8)
    assert (out[above] == drawn[above]).all()
    still = warp.build_map(mesh, low.surroundings, mesh, texture, (512, 512), low.step)
    assert still is not None
    same = drawn.copy()
    drawn_out.soften(same, still)
    assert (same == drawn).all()


@pytest.mark.parametrize("rise", [0.1, 0.3])
def test_no_chin_is_mirrored_below_the_picture(rise: float) -> None:
    source = faces.make_source(512, 512)
    mesh = source.mesh + np.array([0, 500 - source.mesh[anatomy.CHIN, 1], 0])
    image = faces.render_face(mesh, 512, 512)
    low = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    target = faces.make_target(low, shift=(0, -rise)).points
    texture = warp.TexturePositions(mesh[:, :2], mesh[:, :2])
    found = warp.build_map(mesh, low.surroundings, target, texture, (512, 512), 2)
    assert found is not None
    positions = compose.source_positions(found)
    below = positions[..., 1] > 511
    mirrored = 2 * 511 - positions[below]
    assert below.sum() > 100
    beside = np.abs(positions[below][:, 0] - mesh[:, 0].mean()) > 0.45 * np.ptp(mesh[:, 0])
    assert mirrored[~beside, 1].min() > mesh[anatomy.CHIN, 1]


def test_a_head_that_moves_sideways_jumps_at_no_small_rise() -> None:
    source = faces.make_source(512, 512)
    size, bottom = anatomy.face_height(source.mesh), source.mesh[anatomy.CHIN, 1]
    surroundings = replace(source.surroundings, lower_edge=float(bottom + 0.1 * size))
    grid = SampleGrid(0, int(bottom), 8, 64, 30)
    fields = []
    for rise in np.linspace(-0.002, 0.002, 5):
        target = faces.make_target(source, shift=(0.05, -rise)).points
        texture = source.mesh[:, :2]
        fields.append(surrounding_displacement(source.mesh, surroundings, target, texture, grid))
    assert np.abs(np.diff(fields, axis=0)).max() < 0.002 * size


def test_what_lies_beside_a_far_cheek_has_no_part_in_its_light() -> None:
    source = turned_source(30)
    light = source.image.copy()
    outside = ~faces.polygon_mask(
        source.mesh[
            cv2.convexHull(np.asarray(source.mesh[:, :2], np.float32), returnPoints=False)[:, 0], :2
        ],
        512,
        512,
    )
    light[outside] = 255
    plain, beside = (mirrored_cheek.prepare(image, source.mesh) for image in (source.image, light))
    assert plain is not None and beside is not None
    hidden = plain.hidden > 0.5
    assert np.abs(plain.gains - beside.gains)[hidden].max() < 0.03


def test_a_profile_gives_a_warning_of_how_far_it_turns_back() -> None:
    engine = MeshEngine(RunOptions(), "off", mouth="synthetic")
    warnings = [
        engine.find_warning(turned_source(angle)) or "" for angle in (0.0, 30.0, 50.0, -50.0)
    ]
    assert ["from the side" in warning for warning in warnings] == [False, False, True, True]
    assert "turns back by 9 degrees" in warnings[2]


@pytest.mark.parametrize(
    ("angle", "locks", "is_kept"),
    [(6.0, None, False), (25.0, None, False), (6.0, 1, False), (25.0, 1, True)],
)
def test_hair_before_one_cheek_is_no_texture_of_the_other(
    angle: float, locks: int | None, *, is_kept: bool
) -> None:
    source = turned_source(angle)
    known = mirrored_cheek.prepare(source.image, source.mesh)
    assert known is not None
    planes = np.zeros((len(CLASSES), 512, 512), np.float32)
    hair = np.zeros((512, 512), np.bool_)
    shown = np.flatnonzero(known.hidden > 0.5 * known.hidden.max())[:locks]
    for x, y in known.positions[shown]:
        hair[int(y) - 20 : int(y) + 21, int(x) - 20 : int(x) + 21] = True
    planes[class_number("hair")], planes[class_number("skin")] = hair, ~hair
    regions = Regions(Crop(np.eye(3), (512, 512)), planes)
    found = mirrored_cheek.prepare(source.image, source.mesh, regions)
    largest = 0.0 if found is None else float(found.hidden[shown].max())
    assert (largest > 0.5 * known.hidden.max()) == is_kept
