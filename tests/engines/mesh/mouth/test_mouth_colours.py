"""Colours of the inside of the mouth in natural, grey and toned pictures, in any light."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.tones import fit_tones
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.mouth import colours, mouth_interior, tone_match, toned_driver
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks.topology import LIPS_OUTER, MOUTH_SKIN

FACE = faces.centred_mesh(256, 256)
TEAL = np.array([0.75, 1.05, 1.0])


def lips_on_skin(skin: tuple[int, int, int], lips: tuple[int, int, int]) -> tuple[Image, Array]:
    mesh = faces.centred_mesh(256, 256)
    image = np.full((256, 256, 3), skin, np.uint8)
    cv2.fillPoly(image, [np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)], lips)
    return image, mesh


def with_blush(image: Image, levels: float) -> Image:
    """Add shade to a picture, and red and blue that come and go from side to side."""
    y, x = np.mgrid[0:256, 0:256] / 256.0
    hue = levels * np.cos(50 * x)[..., None] * [1.0, -0.3, -1.0]
    levels = image * (0.7 + 0.5 * y[..., None]) + hue
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("skin", "lips", "natural"),
    [
        ((207, 165, 140), (170, 80, 80), 1.0),
        ((90, 60, 45), (75, 48, 40), 1.0),  # dark skin, lips that are hardly redder
        ((190, 192, 196), (170, 120, 130), 1.0),  # pale in cold light
        ((140, 140, 140), (90, 90, 90), 0.0),
        ((81, 92, 88), (52, 56, 51), 0.0),  # a film in teal
    ],
)
def test_a_picture_has_colours_where_skin_is_warm_or_lips_are_redder(
    skin: tuple[int, int, int], lips: tuple[int, int, int], natural: float
) -> None:
    image, mesh = lips_on_skin(skin, lips)
    image = with_blush(image, 0.05 * max(skin) * natural)
    tone = colours.skin_tone(image, mesh)
    assert colours.natural_colour(image, mesh, tone) == pytest.approx(natural, abs=0.05)


def test_a_faded_photograph_in_sepia_has_no_colours() -> None:
    """Its skin is warm. Mouths were magenta."""
    image, mesh = lips_on_skin((178, 168, 155), (120, 111, 100))
    tone = colours.skin_tone(image, mesh)
    for levels, natural in ((0.0, 0.0), (1.0, 0.0), (9.0, 1.0)):
        assert colours.natural_colour(with_blush(image, levels), mesh, tone) == natural


@pytest.mark.parametrize(("departs", "natural"), [(0.0153, 0.0), (0.0208, 1.0)])
def test_the_tones_are_those_of_the_face_alone(departs: float, natural: float) -> None:
    """A head departs twice as much as its face, and the mount of a photograph more than both."""
    image, mesh = lips_on_skin((190, 170, 145), (130, 112, 95))
    low, high = mesh[:, :2].min(0).astype(int), np.ceil(mesh[:, :2].max(0)).astype(int)

    def measure(levels: float) -> float:
        tones = fit_tones(with_blush(image, levels)[low[1] : high[1], low[0] : high[0]])
        return tones.departs / tones.brightness

    picture = with_blush(image, min(np.arange(0, 9, 0.1), key=lambda n: abs(measure(n) - departs)))
    beside = np.ones((256, 256), bool)
    beside[low[1] : high[1], low[0] : high[0]] = False
    for colour in ((90, 120, 200), (200, 200, 200)):  # of what is around the face
        picture[beside] = colour
        tone = colours.skin_tone(picture, mesh)
        assert colours.natural_colour(picture, mesh, tone) == natural


@pytest.mark.parametrize("from_driver", [True, False])
def test_the_inside_of_a_toned_picture_has_its_tint(*, from_driver: bool) -> None:
    mesh = faces.centred_mesh(256, 256)
    grey = faces.render_face(mesh, 256, 256).mean(-1, keepdims=True)
    image = np.clip(grey * TEAL, 0, 255).astype(np.uint8)
    source = prepare(image, faces.make_face(mesh, faces.iris_points(mesh)), None)
    target = faces.make_target(source, mouth=0.4)
    frame = np.full((256, 256, 3), (150, 60, 60), np.uint8)
    out = render_frame(source, replace(target, driver=mesh), frame if from_driver else None)
    inside = out[faces.polygon_mask(target.points[LIPS, :2], 256, 256, grow=-4)].astype(float)
    assert np.abs(inside - inside.mean(-1, keepdims=True) / TEAL.mean() * TEAL).max() < 4


def test_teeth_turn_neither_blue_nor_green_between_skins_of_unlike_warmth() -> None:
    teeth = np.full((2, 2, 3), (200, 195, 180), np.float32)
    out = tone_match.match_tone(
        teeth, np.array([190.0, 172, 168]), np.array([190.0, 140, 110]), 1.0
    )
    red, green, blue = out[0, 0]
    assert green <= red and blue <= (red + green) / 2
    assert blue < 0.99 * (red + green) / 2  # a share of the warmth around them
    cold = np.array([120.0, 140, 170])  # where the skin itself is cool, teeth may be
    assert tone_match.warm_up(teeth * cold / 170, cold)[0, 0, 2] >= 180


@pytest.mark.parametrize(
    ("skin", "driver_skin", "teeth"),
    [
        ((207, 154, 126), (142, 86, 32), (199, 155, 94)),  # a driver in yellow light
        ((176, 118, 87), (160, 127, 113), (179, 151, 139)),  # a face of clay
    ],
)
def test_teeth_are_off_white_whatever_the_light_of_the_driver(
    skin: tuple[int, int, int], driver_skin: tuple[int, int, int], teeth: tuple[int, int, int]
) -> None:
    tone, present = np.array(skin, float), np.array(driver_skin, float)
    tooth = np.array(teeth, np.float32).reshape(1, 1, 3)
    out = tone_match.match_tone(tooth, tone, present, 1.0, 180.0)[0, 0].astype(float)
    red, green, blue = out
    assert green / red >= 0.99 * (skin[1] / skin[0]) ** 0.4
    assert blue / red >= 0.99 * (skin[2] / skin[0]) ** 0.4
    assert colours.warmth(out) > 0.03  # and yet in the light of the scene
    assert np.allclose(tone_match.match_tone(tooth, present, present, 1.0), tooth, atol=0.5)
    gum = np.array([170, 80, 70], np.float32).reshape(1, 1, 3)
    assert np.allclose(
        tone_match.clean_teeth(gum, tone, (180.0, 1.0), 1.0, np.ones((1, 1), bool)), gum
    )


@pytest.mark.parametrize("beard", [True, False])
def test_a_beard_is_not_the_tone_of_skin(*, beard: bool) -> None:
    """Teeth beside it were grey, and those of a driver with one were too bright."""
    mesh = faces.centred_mesh(256, 256)
    image = faces.render_face(mesh, 256, 256)
    skin = colours.skin_tone(image, mesh)
    assert np.abs(skin - colours.tone_at(image, mesh, MOUTH_SKIN)).max() < 1
    shade = (60, 50, 45) if beard else np.asarray(0.9 * skin)
    around = faces.polygon_mask(mesh[LIPS, :2], 256, 256, grow=14)
    image[around] = shade
    found = colours.skin_tone(image, mesh)
    assert np.allclose(found, (0.85 if beard else 0.9) * skin, rtol=0.03)


def test_teeth_stay_brighter_than_the_red_of_a_vivid_skin() -> None:
    """With the brightness of its mean they were grey in warm light, of drawn mouths too."""
    skin, driver_skin = np.array([126.0, 70, 38]), np.array([164.0, 134, 117])
    tooth = np.array([187, 164, 150], np.float32).reshape(1, 1, 3)
    enamel = mouth_interior.prepare(FACE, skin).enamel
    assert enamel[0] > 1.05 * skin[0]
    out = tone_match.match_tone(tooth, skin, driver_skin, 1.0, float(enamel.mean()))[0, 0]
    assert 187 / 164 < out[0] / skin[0] < 1.2 * 187 / 164
    usual = np.array([180.0, 150, 130])  # the same for skins that are no more vivid than others
    assert colours.vividness(usual) == 1 and colours.vividness(usual[::-1]) == 1


def test_a_pale_tongue_beside_white_teeth_is_no_tooth() -> None:
    """In hard light it is no redder than the skin, and became a white plate."""
    tone = np.array([210.0, 163, 144])
    mouth = np.tile(np.array([226, 208, 200], np.float32), (8, 8, 1))  # teeth
    mouth[4:] = (212, 172, 168)  # and a tongue
    inside = np.ones((8, 8), bool)
    out = tone_match.clean_teeth(mouth, tone, (203.0, 1.0), 1.0, inside)
    assert np.allclose(out[5:], mouth[5:], atol=2)
    inside[:4] = False  # white beside the mouth is none of its teeth
    stained = tone_match.clean_teeth(mouth, tone, (203.0, 1.0), 1.0, inside)
    assert float(colours.warmth(stained[7, 0])) < 0.9 * colours.warmth(mouth[7, 0])


def test_teeth_that_are_pinker_than_pale_skin_are_told_from_the_tongue() -> None:
    """Those at the sides of a row took the colour of flesh."""
    skin = np.array([240.0, 195, 164])
    mouth = np.tile(np.array([200, 171, 150], np.float32), (9, 8, 1))  # teeth in the middle
    mouth[:3, 4:] = (190, 142, 128)  # and at the side, a gap of red over green from the skin's
    mouth[3:] = (180, 105, 105)
    inside = np.ones((9, 8), bool)
    out = tone_match.darken_flesh(mouth, mouth, skin, 1.0, inside)
    assert np.allclose(out[:1], mouth[:1], rtol=0.12)
    assert out[8].mean() < 0.65 * mouth[8].mean()


def test_dull_teeth_are_lifted_towards_the_enamel_of_the_source() -> None:
    tone, teeth = np.array([176.0, 118, 87]), np.full((1, 9, 3), 130, np.float32)
    inside = np.ones((1, 9), bool)

    def cleaned(enamel: float, share: float = 1.0) -> Array32:
        return tone_match.clean_teeth(teeth, tone, (enamel, 1.0), share, inside)

    assert cleaned(140.0).mean() == pytest.approx(140, abs=1)
    assert cleaned(250.0).mean() == pytest.approx(156, abs=1)
    assert cleaned(250.0, 0.0) is teeth


def test_teeth_beside_a_darker_skin_are_not_darkened_as_the_skin_is() -> None:
    """They were as dark as the skin."""
    present, white = np.array([190.0, 150, 130]), np.full((4, 4, 3), 170, np.float32)
    levels = []
    for share in (1.0, 0.7, 0.4):
        skin = share * present
        toned = tone_match.match_tone(white, skin, present, 1.0, 170 * share**0.33)
        levels.append(float(toned.mean()))
    assert levels[0] == pytest.approx(170, rel=0.05)
    assert np.allclose(levels, levels[0] * np.array([1.0, 0.7, 0.4]) ** 0.33, rtol=0.08)
    shaded = tone_match.match_tone(white, 0.4 * present, present, 1.0, 90.0)
    assert shaded.mean() < 110  # of a source in the shade, whose own would not gleam
    dark = np.full((4, 4, 3), 40, np.float32)
    dark[:2] = white[:2]
    cavity = tone_match.match_tone(dark, 0.4 * present, present, 1.0, 125.0)[3]
    assert cavity.mean() < 0.6 * 40


def test_teeth_beside_a_dark_grey_skin_are_lifted_and_lips_are_not() -> None:
    """In pictures without colours they were as dark as the skin."""
    present, grey = np.array([190.0, 150, 130]), np.full(3, 70.0)
    mouth = np.full((8, 8, 3), 170, np.float32)
    mouth[4:] = (180, 100, 100)  # a tongue
    out = tone_match.match_tone(mouth, grey, present, 0.0, 150.0)
    gain = float(colours.tone_gain(grey, present).mean())
    assert np.ptp(out, axis=-1).max() < 1e-3
    assert out[1].mean() > 1.4 * gain * 170
    assert out[6].mean() < gain * mouth[6].mean()
    alike = tone_match.match_tone(mouth, np.full(3, 160.0), present, 0.0, 220.0)
    assert alike[1].mean() < 1.05 * 170


def test_the_dark_of_a_mouth_is_as_warm_as_the_skin() -> None:
    """That of a driver in a film toned teal was green in a face of natural colours."""
    skin = np.array([200.0, 140, 110])
    dark = tone_match.match_tone(
        np.full((1, 1, 3), (20, 34, 36), np.float32), skin, np.array([70.0, 115, 125]), 1.0
    )
    red, green, blue = dark[0, 0]
    assert green < 0.75 * red and blue < 0.75 * red
    pale = np.full(3, 180.0)  # a picture in grey
    assert np.ptp(tone_match.warm_up(np.full((1, 1, 3), 40, np.float32), pale)) < 1e-3


@given(st.floats(5, 250), st.floats(5, 250), st.floats(5, 250))
def test_tone_gain_is_bounded(red: float, green: float, blue: float) -> None:
    factor = colours.tone_gain(np.array([200.0, 150, 130]), np.array([red, green, blue]))
    least, most = colours.BRIGHTNESS_RANGE
    assert (factor > least / np.exp(colours.MOST_CHROMA)).all()
    assert (factor < most * np.exp(colours.MOST_CHROMA)).all()


def test_colour_beyond_that_of_skins_is_the_lights_and_goes_whole() -> None:
    skin = np.array([200.0, 150, 130])
    usual = colours.tone_gain(skin, skin * [1.1, 1.0, 0.95])
    lit = colours.tone_gain(skin, skin * [1.1, 1.0, 0.3])
    assert 1.0 < usual[2] / usual[1] < 1 / 0.95
    assert lit[2] / lit[1] > 0.8 / 0.3


def test_a_mouth_below_dark_skin_grows_no_white_blocks_in_a_pale_face() -> None:
    """Teeth are as light in dark skin as in pale skin, so that skins say little about them."""
    pale, teeth = np.full(3, 220.0), np.full((1, 1, 3), 150, np.float32)
    enamel = float(mouth_interior.prepare(FACE, pale).enamel.mean())
    light = float(tone_match.match_tone(teeth, pale, np.full(3, 60.0), 1.0, enamel).max())
    assert 150 < light < 0.96 * 220 and light < 1.3 * enamel


def test_a_grey_source_gets_a_grey_mouth_and_highlights_are_not_clipped() -> None:
    levels = np.array([[[200.0, 90, 100], [255, 240, 230]]], np.float32)
    skin, grey = np.array([180.0, 130, 110]), np.full(3, 140.0)
    out = tone_match.match_tone(levels, grey, skin, 0.0)
    assert np.ptp(out, axis=-1).max() < 1e-3
    bright = tone_match.match_tone(levels, skin * 1.35, skin, 1.0)
    assert 230 < bright[0, 1].max() < 255 and np.ptp(bright[0, 0]) > 50
    same = tone_match.match_tone(levels[:, :1], skin, skin, 1.0)
    assert np.allclose(same, levels[:, :1], atol=0.01)


def test_the_drivers_teeth_are_no_brighter_than_a_dim_source_has_them() -> None:
    dim, dark = np.full(3, 70.0), np.full(3, 60.0)
    teeth = np.linspace(40, 250, 22, dtype=np.float32).repeat(3).reshape(1, 22, 3)
    out = tone_match.match_tone(teeth, dim, dark, 0.0, enamel=105.0)
    assert out.max() < 1.3 * 105 and (np.diff(out[0, :, 0]) > 0).all()
    shade = teeth[0, :, 0] * 70 / 60 < 0.5 * 105
    assert np.allclose(out[0, shade, 0], teeth[0, shade, 0] * 70 / 60, rtol=1e-4)


def test_teeth_that_are_brought_down_keep_the_shade_between_them() -> None:
    """They came to one level: a white plate with a hard edge, of drivers with dark skin."""
    teeth = np.tile(np.array([230, 240, 190, 235, 225], np.float32), 40)[None, :, None].repeat(
        3, -1
    )
    out = tone_match.match_tone(teeth, np.full(3, 90.0), np.full(3, 60.0), 0.0, enamel=130.0)[
        0, :, 0
    ]
    assert 130 < out.max() < 1.3 * 130 and out[0] - out[2] > 0.4 * 130 / 240 * 40
    dim = tone_match.match_tone(teeth * 0.3, np.full(3, 90.0), np.full(3, 60.0), 0.0, enamel=130.0)
    assert np.allclose(dim, teeth * 0.3 * 1.4, rtol=1e-4)


@pytest.mark.parametrize("skin", [(180.0, 20, 20), (20.0, 40, 180)])
def test_the_drivers_teeth_are_as_bright_as_drawn_ones_in_coloured_light(
    skin: tuple[float, float, float],
) -> None:
    tone, present = np.array(skin), np.array([190.0, 150, 130])
    enamel = mouth_interior.prepare(FACE, tone).enamel
    teeth = np.full((1, 1, 3), 200, np.float32)
    out = tone_match.match_tone(teeth, tone, present, 1.0, float(enamel.mean()))[0, 0]
    assert out.max() > 120 and enamel.mean() < out.mean() < 1.3 * enamel.mean()


def test_the_drivers_mouth_in_black_skin_divides_by_nothing() -> None:
    teeth = np.full((1, 1, 3), 200, np.float32)
    with np.errstate(divide="raise", invalid="raise"):
        out = tone_match.match_tone(teeth, np.zeros(3), np.full(3, 150.0), 1.0, 0.0)
    assert np.isfinite(out).all() and out.max() < 1.5


def test_a_tongue_is_darker_than_skin_in_a_grey_picture_and_teeth_are_not() -> None:
    """A mouth full of tongue was a disc as light as the skin."""
    skin, grey = np.array([150.0, 100.0, 85.0]), np.full(3, 150.0)
    inside = np.zeros((60, 80, 3), np.float32)
    inside[:30], inside[30:] = (190, 180, 170), (150, 80, 85)
    inside[28:30] = (170, 122, 118)  # the shine of gums on teeth
    out = tone_match.match_tone(inside, grey, skin, natural=0.0)
    natural = tone_match.match_tone(inside, grey, skin, natural=1.0)
    assert out[5].mean() == pytest.approx(natural[5].mean(), rel=0.05)
    assert out[28].mean() > 0.85 * natural[28].mean()
    assert out[55].mean() < 0.65 * natural[55].mean()
    of_grey = tone_match.match_tone(inside, grey, grey, natural=0.0)
    assert of_grey[55].mean() == pytest.approx(inside[55].mean(), rel=0.05)


def test_teeth_that_come_out_too_bright_keep_the_shade_between_them() -> None:
    """Beside pale skin those of a driver in strong light would be one white plate."""
    pale, tanned = np.array([225.0, 205, 195]), np.array([180.0, 140, 125])
    teeth = np.array([[[240.0, 225, 215], [205.0, 185, 175]]], np.float32)
    out = tone_match.match_tone(np.repeat(teeth, 50, 0), pale, tanned, 1.0, enamel=232.0)[0]
    assert out.mean(-1).max() <= tone_match.BRIGHTEST + 1
    assert out[0].mean() - out[1].mean() > 20


def test_flesh_of_a_driver_in_one_tint_turns_red_and_teeth_do_not() -> None:
    tone = np.array([198.0, 178, 179])
    inside = np.array([[[90.0, 90, 90], [30.0, 32, 31], [185.0, 180, 178]]], np.float32)
    tongue, dark, teeth = toned_driver.colour_flesh(inside, tone, 1.0)[0]
    for before, after in ((inside[0, 0], tongue), (inside[0, 1], dark)):
        assert after[0] > 1.15 * after[1:].max()
        assert after.mean() == pytest.approx(before.mean(), rel=0.01)
    np.testing.assert_allclose(teeth, inside[0, 2])
    assert toned_driver.colour_flesh(inside, tone, 0.0) is inside
