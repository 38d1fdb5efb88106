"""Rims of lips found in a picture, and the synthetic inside of the mouth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_faces import centred_mesh, make_face
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import EYES, LIPS
from thcli.engines.mesh.eyes.reading import EyeReading, read_eyes
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth import colours, driver_mouth, lip_rims, mouth_interior
from thcli.engines.mesh.prepared_source import prepare
from thcli.engines.mesh.sampling import remap
from thcli.faces.landmarks.topology import LIPS_OUTER
from thcli.motion import canonical, closure


def opened(mesh: Array, gap: float) -> Array:
    """Open the lips of a mesh (468, 3) as far as gap, in canonical units."""
    posed = canonical.decompose(mesh)
    shape = posed.shape[None].copy()
    gaps = np.maximum(canonical.lip_gaps(shape), 0)
    closure.set_lips(shape, gap * np.ones_like(gaps))
    return np.asarray(replace(posed, shape=shape[0]).mesh())


def inside(image: Image, mesh: Array) -> Image:
    """Return the column between the lips' middle (n, 3), from the upper to the lower."""
    lips = opening.fit_opening(mesh, LIPS)
    u = np.full((1, 1), 0.5, np.float32)
    upper, lower = (float(rim[0, 0]) for rim in lips.rims(u))
    v = np.linspace(upper, lower, 41)[3:-3]
    points = lips.corner + np.stack([np.full_like(v, 0.5), v], 1) @ lips.axes
    x, y = np.rint(points).astype(int).T
    return np.asarray(image[y, x])


def drawn(tone: tuple[int, int, int], gap: float) -> tuple[Image, Array]:
    """Draw the mouth of a face of one colour; return it and its mesh."""
    closed = centred_mesh(768, 768, 0.8)
    image = np.full((768, 768, 3), tone, np.uint8)
    interior = mouth_interior.prepare(closed, np.array(tone, np.float64))
    natural = colours.natural_colour(image, closed, interior.tone)
    interior = replace(interior, natural=natural)
    target, out = opened(closed, gap), image.copy()
    mouth_interior.render(out, image, interior, closed, target)
    return out, target


@pytest.mark.parametrize("gap", [0.02, 0.035, 0.05])
def test_a_thin_opening_of_a_small_mouth_is_as_wide_as_asked(gap: float) -> None:
    """Its soft rims would take much of it away."""
    closed = centred_mesh(160, 160, 0.8)
    image = np.full((160, 160, 3), (180, 120, 110), np.uint8)
    interior = mouth_interior.prepare(closed, np.array((180.0, 120.0, 110.0)))
    interior = replace(interior, enamel=np.full(3, 20.0))  # no tooth is as light as a lip
    target, out = opened(closed, gap), image.copy()
    mouth_interior.render(out, image, interior, closed, target)
    lips = opening.fit_opening(target, LIPS)
    upper, lower = (float(rim[0, 0]) for rim in lips.rims(np.full((1, 1), 0.5, np.float32)))
    x = round(float(target[13, 0]))
    column = out[:, x].mean(-1)
    shade = (column[0] - column) / (column[0] - 20)
    assert shade.sum() == pytest.approx((lower - upper) * lips.width, rel=0.25)


def test_a_film_of_lip_over_the_mouth_is_left_out_of_it() -> None:
    mesh = opened(centred_mesh(384, 384, 0.8), 0.15)
    lips = opening.fit_opening(mesh, LIPS)
    image = np.full((384, 384, 3), (205, 160, 140), np.uint8)
    outer = np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)
    cv2.fillPoly(image, [outer], (170, 80, 80))
    u, v = opening.local_coordinates(lips, (slice(0, 384), slice(0, 384)))
    upper, lower = lips.rims(u)
    image[(v > upper) & (v < (upper + lower) / 2) & (u > 0) & (u < 1)] = (40, 15, 15)
    moved = lip_rims.refine(image, make_face(mesh)).mesh
    assert moved is not None
    found = opening.fit_opening(moved.astype(np.float64), LIPS)
    assert 0.4 < found.gap / lips.gap < 0.7
    np.testing.assert_allclose(found.corner, lips.corner, atol=0.01)


@pytest.mark.parametrize(
    ("skin", "lip", "teeth", "opens"),
    [
        ((205, 160, 140), (140, 70, 70), (225, 222, 215), True),
        ((205, 160, 140), (140, 70, 70), (150, 90, 90), False),
        ((160,) * 3, (85,) * 3, (205,) * 3, True),  # black and white
        ((160,) * 3, (90,) * 3, (110,) * 3, False),
        ((200, 140, 80), (120, 70, 40), (230, 180, 120), False),  # a pale lip over its shadow
    ],
)
def test_a_row_of_teeth_below_shut_landmarks_opens_them(
    skin: tuple[int, ...], lip: tuple[int, ...], teeth: tuple[int, ...], opens: bool
) -> None:
    """A band in the upper part of the lower lip: teeth, or a glossy lip."""
    mesh = centred_mesh(384, 384, 0.8)
    image = np.full((384, 384, 3), skin, np.uint8)
    inner, outer = (mesh[ring, :2] for ring in (LIPS, LIPS_OUTER))
    cv2.fillPoly(image, [np.rint(outer).astype(np.int32)], lip)
    half = len(LIPS) // 2 + 1
    band = np.concatenate([inner[:half], (inner + 0.5 * (outer - inner))[:half][::-1]])
    cv2.fillPoly(image, [np.rint(band).astype(np.int32)], teeth)
    face = make_face(mesh)
    moved = lip_rims.refine(image, face)
    assert (moved is not face) == opens
    if opens:
        assert moved.mesh is not None
        gap = opening.fit_opening(moved.mesh.astype(np.float64), LIPS).gap
        height = np.linalg.norm(outer - inner, axis=-1)[: half - 1].max()
        width = float(np.linalg.norm(inner[0] - inner[half - 1]))
        assert gap == pytest.approx(0.45 * height / width, rel=0.35)


def test_lips_without_an_edge_nearby_keep_their_landmarks() -> None:
    mesh = opened(centred_mesh(256, 256, 0.8), 0.1)
    face = make_face(mesh)
    assert lip_rims.refine(np.full((256, 256, 3), 150, np.uint8), face) is face
    closed = make_face(centred_mesh(256, 256, 0.8))
    assert lip_rims.refine(np.full((256, 256, 3), 150, np.uint8), closed) is closed


def test_the_mouth_of_a_black_and_white_picture_is_grey() -> None:
    out, mesh = drawn((150, 150, 150), 0.2)
    column = inside(out, mesh).astype(int)
    assert np.ptp(column, axis=1).max() <= 1
    assert column.min() < 85


@pytest.mark.parametrize("gap", [0.1, 0.15])
def test_a_mouth_that_opens_a_little_shows_no_second_row_of_teeth(gap: float) -> None:
    out, mesh = drawn((200, 150, 130), gap)
    column = inside(out, mesh).astype(float)
    paleness = column[:, 2] / column[:, 0]  # skin .65, teeth more, the tongue less
    pale = paleness[2:-8] > 0.62
    assert pale.any() and np.diff(pale.astype(int), append=0).tolist().count(-1) == 1


def with_eyes(white: int) -> tuple[Image, Array]:
    """Return a face of one colour with eyes of one brightness, and its mesh."""
    mesh = centred_mesh(384, 384, 0.8)
    image = np.full((384, 384, 3), 150, np.uint8)
    for ring in EYES:
        cv2.fillPoly(image, [np.rint(mesh[ring, :2]).astype(np.int32)], (white,) * 3)
    return image, mesh


def test_teeth_are_as_bright_as_the_eyes_tell() -> None:
    tone = np.full(3, 150.0)
    light = []
    for white in (90, 120, 180, 210):
        reading = read_eyes(*with_eyes(white), tone)
        assert reading is not None and reading.white == pytest.approx(white / 150, abs=0.05)
        mesh = with_eyes(white)[1]
        light.append(mouth_interior.prepare(mesh, tone, reading).enamel.mean())
    assert light[0] == light[1] > 150  # eyes in the shade of a brow do not grey the teeth
    assert light[1] + 10 < light[2] < light[3] - 10


def test_blur_is_measured_in_pixels_and_in_widths_of_an_eye() -> None:
    image, mesh = with_eyes(220)
    tone = np.full(3, 150.0)
    sharp = read_eyes(image, mesh, tone)
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 5.0), np.uint8)
    blurred = read_eyes(soft, mesh, tone)
    assert sharp is not None and blurred is not None
    assert sharp.share < 0.02 < 0.05 < blurred.share
    assert blurred.share * opening.fit_opening(mesh, EYES[0]).width == pytest.approx(
        blurred.blur, rel=0.1
    )


def test_teeth_are_dimmer_in_a_narrow_mouth() -> None:
    """At the same distance below the upper lip, 3 mm, of mouths that open by 4.5 and by 13.5 mm."""
    narrow, wide = (inside(*drawn((150, 150, 150), gap)).astype(int) for gap in (0.05, 0.15))
    assert narrow[24].mean() < 0.92 * wide[6].mean()


@pytest.mark.parametrize(
    ("colour", "shown"), [((165, 75, 75), 0.0), ((40, 15, 15), 1.0), ((220, 210, 200), 1.0)]
)
def test_a_mouth_of_lips_alone_has_no_inside_of_its_own(
    colour: tuple[int, int, int], shown: float
) -> None:
    mesh = opened(centred_mesh(384, 384, 0.8), 0.15)
    image = np.full((384, 384, 3), (205, 160, 140), np.uint8)
    cv2.fillPoly(image, [np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)], (170, 80, 80))
    cv2.fillPoly(image, [np.rint(mesh[LIPS, :2]).astype(np.int32)], colour)
    assert lip_rims.shows_inside(image, mesh) == pytest.approx(shown, abs=0.05)


def test_teeth_are_as_sharp_as_the_eyes() -> None:
    image, mesh = with_eyes(220)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 4), np.uint8)
    sharp, soft = (read_eyes(one, mesh, np.full(3, 150.0)) for one in (image, blurred))
    assert sharp is not None and soft is not None
    assert sharp.blur == 0 and 2 < soft.blur < 4  # a deviation, as the picture was blurred by
    out = []
    for reading in (sharp, soft):
        closed, target = mesh, opened(mesh, 0.2)
        interior = mouth_interior.prepare(closed, np.full(3, 150.0), reading)
        frame = image.copy()
        mouth_interior.render(frame, image, interior, closed, target)
        out.append(np.abs(np.diff(inside(frame, target).astype(int), axis=0)).max())
    assert out[1] < out[0]


@pytest.mark.parametrize("visible", [0, 1])
def test_eyes_outside_of_the_image_tell_nothing(visible: int) -> None:
    mesh = centred_mesh(96, 96, 0.8)
    eyes = np.concatenate(EYES)
    width = opening.fit_opening(mesh, EYES[0]).width
    # one column of the eyes' regions is left at the image's right edge
    lowest = np.floor(mesh[eyes, 0].min() - 0.15 * width - 2)
    mesh[:, 0] += 96 - visible - lowest
    image = np.full((96, 96, 3), 250, np.uint8)
    assert read_eyes(image, mesh, np.full(3, 100.0)) is None


def jaw_dropped(mesh: Array, share: float) -> Array:
    """Lower jaw and lower lip of a mesh (468, 3) by a share of the face's height."""
    moved = mesh.copy()
    below = mesh[:, 1] > mesh[LIPS_OUTER[5], 1]
    below[LIPS[1:10]] = below[LIPS_OUTER[1:10]] = True
    moved[below, 1] += share * float(np.ptp(mesh[:, 1]))
    return moved


def test_an_open_source_bares_no_more_teeth_than_a_closed_one() -> None:
    closed = centred_mesh(512, 512, 0.8)
    target = jaw_dropped(closed, 0.1)
    tone, frames = np.array([200.0, 150.0, 130.0]), []
    for own in (closed, target):
        interior = mouth_interior.prepare(own, tone, EyeReading(1.2, 0.0, 0.0, 200.0))
        frame = np.full((512, 512, 3), tone, np.uint8)
        # without the source's own inside: both draw the same mouth
        drawn_alone = replace(interior, lips=opening.fit_opening(closed, LIPS))
        mouth_interior.render(frame, frame, drawn_alone, own, target)
        frames.append(frame)
    assert np.ptp(inside(frames[0], target).astype(int), axis=0).max() > 50
    np.testing.assert_allclose(frames[0].astype(int), frames[1].astype(int), atol=2)


def test_teeth_beside_dark_skin_are_bright_where_light_falls_on_the_eyes() -> None:
    """Those of photographs differ less than skins do; a skin in the shade has dim ones."""
    mesh, dark = centred_mesh(256, 256), np.array([98.0, 70.0, 54.0])

    def enamel(tone: Array, brightest: float) -> float:
        eyes = EyeReading(0.9, 0.0, 0.0, brightest)
        return float(mouth_interior.prepare(mesh, tone, eyes).enamel.mean())

    lit, shaded = enamel(dark, 150.0), enamel(dark, 60.0)
    assert 1.9 < lit / dark.mean() < 2.3
    assert 1.2 < shaded / dark.mean() < 1.6
    fair = 2.2 * dark
    assert enamel(fair, 200.0) == pytest.approx(enamel(fair, 120.0))
    assert 1.0 < enamel(fair, 200.0) / lit < 2.2**0.5


def test_an_edge_that_would_close_an_open_mouth_is_none() -> None:
    mesh = opened(centred_mesh(384, 384, 0.8), 0.05)
    assert opening.fit_opening(mesh, LIPS).gap > lip_rims.LEAST_GAP
    image = np.full((384, 384, 3), (205, 160, 140), np.uint8)
    cv2.fillPoly(image, [np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)], (170, 80, 80))
    lips = opening.fit_opening(mesh, LIPS)
    u, v = opening.local_coordinates(lips, (slice(0, 384), slice(0, 384)))
    upper, lower = lips.rims(u)
    middle = (upper + lower) / 2
    image[(abs(v - middle) < 0.01) & (u > 0) & (u < 1)] = (40, 15, 15)
    moved = lip_rims.refine(image, make_face(mesh)).mesh
    assert moved is not None
    assert opening.fit_opening(moved.astype(np.float64), LIPS).gap > lip_rims.PARTED_GAP


def test_lips_that_part_leave_the_dark_line_between_them_behind() -> None:
    """It was an outline around the mouth, black in pictures of much contrast."""
    mesh = centred_mesh(256, 256, 0.8)
    image = faces.render_face(mesh, 256, 256)
    line = mesh[LIPS, :2].round().astype(np.int32)
    cv2.polylines(image, [line], isClosed=True, color=(10, 10, 10), thickness=3)
    source = prepare(image, make_face(mesh), None)
    assert source.shut_lips is not None
    target = faces.make_target(source, mouth=0.3)
    rims = target.points[LIPS, :2]
    lips = target.points[LIPS_OUTER, :2]
    beside = (rims + 0.12 * (lips - rims))[3:8].astype(np.float32)[None]  # of the lower lip
    marked, plain = (
        remap(render_frame(one, target, None), beside).mean()
        for one in (replace(source, shut_lips=None), source)
    )
    middle = (mesh[LIPS, :2] + mesh[LIPS_OUTER, :2])[3:8] / 2
    lip = remap(image, middle[None].astype(np.float32))
    assert plain > marked + 0.4 * (lip.mean() - marked)
    unmarked = prepare(faces.render_face(mesh, 256, 256), make_face(mesh), None)
    assert unmarked.shut_lips is None


def test_closed_lips_meet_as_darkly_as_the_drivers() -> None:
    """In the colour of the source's lips, and where the driver's mouth is closed alone."""
    mesh = opened(centred_mesh(256, 256, 0.6), 0.0)
    lips = opening.fit_opening(mesh, LIPS)
    plain = np.full((256, 256, 3), (160, 80, 80), np.uint8)
    driving = np.full((256, 256, 3), (120, 100, 90), np.uint8)
    left_end, right_end = np.rint([lips.corner, lips.corner + lips.axes[0]]).astype(int).tolist()
    x, y = np.mean([left_end, right_end], 0).astype(int)
    cv2.line(driving, left_end, right_end, (30, 25, 22), 3)
    shaded, left, apart = (plain.copy() for _ in range(3))
    driver_mouth.render_seam(shaded, mesh, mesh, driving, 1.0, 1.0)
    driver_mouth.render_seam(left, mesh, mesh, driving, 0.0, 1.0)
    driver_mouth.render_seam(apart, mesh, opened(mesh, 0.2), driving, 1.0, 1.0)
    column = shaded[y - 3 : y + 4, x].astype(int)
    darkest = column[column.sum(-1).argmin()]
    assert darkest == pytest.approx(np.array([40, 20, 20]), abs=8)
    assert np.array_equal(left, plain) and np.array_equal(apart, plain)
    changed = np.flatnonzero((shaded != plain).any((1, 2)))
    assert np.ptp(changed) < 0.4 * lips.width


def test_the_line_of_closed_lips_has_no_highlight_and_in_grey_pictures_no_colour() -> None:
    mesh = opened(centred_mesh(256, 256, 0.6), 0.0)
    lips = opening.fit_opening(mesh, LIPS)
    grey = np.full((256, 256, 3), 140, np.uint8)
    left_end, right_end = np.rint([lips.corner, lips.corner + lips.axes[0]]).astype(int).tolist()

    def render(line: tuple[int, int, int]) -> Image:
        out, driving = grey.copy(), np.full((256, 256, 3), (120, 100, 90), np.uint8)
        cv2.line(driving, left_end, right_end, line, 3)
        driver_mouth.render_seam(out, mesh, mesh, driving, 1.0, 0.0)
        return out

    assert np.array_equal(render((250, 240, 230)), grey)  # a wet lip's highlight
    red = render((100, 20, 20)).astype(int)
    assert red.min() < 90 and np.ptp(red, axis=2).max() <= 1
