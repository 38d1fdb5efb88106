"""Eyes of the renderer: opened, mirrored, made up, or lent by the driver."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array
from thcli.engines.mesh import anatomy
from thcli.engines.mesh.eyes import layer, stand_ins, uncovered
from thcli.engines.mesh.eyes.extract import extract_eyes
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks import topology
from thcli.motion.anatomy import EYE_RADIUS


@pytest.mark.parametrize("shut", [(True, True), (True, False), (False, True)])
def test_eyes_that_are_shut_in_the_source_open(shut: tuple[bool, bool]) -> None:
    mesh = faces.centred_mesh(512, 512)
    for lid, closed in zip(topology.LIDS, shut, strict=True):
        if closed:
            mesh[lid.upper] = mesh[lid.lower] - (0, 0.3, 0)
    source = prepare(
        faces.render_face(mesh, 512, 512),
        faces.make_face(mesh, faces.iris_points(faces.centred_mesh(512, 512))),
        None,
    )
    assert tuple(not eye.is_own for eye in source.eyes) == shut
    awake = replace(faces.rest_target(source), points=faces.centred_mesh(512, 512))
    out = render_frame(source, awake, None)
    for ring in anatomy.EYES:
        inside = faces.polygon_mask(awake.points[ring, :2], 512, 512, grow=-2)
        light = out[inside].mean(-1)
        assert light.min() < 100 and light.max() > 160  # a pupil or iris, and the white
    driver = faces.render_face(awake.points, 512, 512)
    lent = render_frame(source, replace(awake, driver=awake.points), driver)
    closed_ring = anatomy.EYES[shut.index(True)]
    inside = faces.polygon_mask(awake.points[closed_ring, :2], 512, 512, grow=-3)
    assert np.abs(lent[inside].astype(int) - driver[inside]).mean() < 25


@pytest.mark.parametrize("closed", [(True, True), (True, False)])
def test_shut_eyes_of_a_source_stay_its_own_until_they_open(closed: tuple[bool, bool]) -> None:
    """Landmarks of shut eyes are apart: between them a made eye glared in each of its blinks."""
    mesh = faces.centred_mesh(512, 512)
    for lid, shut in zip(topology.LIDS, closed, strict=True):
        if shut:
            height = mesh[lid.lower, 1] - mesh[lid.upper, 1]
            mesh[lid.upper, 1] += 0.7 * height
    image = np.full((512, 512, 3), faces.SKIN, np.uint8)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    assert tuple(not eye.is_own for eye in source.eyes) == closed
    assert 0.03 < source.eyes[0].shut < 0.12
    rest = faces.rest_target(source)
    inside = faces.polygon_mask(mesh[anatomy.EYES[0], :2], 512, 512, grow=3)
    for driving in (None, faces.render_face(mesh, 512, 512)):
        target = rest if driving is None else replace(rest, driver=mesh)
        out = render_frame(source, target, driving)
        assert np.abs(out[inside].astype(int) - image[inside]).max() <= 2
    visible = layer.visibilities(source.eyes, faces.centred_mesh(512, 512))
    assert visible == [1.0, 1.0]


def test_an_eye_that_is_painted_in_a_small_face_is_smooth() -> None:
    steepest = []
    for size in (64, 512):
        mesh = faces.centred_mesh(size, size)
        for lid in topology.LIDS:
            mesh[lid.upper] = mesh[lid.lower]
        image = np.full((size, size, 3), faces.SKIN, np.uint8)
        painted = extract_eyes(image, mesh, None, np.array(faces.SKIN, float))[0].image
        steepest.append(np.abs(np.diff(painted.astype(int), axis=1)).max())
    assert 0 < steepest[0] < 0.6 * steepest[1]


def test_wide_eyes_show_a_round_iris_and_the_white_above_it() -> None:
    """Lids that hid the upper part of an iris uncover it; the ball is not stretched."""
    wide = faces.centred_mesh(512, 512, 0.9)
    iris = (faces.iris_points(wide) - faces.iris_points(wide)[:, :1]) * 0.6
    iris = iris + faces.iris_points(wide)[:, :1]
    own, image = wide.copy(), np.full((512, 512, 3), faces.SKIN, np.uint8)
    for ring, (middle, *rim) in zip(anatomy.EYES, iris, strict=True):
        wide[ring[9:], 1] -= 0.1 * np.linalg.norm(wide[ring[8]] - wide[ring[0]])
        own[ring[9:], 1] += 0.12 * np.linalg.norm(wide[ring[8]] - wide[ring[0]])
        radius = float(np.linalg.norm(rim[0] - middle))
        ball = np.full_like(image, faces.WHITE)
        y, x = np.mgrid[:512, :512]
        ball[np.hypot(x - middle[0], y - middle[1]) < radius] = faces.IRIS
        inside = faces.polygon_mask(own[ring, :2], 512, 512, grow=0)
        image[inside] = ball[inside]
    textures = extract_eyes(image, own, iris, np.array(faces.SKIN, float))
    out = np.full_like(image, faces.SKIN)
    layer.render_eyes(out, textures, [1.0, 1.0], wide, np.zeros((2, 2)))
    for ring, (middle, *rim) in zip(anatomy.EYES, iris, strict=True):
        inside = faces.polygon_mask(wide[ring, :2], 512, 512, grow=-4)
        disc = np.hypot(x - middle[0], y - middle[1]) < np.linalg.norm(rim[0] - middle)
        dark = out.mean(-1) < 140
        assert (dark & disc & inside).sum() > 0.9 * (disc & inside).sum()
        white = inside & ~disc & (np.abs(x - middle[0]) < 8) & (y < middle[1])
        assert white.sum() > 30 and dark[white].mean() < 0.2


@pytest.mark.parametrize("towards", [-1, 1])
def test_an_iris_that_looks_aside_leaves_white_where_the_source_has_a_corner(towards: int) -> None:
    """The dark corner of the eye was drawn out over the ball."""
    mesh = faces.centred_mesh(512, 512, 0.9)
    iris, image = faces.iris_points(mesh), np.full((512, 512, 3), faces.SKIN, np.uint8)
    for ring, points in zip(anatomy.EYES, iris, strict=True):
        width = mesh[ring[8], 0] - mesh[ring[0], 0]
        points[:, 0] -= 0.1 * towards * width  # little white on the side that it leaves
        x = np.linspace(0, 511, 512) - mesh[ring[0], 0]
        y, column = np.mgrid[:512, :512]
        radius = float(np.linalg.norm(points[1] - points[0]))
        ball = np.full_like(image, faces.WHITE)
        ball[:, (x < 0.15 * width) | (x > 0.85 * width)] = (70, 40, 40)
        ball[np.hypot(column - points[0, 0], y - points[0, 1]) < radius] = faces.IRIS
        inside = faces.polygon_mask(mesh[ring, :2], 512, 512, grow=0)
        image[inside] = ball[inside]
    textures = extract_eyes(image, mesh, iris, np.array(faces.SKIN, float))
    out = np.full_like(image, faces.SKIN)
    gaze = np.array([[0.25 * towards, 0.0]] * 2)
    layer.render_eyes(out, textures, [1.0, 1.0], mesh, gaze)
    for ring, points in zip(anatomy.EYES, iris, strict=True):
        width = mesh[ring[8], 0] - mesh[ring[0], 0]
        radius = float(np.linalg.norm(points[1] - points[0]))
        middle = points[0, 0] + 0.25 * towards * width
        row = out[round(float(points[0, 1]))].mean(-1).astype(float)
        behind = middle - towards * np.linspace(1.25 * radius, 1.25 * radius + 0.15 * width, 20)
        assert row[behind.round().astype(int)].min() > 0.85 * np.mean(faces.WHITE)
        further = middle - towards * np.linspace(1.25 * radius, 0.45 * width, 20)
        assert row[further.round().astype(int)].min() > 0.65 * np.mean(faces.WHITE)
        assert row[round(float(middle))] < 1.3 * np.mean(faces.IRIS)


@pytest.mark.parametrize("shift", [-0.25, 0.25])
def test_an_iris_that_looks_aside_is_narrower(shift: float) -> None:
    """It was a disc, half of which lay behind the corner of the eye."""
    mesh = faces.centred_mesh(512, 512, 0.9)
    iris = faces.iris_points(mesh)
    image = faces.render_face(mesh, 512, 512)
    textures = extract_eyes(image, mesh, iris, np.array(faces.SKIN, float))
    assert all(eye.white is not None and eye.white.mean() > 150 for eye in textures)
    for eye in textures:
        u, v = (np.zeros(1, np.float32) + np.float32(value) for value in eye.iris)
        way = uncovered.move_iris(eye, np.array([shift, 0.0]))
        for side in (-1, 1):
            rim = u + np.float32(way[0] + side * 0.6 * eye.radius)
            along, _ = uncovered.shift_iris(rim, v, eye, way)
            cosine = np.sqrt(1 - ((eye.iris[0] - 0.5 + way[0]) / EYE_RADIUS) ** 2)
            cosine /= np.sqrt(1 - ((eye.iris[0] - 0.5) / EYE_RADIUS) ** 2)
            assert abs(along[0] - u[0]) == pytest.approx(0.6 * eye.radius / cosine, rel=0.01)
        flat = replace(eye, sees_iris=False)
        assert uncovered.shift_iris(u + np.float32(way[0]), v, flat, way)[0] == pytest.approx(u)


def test_the_driver_lends_no_eye_beside_one_of_the_source() -> None:
    mesh = faces.centred_mesh(512, 512)
    driver = faces.render_face(mesh, 512, 512)
    made = stand_ins.paint_eye(np.full(3, 120.0), 0.05)
    assert stand_ins.mirror_eye(made).blur == made.blur
    mixed = (replace(made, is_own=True), made)
    tone = np.full(3, 120.0)
    assert stand_ins.substitute_from_driver(mixed, driver, mesh, tone) == mixed
    lent = stand_ins.substitute_from_driver((made, made), driver, mesh, tone)
    assert all(eye.image is not made.image for eye in lent)


def test_eyes_that_the_driver_lends_are_as_blurred_as_the_source() -> None:
    mesh = faces.centred_mesh(512, 512)
    driver, tone = faces.render_face(mesh, 512, 512), np.full(3, 120.0)
    steepest = []
    for blur in (0.0, 0.05):
        made = stand_ins.paint_eye(tone, blur)
        lent = stand_ins.substitute_from_driver((made, made), driver, mesh, tone)
        steepest.append(np.abs(np.diff(lent[0].image.astype(int), axis=1)).max())
    assert 0 < steepest[1] < 0.5 * steepest[0]


@pytest.mark.parametrize("tone", [(150.0, 150.0, 150.0), (140.0, 114.0, 70.0)])
def test_eyes_in_a_picture_without_colours_have_its_tint(tone: tuple[float, ...]) -> None:
    """Brown and blue eyes opened in black-and-white photographs."""
    skin, mesh = np.array(tone), faces.centred_mesh(512, 512)
    made = stand_ins.paint_eye(skin)
    lent = stand_ins.substitute_from_driver(
        (made, made), faces.render_face(mesh, 512, 512), mesh, skin
    )
    assert stand_ins.tint_eyes(lent, skin, 1.0) == lent
    for eyes in (lent, (made, made)):
        for eye, before in zip(stand_ins.tint_eyes(eyes, skin, 0.0), eyes, strict=True):
            seen, light = eye.image.reshape(-1, 3).astype(float), before.image.mean(-1)
            assert eye.image.mean(-1) == pytest.approx(light, abs=1.5)
            wanted = seen.mean(-1, keepdims=True) * skin / skin.mean()
            assert np.abs(seen - wanted).max() < 1.5


def test_eyes_that_the_driver_lends_are_free_of_the_violet_of_coated_glasses() -> None:
    mesh, tone = faces.centred_mesh(512, 512), np.array(faces.SKIN, float)
    made = stand_ins.paint_eye(tone)
    plain = faces.render_face(mesh, 512, 512)
    coated = plain.copy()
    inside = faces.polygon_mask(mesh[anatomy.EYES[0], :2], 512, 512, grow=0)
    coated[inside] = (150, 90, 250)
    lent, seen = (
        stand_ins.substitute_from_driver((made, made), driver, mesh, tone)[0].image.astype(int)
        for driver in (coated, plain)
    )
    reflected = (lent != seen).any(-1)
    assert reflected.sum() > 0.2 * inside.sum()
    red, green, blue = lent[reflected].mean(0)
    assert min(red, blue) - green < 8
    assert blue - max(red, green) < 30
    for natural in (faces.WHITE, faces.IRIS):
        assert np.abs(seen - natural).sum(-1).min() < 12


def test_a_made_up_iris_stays_round_in_a_wide_eye() -> None:
    mesh = faces.centred_mesh(512, 512)
    eye = stand_ins.paint_eye(np.full(3, 150.0))
    widths = []
    for stretch in (1.0, 2.2):
        wide = mesh.copy()
        for ring in anatomy.EYES:
            middle = wide[ring, 1].mean()
            wide[ring, 1] = middle + stretch * (wide[ring, 1] - middle)
        out = np.full((512, 512, 3), 200, np.uint8)
        layer.render_eyes(out, (eye, eye), [1.0, 1.0], wide, np.zeros((2, 2)))
        dark = out.max(-1) < 110
        widths.append((dark.any(0).sum() / 2, dark[:, : dark.shape[1] // 2].any(1).sum()))
    assert widths[1][0] == pytest.approx(widths[0][0], abs=3)
    assert widths[1][1] < 1.3 * widths[1][0]


def test_a_painted_eye_is_as_bright_as_the_skin() -> None:
    for level in (60.0, 180.0):
        eye = stand_ins.paint_eye(np.array([1.1, 1.0, 0.9]) * level)
        assert eye.image.max() < 1.4 * level + 10 and eye.image.min() < 0.3 * level


def test_a_painted_eye_is_as_blurred_as_the_source() -> None:
    tone = np.full(3, 150.0)
    steepest = [
        np.abs(np.diff(stand_ins.paint_eye(tone, blur).image.astype(int), axis=1)).max()
        for blur in (0.0, 0.05)
    ]
    assert steepest[1] < 0.3 * steepest[0]


def test_what_wide_eyes_uncover_is_as_blurred_as_the_source() -> None:
    """White with hard edges lay in the eyes of enlarged thumbnails."""
    mesh, wide = faces.centred_mesh(512, 512, 0.9), faces.centred_mesh(512, 512, 0.9)
    image = np.full((512, 512, 3), faces.SKIN, np.uint8)
    iris = faces.iris_points(mesh)
    for ring, (middle, *rim) in zip(anatomy.EYES, iris, strict=True):
        inside = faces.polygon_mask(mesh[ring, :2], 512, 512, grow=0)
        image[inside] = faces.WHITE
        y, x = np.mgrid[:512, :512]
        image[inside & (np.hypot(x - middle[0], y - middle[1]) < rim[0][0] - middle[0])] = (
            faces.IRIS
        )
        wide[ring[9:], 1] -= 0.12 * np.linalg.norm(wide[ring[8]] - wide[ring[0]])
    steepest = []
    for blur in (0.0, 0.05):
        width = float(np.linalg.norm(mesh[anatomy.EYES[0][8]] - mesh[anatomy.EYES[0][0]]))
        blurred = image if blur == 0 else cv2.GaussianBlur(image, (0, 0), blur * width)
        seen = np.asarray(blurred, np.uint8)
        textures = extract_eyes(seen, mesh, iris, np.array(faces.SKIN, float), blur)
        out = seen.copy()
        layer.render_eyes(out, textures, [1.0, 1.0], wide, np.zeros((2, 2)))
        steps = np.abs(np.diff(out.astype(int), axis=0)).max(-1)
        steepest.append(
            steps[faces.polygon_mask(wide[anatomy.EYES[0], :2], 512, 512, -3)[1:]].max()
        )
    assert 0 < steepest[1] < 0.4 * steepest[0]


@pytest.mark.parametrize("seen", [(200, 150, 150), (230, 190, 185), (140, 90, 80)])
def test_reddish_eyes_in_warm_light_are_lent_as_they_are(seen: tuple[int, int, int]) -> None:
    """Their green alone was raised, and whites became yellow."""
    mesh, tone = faces.centred_mesh(512, 512), np.array(faces.SKIN, float)
    made = stand_ins.paint_eye(tone)
    driver = faces.render_face(mesh, 512, 512)
    driver[faces.polygon_mask(mesh[anatomy.EYES[0], :2], 512, 512, grow=0)] = seen
    lent = stand_ins.substitute_from_driver((made, made), driver, mesh, tone)[0].image.astype(int)
    assert (np.abs(lent - seen).max(-1) <= 3).mean() > 0.1


@pytest.mark.parametrize("light", [0.5, 1.0])
def test_whites_that_a_driver_with_darker_skin_lends_do_not_glare(light: float) -> None:
    mesh, tone = faces.centred_mesh(512, 512), np.full(3, 210.0)
    driver = np.full((512, 512, 3), 210 * light, np.uint8)
    driver[faces.polygon_mask(mesh[anatomy.EYES[0], :2], 512, 512, grow=0)] = 200
    made = stand_ins.paint_eye(tone)
    lent = stand_ins.substitute_from_driver((made, made), driver, mesh, tone)[0]
    most = max(stand_ins.WHITEST * 210, 200) if light < 1 else 200
    assert abs(int(lent.image.max()) - most) < 12


def with_lashes(size: int) -> tuple[MeshSource, Array]:
    """Return a face with lashes on its upper lids and a light in each eye, and its mesh."""
    mesh = faces.centred_mesh(size, size)
    image = faces.render_face(mesh, size, size)
    for ring, iris in zip(anatomy.EYES, faces.iris_points(mesh), strict=True):
        lid = mesh[[*ring[8:], ring[0]], :2]
        cv2.polylines(image, [np.rint(lid).astype(np.int32)], False, (30, 20, 20), size // 64)
        height = lid[4, 1] + size / 100
        light = np.rint((float(iris[0, 0]), height)).astype(int)
        cv2.circle(image, (int(light[0]), int(light[1])), size // 100, (255, 255, 255), -1)
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None), mesh


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_shut_lids_show_neither_the_white_nor_a_light_of_the_eye(size: int) -> None:
    """Between samples of the warp map above and below the lids lies the eyeball."""
    source, mesh = with_lashes(size)
    shut = mesh.copy()
    for ring in anatomy.EYES:
        shut[ring[9:]] = shut[ring[1:8]][::-1]
    out = render_frame(source, replace(faces.rest_target(source), points=shut), None)
    for ring in anatomy.EYES:
        line = shut[ring[1:8], :2]
        around = faces.polygon_mask(shut[ring, :2], size, size, grow=size // 40)
        blue = out[around][:, 2].astype(int)
        x, y = np.rint(line[1:-1].T).astype(int)
        assert not (blue > faces.SKIN[2] + 8).any()
        assert out[y, x].mean(-1).max() < 0.75 * np.mean(faces.SKIN)
