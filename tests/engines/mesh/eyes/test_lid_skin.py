"""Skin between brow and lid: drawn out where it is plain."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh.anatomy import EYES
from thcli.engines.mesh.eyes import lid_skin
from thcli.engines.mesh.eyes.lid_skin import BROWS
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.prepared_source import MeshSource, prepare
from thcli.faces.landmarks import topology

HAIR = (40, 30, 25)
SIZE = 512


def low_brows() -> tuple[Image, Array]:
    """Return a face whose brows hang over half of the skin above its eyes, and its mesh."""
    mesh = faces.centred_mesh(SIZE, SIZE)
    image = faces.render_face(mesh, SIZE, SIZE)
    for ring, brow in zip(EYES, BROWS, strict=True):
        lower = mesh[list(brow), :2]
        height = mesh[ring[12], 1] - lower[2, 1]
        down = np.array([0, 0.45 * height])
        hair = np.concatenate([lower - (0, 6), lower[::-1] + down])
        cv2.fillPoly(image, [np.rint(hair).astype(np.int32)], HAIR)
    return image, mesh


def hair_height(frame: Image, mesh: Array, eye: int) -> int:
    """Count the dark pixels above the middle of an eye."""
    brow, lid = mesh[BROWS[eye][2], :2], mesh[EYES[eye][12], :2]
    column = frame[round(brow[1]) : round(lid[1]) - 3, round(lid[0])]
    return int((column.mean(-1) < 90).sum())


def moved(mesh: Array, raised: float, shut: float) -> Array:
    """Return a mesh with raised brows (pixels), and with eyes that are shut by a share."""
    out = mesh.copy()
    for ring, brow, lid in zip(EYES, topology.BROWS, topology.LIDS, strict=True):
        out[brow, 1] -= raised
        gap = mesh[ring[4], 1] - mesh[ring[12], 1]
        out[lid.upper, 1] += shut * gap
    return out


def prepared(image: Image, mesh: Array) -> MeshSource:
    return prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)


@pytest.mark.parametrize(("raised", "shut"), [(24.0, 0.0), (12.0, 1.0)])
def test_a_low_brow_stays_as_high_as_it_is(raised: float, shut: float) -> None:
    image, mesh = low_brows()
    source = prepared(image, mesh)
    target = replace(faces.rest_target(source), points=moved(mesh, raised, shut))
    by_mesh = render_frame(replace(source, lid_skins=()), target, None)
    out = render_frame(source, target, None)
    for eye in (0, 1):
        own = hair_height(image, mesh, eye)
        assert own > 8
        assert hair_height(out, target.points, eye) <= own + 3
        assert hair_height(by_mesh, target.points, eye) > own + 3


def test_skin_that_is_not_drawn_out_stays_as_it_is() -> None:
    image, mesh = low_brows()
    source = prepared(image, mesh)
    for raised, shut in ((0.0, 0.0), (-8.0, 0.0)):
        target = replace(faces.rest_target(source), points=moved(mesh, raised, shut))
        by_mesh = render_frame(replace(source, lid_skins=()), target, None)
        np.testing.assert_array_equal(render_frame(source, target, None), by_mesh)


def test_the_band_lies_on_skin() -> None:
    for skin in prepared(*low_brows()).lid_skins:
        assert skin is not None
        assert skin.band > 0.5  # the brow covers .45


def test_an_eye_that_the_source_hides_has_no_skin_of_its_own_above_it() -> None:
    image, mesh = low_brows()
    target = faces.make_target(prepared(image, mesh), turn=(0, 55, 0)).points
    skins = prepared(image, target).lid_skins
    far = int(np.argmax([target[ring, 2].mean() for ring in EYES]))
    assert [skin is None for skin in skins] == [far == 0, far == 1]
    lid_skin.render(image.copy(), image, skins, moved(mesh, 24.0, 0.0))


def test_an_eye_that_is_seen_from_the_side_is_left_to_the_mesh() -> None:
    image, mesh = low_brows()
    source = prepared(image, mesh)
    target = faces.make_target(source, turn=(0, 75, 0)).points
    target = moved(target, 24.0, 0.0)
    out = np.full((SIZE, SIZE, 3), 128, np.uint8)
    lid_skin.render(out, image, source.lid_skins, target)
    narrow = [np.ptp(target[ring, 0]) for ring in EYES]
    far = int(np.argmin(narrow))
    inside = faces.polygon_mask(target[list(BROWS[far]), :2], SIZE, SIZE, grow=4)
    assert (out[inside] == 128).all()


def middles(frame: Image, mesh: Array) -> Array:
    """Return the colours (2, 3) in the middle of the skin above both eyes."""
    places = [(mesh[b[2], :2] + mesh[e[12], :2]) / 2 for b, e in zip(BROWS, EYES, strict=True)]
    return np.array([frame[round(y), round(x)] for x, y in places], float)


@pytest.mark.parametrize("shade", [0.3, 0.6, 1.0])
def test_skin_that_is_drawn_out_takes_a_light_between_its_own_and_that_of_the_cheeks(
    shade: float,
) -> None:
    mesh = faces.centred_mesh(SIZE, SIZE)
    image = faces.render_face(mesh, SIZE, SIZE)
    for ring, brow in zip(EYES, BROWS, strict=True):
        above = np.concatenate([mesh[list(brow), :2], mesh[list(ring[:8:-1]), :2][::-1]])
        dark = tuple(round(shade * value) for value in faces.SKIN)
        cv2.fillPoly(image, [np.rint(above).astype(np.int32)], dark)
    source, skin = prepared(image, mesh), np.array(faces.SKIN, float)
    lights = []
    for raised in (0.0, 20.0, 40.0):
        target = replace(faces.rest_target(source), points=moved(mesh, raised, 0.0))
        colours = middles(render_frame(source, target, None), target.points)
        lights.append((colours / skin).mean())
        np.testing.assert_allclose(colours / skin, lights[-1], atol=0.06)
    assert lights[0] == pytest.approx(shade, abs=0.02)
    assert lights[1] < lights[2] < 1.02
    even = lid_skin.LIGHT * shade**lid_skin.OWN_LIGHT
    assert min(shade, even) - 0.02 <= lights[1] <= max(shade, 1.3 * even)
    assert (lights[2] > shade + 0.1) == (shade < 0.9)


def test_drawn_eyes_keep_the_skin_above_them() -> None:
    image, mesh = low_brows()
    source = prepared(image, mesh)
    own = lid_skin.extract(image, mesh, source.eyes, are_drawn=True)
    target, out = moved(mesh, 40.0, 0.0), np.zeros_like(image)
    lid_skin.render(out, image, own, target)
    np.testing.assert_allclose(middles(out, target), [faces.SKIN] * 2, atol=2)


@pytest.mark.parametrize("grain", [0.0, 6.0])
def test_skin_that_is_drawn_out_has_the_grain_of_the_picture(grain: float) -> None:
    image, mesh = low_brows()
    noise = np.random.default_rng(1).normal(0, grain, image.shape[:2])[..., None]
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    source, target = prepared(image, mesh), moved(mesh, 24.0, 0.0)
    frame = render_frame(source, replace(faces.rest_target(source), points=target), None)
    brow, lid = target[BROWS[0][2], :2], target[EYES[0][12], :2]
    x, y = round(lid[0]), round((brow[1] + lid[1]) / 2)
    part = frame[y - 6 : y + 6, x - 10 : x + 10].mean(-1)
    fine = float((part - cv2.GaussianBlur(part, (0, 0), 2)).std())
    assert 0.4 * grain <= fine <= 1.2 * grain + 0.5


@pytest.mark.parametrize("brightest", [255, 225])
def test_lids_have_the_colour_of_the_shade_of_their_face(brightest: int) -> None:
    """Darkened in proportion, bright skin was a grey patch on an orange face."""
    mesh = faces.centred_mesh(SIZE, SIZE)
    light = np.linspace(0.5, 1.15, SIZE)[None, :, None] * np.ones((SIZE, 1, 1))
    image = np.clip(brightest * light ** np.array([0.1, 1.0, 2.0]), 0, brightest).astype(np.uint8)
    (skin, *_) = prepared(image, mesh).lid_skins
    assert skin is not None and skin.tone is not None
    tone = skin.tone[len(skin.tone) // 2]
    red, _, blue = tone
    at = tuple(np.rint(mesh[EYES[0]][:, :2].mean(0) - (0, 30)).astype(int)[::-1])
    own = image[at].astype(float)
    assert (red - blue) / tone.mean() > 1.3 * (own[0] - own[2]) / own.mean()


def test_lids_take_the_light_of_their_own_side() -> None:
    """Of a face that is lit in two colours, both were grey patches with edges."""
    mesh = faces.centred_mesh(SIZE, SIZE)
    lit = np.linspace(0, 1, SIZE)[None, :, None]
    image = ((1 - lit) * (210, 60, 60) + lit * (60, 60, 210)) * np.ones((SIZE, 1, 1))
    source = prepared(image.astype(np.uint8), mesh)
    target = replace(faces.rest_target(source), points=moved(mesh, 24.0, 0.0))
    frame = render_frame(replace(source, painter=None), target, None).astype(float)
    for lid in source.lid_skins:
        assert lid is not None and lid.tone is not None
        redness = lid.tone[:, 0] - lid.tone[:, 2]
        assert (np.diff(redness) < 0.5).all() and redness[0] > redness[-1] + 4
    for ring, brow in zip(EYES, BROWS, strict=True):
        (left, right), top = target.points[ring[[0, 8]], 0], target.points[list(brow), 1].max()
        y = round((top + target.points[ring[12], 1]) / 2)
        beside = frame[y, round(left) - 30 : round(right) + 30].mean(-1)
        assert np.abs(np.diff(beside)).max() < 8
