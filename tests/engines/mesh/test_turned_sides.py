"""Sides of a turned head: skin that comes into view, hair that vanishes, the edge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import matrix_from_rotvec
from thcli.core.types import Array, Array32, Crop, Image
from thcli.engines.mesh import anatomy, warp
from thcli.engines.mesh.background.persons import SeenPersons
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.cheeks import grown_cheek
from thcli.engines.mesh.head.outline import (
    LEFT_EAR,
    RIGHT_EAR,
    find_outline,
    fit_rigid_head,
    turned_sides,
)
from thcli.engines.mesh.head.steep_texture import BorderHair, turned_cosines
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.source_networks import ParsedSource
from thcli.engines.mesh.surrounding_field import surrounding_displacement
from thcli.engines.mesh.surroundings import Surroundings
from thcli.faces.landmarks.surface import inward_normals
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions

SIDE = 256
HAIR = (30, 25, 20)


def with_hair(width: float = 0.05) -> tuple[Image, Array, Array32]:
    """Draw a face that hair frames, its mesh and its matte."""
    mesh = faces.centred_mesh(SIDE, SIDE)
    size = anatomy.face_height(mesh)
    middle = mesh[OVAL, :2].mean(0)
    away = mesh[OVAL, :2] - middle
    rim = middle + away * (1 + width * size / np.linalg.norm(away, axis=1, keepdims=True))
    head = faces.polygon_mask(rim, SIDE, SIDE)
    image = faces.render_face(mesh, SIDE, SIDE)
    image[~faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE)] = faces.GROUND
    image[head & (image == faces.GROUND).all(-1)] = HAIR
    return image, mesh, head.astype(np.float32)


def source_with_grain() -> MeshSource:
    image, mesh, person = with_hair()
    noise = np.random.default_rng(0).normal(0, 12, image.shape[:2])
    image = np.clip(image + noise[..., None], 0, 255).astype(np.uint8)
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), SeenPersons(person))


def source_with_hair() -> MeshSource:
    image, mesh, person = with_hair()
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), SeenPersons(person))


@pytest.mark.parametrize("angle", [-37.0, 37.0])
def test_hair_that_has_turned_away_draws_no_line_along_the_cheek(angle: float) -> None:
    source = source_with_hair()
    target = faces.make_target(source, turn=(0, angle, 0))
    out = render_frame(source, target, None).astype(int)
    nose, lip = target.points[4], target.points[0]
    far = -1 if target.points[4, 0] < target.points[OVAL, 0].mean() else 1
    lengths = []
    for y in range(round(float(nose[1])), round(float(lip[1]))):
        row = out[y, round(float(nose[0])) :: far]
        lengths.append(int((np.abs(row - HAIR).max(-1) < 60).sum()))
    assert np.median(lengths) == 0
    own = render_frame(source, faces.rest_target(source), None).astype(int)
    assert (np.abs(own[round(float(nose[1]))] - HAIR).max(-1) < 60).sum() > 4


@pytest.mark.parametrize("turn", [18.0, 20.0, 21.0, 22.0, 23.0, 24.0, 37.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_hair_beside_a_cheek_covers_it_from_the_outline_inwards(turn: float, side: int) -> None:
    image, mesh, person = with_hair(0.3)
    middle = mesh[OVAL, :2].mean(0)
    wider = faces.polygon_mask(middle + 1.06 * (mesh[OVAL, :2] - middle), SIDE, SIDE)
    image[wider & (image == HAIR).all(-1)] = faces.SKIN  # the mesh meets it to a few pixels
    hair = (image == HAIR).all(-1)
    planes = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    planes[class_number("hair")], planes[class_number("skin")] = hair, ~hair
    regions = Regions(Crop(np.eye(3), (SIDE, SIDE)), planes)
    face = faces.make_face(mesh, faces.iris_points(mesh))
    widths = []
    for parsed in (None, ParsedSource(regions, regions)):
        source = prepare(image, face, SeenPersons(person), parsed=parsed)
        target = faces.make_target(source, turn=(0, side * turn, 0))
        out = render_frame(source, target, None).astype(int)
        points = target.points
        near = 1 if points[4, 0] < points[OVAL, 0].mean() else -1
        y, x = (round(float(v)) for v in (points[0, 1], points[0, 0]))
        light = out[y, x::near].mean(-1) > (np.mean(HAIR) + np.mean(faces.SKIN)) / 2
        edge = int(np.argmin(light))
        beside = round(0.2 * anatomy.face_height(mesh))
        assert not light[edge : edge + beside].any()  # no skin beyond the hair
        widths.append(edge)
    shown = widths[1] / widths[0]
    assert shown < 0.97 if turn > 30 else shown <= 1


@pytest.mark.parametrize("angle", [-37.0, 37.0])
def test_no_skin_is_made_over_hair_that_covers_a_cheek(angle: float) -> None:
    """It was a brown patch in the hair: the cheek's rim, drawn out."""
    bare = source_with_grain()
    mesh = bare.mesh
    hair = BorderHair(np.zeros(len(mesh)), np.ones(len(mesh)))
    target = faces.make_target(bare, turn=(0, angle, 0))
    normals = bare.normals
    covered = hair.covers(turned_cosines(normals, mesh, target.points) - normals[:, 2]) == 1
    x, y = np.rint(target.points[covered, :2]).astype(int).clip(0, SIDE - 1).T
    made = []
    for source in (bare, replace(bare, border_hair=hair)):
        without = replace(source, grown_cheek=None)
        shown, left = (render_frame(s, target, None).astype(int) for s in (source, without))
        made.append(np.abs(shown - left)[y, x].mean())
    assert made[0] > 1 and made[1] < 0.1 * made[0]


@pytest.mark.parametrize("angle", [-37.0, 37.0])
def test_the_near_cheek_of_a_turned_head_has_no_streaks(angle: float) -> None:
    source = source_with_grain()
    target = faces.make_target(source, turn=(0, angle, 0))
    out = render_frame(source, target, None).astype(float).mean(-1)
    detail = []
    for point in (123, 213, 205) if angle < 0 else (352, 433, 425):
        x, y = target.points[point, :2].astype(int)
        detail.append(np.abs(np.diff(out[y - 5 : y + 6, x - 5 : x + 6], axis=0)).mean())
    assert max(detail[:2]) < 0.5 * detail[2]  # at the side, and where the source shows it well


@pytest.mark.parametrize(
    "turn", [(0.0, 37.0, 0.0), (0.0, -30.0, 0.0), (16.0, -30.0, 0.0), (-20.0, 30.0, 0.0)]
)
def test_the_surface_does_not_break_off_around_the_far_upper_corner_of_a_face(
    turn: tuple[float, float, float],
) -> None:
    source = source_with_hair()
    target = faces.make_target(source, turn=turn).points
    size, far = anatomy.face_height(source.mesh), -np.sign(turn[1])
    whole = SampleGrid(0, 0, 2, SIDE // 2, SIDE // 2)
    own = source.mesh[:, :2]
    field = surrounding_displacement(source.mesh, source.surroundings, target, own, whole)
    angles = np.radians(np.arange(-10, 80, 3))  # from beside the corner to above it
    around = np.stack([far * np.cos(angles), -np.sin(angles)], 1)
    corner = find_outline(target).points[4 if far > 0 else 32]
    x, y = np.rint((corner + 0.1 * size * around) / 2).astype(int).T
    assert np.ptp(field[y, x, 0]) <= 0.16 * size


@pytest.mark.parametrize(
    ("pitch", "yaw", "most"), [(-20, 20, 0.03), (-20, -30, 0.05), (-20, 40, 0.1), (-30, 30, 0.06)]
)
def test_the_map_does_not_tear_above_a_turned_head_with_its_chin_raised(
    pitch: float, yaw: float, most: float
) -> None:
    source = faces.make_source(SIDE, SIDE)
    mesh, size = source.mesh, anatomy.face_height(source.mesh)
    middle = (mesh[anatomy.FOREHEAD, :2] + mesh[anatomy.CHIN, :2]) / 2
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    hair = (np.hypot(x - middle[0], y - middle[1]) < size) & (y < middle[1])
    around = Surroundings(
        find_outline(mesh), SIDE - 1, True, hair=hair.astype(np.float32), hair_step=1
    )
    target = faces.make_target(source, turn=(pitch, yaw, 0)).points
    whole = SampleGrid(0, 0, 2, SIDE // 2, SIDE // 2)
    field = surrounding_displacement(mesh, around, target, mesh[:, :2], whole)
    centre = (target[anatomy.FOREHEAD, :2] + target[anatomy.CHIN, :2]) / 2
    up = target[anatomy.FOREHEAD, :2] - target[anatomy.CHIN, :2]
    up /= np.hypot(*up)
    away = np.stack([x[::2, 1::2] - 1, y[::2, 1::2]], -1) - centre
    height = away @ up / anatomy.face_height(target)
    beside = away @ [-up[1], up[0]] / anatomy.face_height(target)
    above = (height > 0.5) & (height < 1) & (np.abs(beside) < 0.04)
    steps = np.abs(np.diff(field, axis=1)).max(-1)
    assert above.any() and steps[above[:, :-1]].max() <= most * size


def test_the_near_ear_of_a_turned_source_is_seen_until_it_has_turned_past_the_front() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE)
    turned = (mesh - mesh.mean(0)) @ matrix_from_rotvec(np.radians([0, 30, 0])).T + mesh.mean(0)
    for source, target, shares in ((turned, mesh, (0, 0)), (mesh, turned, (0, 1))):
        matrix, _ = fit_rigid_head(source, target)
        sides = turned_sides(find_outline(source), target, matrix)[[LEFT_EAR, RIGHT_EAR]]
        assert sorted(sides) == pytest.approx(shares, abs=0.01)


def test_a_head_at_rest_is_merged_without_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = []
    build = warp.build_map

    def keep(*given: object) -> warp.WarpMap | None:
        maps.append(build(*given))  # type: ignore[arg-type]
        return maps[-1]

    monkeypatch.setattr(warp, "build_map", keep)
    source = source_with_hair()
    for angle in (0.0, 4.0, 37.0):
        render_frame(source, faces.make_target(source, turn=(0, angle, 0)), None)
    cuts = [found is not None and found.cut is not None for found in maps]
    assert cuts == [False, False, True]


@pytest.mark.parametrize("height", [45, 60])
def test_the_outline_of_a_small_face_has_no_stairs(height: int) -> None:
    source = faces.make_source(160, 160, share=height / 160)
    target = faces.make_target(source, turn=(0, 20, 0)).points
    shown = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    made = warp.build_map(source.mesh, source.surroundings, target, shown, (160, 160), 1)
    assert made is not None
    weight = made.mesh_weight
    steps = max(float(np.abs(np.diff(weight, axis=axis)).max()) for axis in (0, 1))
    assert weight.max() == 1 and steps < 0.7


def test_skin_that_comes_into_view_has_the_tone_of_the_cheek() -> None:
    """A dark rim on the outermost pixels of the face is not stretched over the cheek."""
    image, mesh, person = with_hair()
    inner = mesh[OVAL, :2].mean(0) + 0.94 * (mesh[OVAL, :2] - mesh[OVAL, :2].mean(0))
    rim = faces.polygon_mask(mesh[OVAL, :2], SIDE, SIDE) & ~faces.polygon_mask(inner, SIDE, SIDE)
    image[rim] = HAIR
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), SeenPersons(person))
    cheek = source.grown_cheek
    assert cheek is not None
    assert np.abs(cheek.tone[cheek.steep > 0.5] * 255 - faces.SKIN).max() < 30
    assert grown_cheek.weights(cheek, mesh, mesh) is None
    assert cheek.steep[np.concatenate([anatomy.LIPS, *anatomy.EYES])].max() == 0
    shares = []
    for angle in (10.0, 20.0, 35.0):
        target = faces.make_target(source, turn=(0, angle, 0)).points
        weight = grown_cheek.weights(cheek, mesh, target)
        shares.append(0.0 if weight is None else float(weight.sum()))
    assert 0 <= shares[0] < shares[1] < shares[2]
    turned = faces.make_target(source, turn=(0, 35, 0))
    out = render_frame(source, turned, None)
    weight = grown_cheek.weights(cheek, mesh, turned.points)
    assert weight is not None
    jaw = [index for index in OVAL if weight[index, 0] > 0.95]
    points = turned.points[:, :2]
    inside = points[jaw] + 0.12 * (points[4] - points[jaw])
    rows, columns = np.rint(inside).astype(int).T[::-1]
    assert np.abs(out[rows, columns].astype(int) - faces.SKIN).max() < 40


def test_a_cut_grows_with_the_distance_that_makes_it() -> None:
    weight = np.tile(np.linspace(0, 1, 40, dtype=np.float32), (40, 1))
    assert warp._find_cut(np.zeros((40, 40), np.float32), weight, 2) is None
    opacities = []
    for jump in np.linspace(0.03, 0.07, 21, dtype=np.float32):
        found = warp._find_cut(np.full((40, 40), jump, np.float32), weight, 2)
        opacities.append(0.0 if found is None else float(found.max()))
    steps = np.diff(opacities)
    assert opacities[0] == 0 and opacities[-1] > 0.99 and steps.min() >= 0 and steps.max() < 0.15


def test_black_and_white_grain_stays_as_bright_as_it_is() -> None:
    image, mesh, _ = with_hair()
    image[:] = np.random.default_rng(0).choice([0, 255], image.shape[:2])[..., None]
    cheek = grown_cheek.prepare(image, mesh, inward_normals(mesh))
    assert cheek is not None
    x, y = np.floor(mesh[:, :2].min(0)).astype(int)
    height, width = cheek.grain.shape[:2]
    bright = image[y : y + height, x : x + width] > 0
    assert cheek.grain[bright].min() >= 128 >= cheek.grain[~bright].max()


@pytest.mark.parametrize(("shift", "shown"), [(SIDE / 2, True), (2 * SIDE, False)])
def test_a_cheek_has_no_tone_of_pixels_beyond_the_edge(shift: float, shown: bool) -> None:
    image, mesh, _ = with_hair(0.0)
    image = np.ascontiguousarray(image[:, int(shift) :] if shown else image)
    image[:, 0] = (0, 255, 0)
    cheek = grown_cheek.prepare(image, mesh - (shift, 0, 0), inward_normals(mesh))
    assert (cheek is not None) == shown
    if cheek is not None:
        assert (cheek.tone[:, 1] < cheek.tone[:, 0]).all()


@pytest.mark.parametrize("shift", [-0.02, -0.05])
def test_what_the_right_side_cuts_off_is_stretched_and_not_mirrored(shift: float) -> None:
    """Mirrored hair is a row of hooks, and stretching enlarges them."""
    source = source_with_hair()
    target = faces.make_target(source, shift=(shift, 0)).points
    texture = warp.TexturePositions(source.mesh[:, :2], source.mesh[:, :2])
    size = source.size
    made = warp.build_map(source.mesh, source.surroundings, target, texture, size, source.step)
    assert made is not None
    x, y = made.grid.pixel_axes()
    shown = (x + made.displacement[..., 0])[:, x < size[0]][(y >= 0) & (y < size[1])]
    assert shown.max() > size[0] - 4
    assert shown.max() < size[0] - 1 + 0.015 * anatomy.face_height(source.mesh)


@pytest.mark.parametrize("shift", [-0.25, -0.4])
def test_hair_that_the_right_side_cuts_off_ends_where_it_moves_far(shift: float) -> None:
    """Stretched, it would be seen as hair in the wind."""
    image, mesh, person = with_hair(0.3)
    middle = mesh[OVAL, :2].mean(0)
    width = round(float(mesh[OVAL, 0].max() + 0.15 * anatomy.face_height(mesh)))
    image, person = np.ascontiguousarray(image[:, :width]), np.ascontiguousarray(person[:, :width])
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), SeenPersons(person))
    out = render_frame(source, faces.make_target(source, shift=(shift, 0)), None).astype(int)
    row = np.abs(out[round(float(middle[1]))] - HAIR).max(-1) < 60
    assert np.abs(image[round(float(middle[1])), -1].astype(int) - HAIR).max() < 60
    assert row.any() and not row[-4:].any()
    last = int(np.flatnonzero(row)[-1])
    assert row[last - 8 : last].all()


def test_skin_that_is_seen_well_stays_in_view() -> None:
    """A shadow on the sides of a cheek is replaced, plain skin is kept."""
    mesh = faces.centred_mesh(SIDE, SIDE)
    plain = np.full((SIDE, SIDE, 3), 180, np.uint8)
    dark = plain.copy()
    middle, half = mesh[:, 0].mean(), np.ptp(mesh[:, 0]) / 2
    dark[:, np.abs(np.arange(SIDE) - middle) > 0.8 * half] = 40
    normal = inward_normals(mesh)
    kept, replaced = (grown_cheek.prepare(image, mesh, normal) for image in (plain, dark))
    assert kept is not None and replaced is not None
    assert kept.steep.sum() < 0.75 * replaced.steep.sum()
