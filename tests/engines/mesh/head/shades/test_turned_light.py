"""Light that stays where it is while a head turns in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.geometry import transform_points
from thcli.core.types import Array, Image
from thcli.engines.mesh import raster, sampling
from thcli.engines.mesh.anatomy import TRIANGLES
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.shades import turned_light
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.engines.mesh.warp import drawing_order
from thcli.faces.landmarks import surface
from thcli.faces.landmarks.topology import OVAL
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.faces.parsing.crops import Regions, full_frame_crop
from thcli.motion import canonical
from thcli.motion.render_target import RenderTarget

SIDE = 256
CHEEKS = (50, 280)  # mesh points, image's left and right
# Log brightness along inward normals
LIGHTS = [(0.6, 0.0, 0.2), (-0.5, 0.2, 0.4), (0.0, -0.4, 0.5)]


def turned_by(own: MeshSource, degrees: float) -> RenderTarget:
    return faces.make_target(own, turn=(0, degrees, 0))


def lit(mesh: Array, light: tuple[float, float, float]) -> Image:
    """Draw a mesh of bare skin, as a light that is fixed in the picture shows it."""
    grid = raster.SampleGrid(0, 0, 1, SIDE, SIDE)
    ids = raster.rasterize(mesh, TRIANGLES, drawing_order(mesh), grid)
    levels = (surface.inward_normals(mesh) @ np.array(light))[:, None]
    shade = raster.sample_maps(ids, raster.linear_maps(mesh, levels, TRIANGLES), grid)
    shade = shade.reshape(-1)[sampling.nearest_to(ids >= 0)[1]]
    skin = np.exp(shade)[..., None] * np.array(faces.SKIN) * 0.5
    return faces.add_relief(np.clip(skin, 0, 255).astype(np.uint8))


def source(image: Image, mesh: Array) -> MeshSource:
    return prepare(image, faces.make_face(mesh), None, with_folds=True)


def level_at(image: Image, mesh: Array, point: int) -> float:
    x, y = np.rint(mesh[point, :2]).astype(int)
    return float(np.log(image[y - 3 : y + 4, x - 3 : x + 4].mean()))


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_turned_head_is_lit_as_the_picture_is(
    light: tuple[float, float, float], degrees: float
) -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    own = source(lit(mesh, light), mesh)
    target = turned_by(own, degrees)
    turned = target.points
    truth = lit(turned, light)
    frame, unlit = (
        render_frame(replace(own, light=shown), target, None) for shown in (own.light, None)
    )
    errors = np.array(
        [
            [abs(level_at(image, turned, k) - level_at(truth, turned, k)) for k in CHEEKS]
            for image in (frame, unlit)
        ]
    ).mean(1)
    assert errors[1] > 0.04, "the case is one"
    assert errors[0] < 0.5 * errors[1]


def test_a_head_at_rest_and_what_is_no_head_keep_their_light() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.45)
    image = lit(mesh, LIGHTS[0])
    own = source(image, mesh)
    plain = replace(own, light=None)
    rest, turned = faces.rest_target(own), turned_by(own, 20)
    assert np.array_equal(render_frame(own, rest, None), render_frame(plain, rest, None))
    lit_frame = render_frame(own, turned, None).astype(int)
    changed = np.abs(lit_frame - render_frame(plain, turned, None))
    assert changed.max() > 8
    changed[faces.polygon_mask(turned.points[OVAL, :2], SIDE, SIDE, 8)] = 0
    assert not changed.any()


def regions(name: str) -> Regions:
    """Return regions of a picture that are all of one class."""
    probabilities = np.zeros((len(CLASSES), SIDE, SIDE), np.float32)
    probabilities[class_number(name)] = 1
    return Regions(full_frame_crop((SIDE, SIDE)), probabilities)


def test_the_light_goes_on_over_bare_heads_less_over_hair_and_not_over_necks() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.45)
    image = lit(mesh, LIGHTS[0])
    own = source(image, mesh)
    x, y = mesh[10, :2]
    above = np.array([[x, y - 0.1 * (mesh[152, 1] - y)]])

    def shown(name: str) -> float:
        assert own.folds is not None
        light = turned_light.prepare(image, own.mesh, own.folds, regions(name))
        assert light is not None
        x, y = np.rint(transform_points(light.placement.crop_from_frame, above)[0]).astype(int)
        return float(light.field[y, x, 3])

    bald, hair, neck = (shown(name) for name in ("skin", "hair", "neck"))
    assert bald > 0.5
    assert hair == pytest.approx(turned_light.HAIR_SHARE * bald, rel=0.05)
    assert neck == 0


def test_plain_colours_are_not_lit() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    drawing = np.full((SIDE, SIDE, 3), faces.SKIN, np.uint8)
    assert source(drawing, mesh).light is None


def test_stubble_and_gleams_do_not_tell_the_light() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    image = lit(mesh, LIGHTS[0])
    clean = source(image, mesh).light
    x, y = np.rint(mesh[151, :2]).astype(int)
    image[y - 5 : y + 6, x - 5 : x + 6] = 250
    gleaming = source(image, mesh).light
    assert clean is not None and gleaming is not None
    assert clean.slope == pytest.approx(LIGHTS[0], abs=0.2)
    assert gleaming.slope == pytest.approx(clean.slope, abs=0.06)


def test_the_hardest_light_changes_no_pixel_beyond_a_bound() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    own = source(lit(mesh, LIGHTS[0]), mesh)
    assert own.light is not None
    hard = replace(own.light, slope=np.array([40.0, 0, 0]))
    rotation = canonical.decompose(turned_by(own, 40).points).rotation
    factors = turned_light._factors(hard, (rotation - hard.rotation).T @ hard.slope)
    most = np.exp(turned_light.MOST_CHANGE * hard.change.max())
    assert 1 / most <= factors.min() < 0.75 and 1.3 < factors.max() <= most


def test_the_mouth_of_a_driver_keeps_its_own_light() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    own = source(lit(mesh, LIGHTS[0]), mesh)
    opened = faces.make_target(own, turn=(0, 20, 0), mouth=0.4)
    driven = replace(opened, driver=opened.points)
    driving = faces.render_face(opened.points, SIDE, SIDE)
    frame, unlit = (
        render_frame(replace(own, light=shown), driven, driving) for shown in (own.light, None)
    )
    x, y = np.rint(opened.points[[13, 14], :2].mean(0)).astype(int)
    assert np.array_equal(frame[y, x - 4 : x + 5], unlit[y, x - 4 : x + 5])
    assert abs(level_at(frame, opened.points, 280) - level_at(unlit, opened.points, 280)) > 0.02


def test_a_frame_of_a_video_whose_head_does_not_turn_needs_no_light() -> None:
    mesh = faces.centred_mesh(SIDE, SIDE, 0.7)
    image = lit(mesh, LIGHTS[0])
    own = source(image, mesh)
    assert own.folds is not None
    rest, turned = faces.rest_target(own).points, turned_by(own, 20).points
    assert turned_light.prepare(image, own.mesh, own.folds, None, rest) is None
    light = turned_light.prepare(image, own.mesh, own.folds, None, turned)
    assert light is not None and own.light is not None
    assert np.array_equal(light.field, own.light.field)
