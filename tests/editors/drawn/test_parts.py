"""Tests of the parts of `drawn`: measured appearance, hairs and frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thcli.core.geometry import matrix_from_angles
from thcli.core.types import Array32, Image
from thcli.editors.drawn import beard_roots, glasses_frame, light, sharpness, tint
from thcli.editors.drawn.appearance import ANCHORS, APPEARANCE_SIZE, Appearance
from thcli.editors.drawn.beard import dyed_beard
from thcli.editors.drawn.beard_form import BeardForm
from thcli.editors.drawn.hair_guard import hair_of_head, hanging_hair
from thcli.editors.drawn.hair_matte import hair_matte
from thcli.editors.drawn.hair_roots import comb_hairs, extend_below_jaw
from thcli.editors.drawn.scene import Scene
from thcli.faces.parsing.classes import CLASSES, class_number
from thcli.motion.canonical import neutral

MESH = 140 * neutral() + (256, 230, 0)


@settings(deadline=None)
@given(st.lists(st.floats(-200, 300, width=32), min_size=APPEARANCE_SIZE, max_size=APPEARANCE_SIZE))
def test_an_appearance_survives_its_array(row: list[float]) -> None:
    values = np.array(row, np.float32)
    assert np.array_equal(Appearance.from_array(values).to_array(), values)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_direction_of_light_is_found(side: float) -> None:
    ramp = np.linspace(1 - 0.5 * side, 1 + 0.5 * side, 512)[None, :, None]
    crop = np.clip(np.array([150.0, 120, 100]) * ramp * np.ones((512, 1, 1)), 0, 255).astype(
        np.uint8
    )
    regions = np.zeros((len(CLASSES), 64, 64), np.float32)
    regions[class_number("skin")] = 1
    towards = light.light_direction(light.measure_light(crop, MESH, regions))
    assert towards[0] * side > 0.3
    assert np.linalg.norm(towards) == pytest.approx(1)


def test_softness_grows_with_blur() -> None:
    crop: Image = np.full((512, 512, 3), 180, np.uint8)
    for ring in (MESH[33, :2], MESH[263, :2]):
        cv2.circle(crop, np.rint(ring).astype(int).tolist(), 9, (40, 30, 30), -1, cv2.LINE_AA)
    soft = [
        crop,
        *(np.asarray(cv2.GaussianBlur(crop, (0, 0), s), np.uint8) for s in (1.0, 2.0, 3.0)),
    ]
    found = [sharpness.estimate_blur(image, MESH) for image in soft]
    assert found == sorted(found)
    assert found[0] < 0.8
    assert found[2] == pytest.approx(2.0, abs=0.6)


@pytest.mark.parametrize("name", sorted(beard_roots.BEARD_STYLES))
def test_hairs_are_always_the_same_and_more_with_strength(name: str) -> None:
    own = beard_roots.beard_hair_roots(name, BeardForm())
    again = beard_roots.beard_hair_roots.__wrapped__(name, BeardForm())
    assert np.array_equal(own.weights, again.weights)
    assert np.all(np.diff(own.rank) >= 0)
    few, many = (
        beard_roots.beard_strokes(name, 0.3, BeardForm()),
        beard_roots.beard_strokes(name, 1.0, BeardForm()),
    )
    assert 0 < len(few.shade) < len(many.shade)
    assert np.array_equal(few.weights, many.weights[: len(few.shade)]), (
        "those that have grown stay where they are"
    )
    long, short = (np.linalg.norm(h.joints[:, -1], axis=1).mean() for h in (many, few))
    assert long > short


def test_a_moustache_grows_between_nose_and_lip() -> None:
    place = beard_roots.beard_hair_roots("moustache", BeardForm()).place
    assert place[:, 1].min() > neutral()[2, 1] and place[:, 1].max() < neutral()[18, 1]
    assert abs(float(np.median(place[:, 0]))) < 0.05


@settings(deadline=None)
@given(st.floats(0.05, 1.0), st.floats(0.0, 1.2))
def test_hairs_begin_at_their_roots_and_have_the_given_length(fill: float, lift: float) -> None:
    own = beard_roots.beard_hair_roots("goatee", BeardForm())
    hairs = comb_hairs(own, np.full(len(own.rank), 0.1), lift, 0.0, fill)
    assert np.all(hairs.joints[:, 0] == 0)
    reach = np.linalg.norm(hairs.joints[:, -1], axis=1)
    assert np.all(reach < 0.4) and 0.05 < float(np.median(reach)) < 0.2


@settings(deadline=None)
@given(st.floats(-40, 40), st.floats(-20, 20), st.floats(50, 200))
def test_rings_below_the_jaw_turn_with_the_head(yaw: float, pitch: float, scale: float) -> None:
    rotation = matrix_from_angles([pitch, yaw, 0.0])
    still = extend_below_jaw(neutral(), np.eye(3), 1.0)
    turned = extend_below_jaw(scale * neutral() @ rotation.T, rotation, scale)
    assert np.allclose(turned, scale * still @ rotation.T, atol=1e-6 * scale)


@pytest.mark.parametrize("style", [glasses_frame.READING, glasses_frame.DARK])
def test_a_frame_fits_its_head(style: glasses_frame.FrameStyle) -> None:
    anchors = neutral()[ANCHORS]
    plain, thick = (
        glasses_frame.fit_frame(style, anchors),
        glasses_frame.fit_frame(style, anchors, thick=2.0),
    )
    assert plain.centres[0] == pytest.approx(plain.centres[1] * (-1, 1, 1), abs=0.01), (
        "as wide left as right"
    )
    assert plain.centres[1, 0] - 0.345 == pytest.approx(0, abs=0.1), "eyes look through the lenses"
    assert (plain.lenses[..., 2] < neutral()[159, 2] - 0.03).all(), "before the lids"
    ends = plain.quads[plain.along > 0.95].mean((0, 1))
    assert ends[2] > neutral()[127, 2], "temples reach behind the face"
    assert np.ptp(thick.quads[..., 1]) > np.ptp(plain.quads[..., 1])
    wide = glasses_frame.fit_frame(style, anchors * (1.1, 1, 1))
    assert np.ptp(wide.quads[..., 0]) > 1.05 * np.ptp(plain.quads[..., 0])


def test_an_outline_grows_outwards() -> None:
    own, grown = (
        glasses_frame.outline(glasses_frame.READING),
        glasses_frame.outline(glasses_frame.READING, 0.03),
    )
    assert (np.linalg.norm(grown, axis=1) > np.linalg.norm(own, axis=1) + 0.01).all()


def test_a_matte_finds_strands_that_the_parser_misses() -> None:
    """A dark strand beyond the edge of the region is hair, the bright wall beside it is not."""
    side = 256
    crop = np.full((side, side, 3), 200, np.uint8)
    crop[:, :128] = 30
    crop[100:106, 128:140] = 30
    regions = np.zeros((len(CLASSES), side, side), np.float32)
    hair = np.clip((136 - np.arange(side)) / 16, 0, 1).astype(np.float32)
    regions[class_number("hair")] = hair
    regions[0] = 1 - hair
    blank = Appearance.from_array(np.ones(APPEARANCE_SIZE, np.float32))
    matte = hair_matte(Scene(crop, neutral(), regions, blank))
    assert matte.cover[50, 60] == 1
    assert matte.cover[50, 200] == 0
    assert float(matte.cover[103, 133]) > 0.8
    assert float(matte.cover[50, 133]) < 0.2
    assert not matte.roots.any()


def test_grey_strands_are_told_from_dark_hair_and_from_skin() -> None:
    """Roots of the hair's own tone may look grown out, grey ones below a dye look forgotten."""
    row = np.ones(APPEARANCE_SIZE, np.float32)
    row[3:6] = 70, 66, 64
    blank = np.zeros((len(CLASSES), 8, 8), np.float32)
    crop = np.zeros((64, 192, 3), np.uint8)
    crop[:, :64], crop[:, 64:128], crop[:, 128:] = (150, 147, 146), (50, 47, 46), (176, 140, 122)
    found = tint.grey_strands(Scene(crop, neutral(), blank, Appearance.from_array(row)))
    assert found[32, 32] > 0.99
    assert found[32, 96] < 0.01
    assert found[32, 160] < 0.25


def test_a_white_beard_is_not_clipped_on_fair_skin() -> None:
    row = np.zeros(APPEARANCE_SIZE, np.float32)
    row[:3] = 250, 215, 190
    blank = np.zeros((len(CLASSES), 8, 8), np.float32)
    crop = np.zeros((64, 64, 3), np.uint8)
    scene = Scene(crop, neutral(), blank, Appearance.from_array(row))
    white, red = (dyed_beard(scene, np.array(rgb, float)) for rgb in ((255,) * 3, (120, 20, 10)))
    assert 220 < 0.8 * white.max() < 241
    assert red.argmax() == 0 and 0.8 * red.max() < 200


def hair_planes(hangs: bool) -> Array32:
    """Return regions with hair above the face and, on the right, a wide strip beside the neck."""
    regions = np.zeros((len(CLASSES), 128, 128), np.float32)
    hair = regions[class_number("hair")]
    hair[8:40, 20:108] = 1
    hair[40:128, 96:124] = 0.65
    if not hangs:
        hair[40:72, 99:124] = 0
    regions[0] = 1 - hair
    return regions


def test_wood_beside_the_neck_is_no_hair() -> None:
    """Hair that is wide beside the neck came past the ear, or it is doubted."""
    crop: Image = np.full((512, 512, 3), 90, np.uint8)
    for hangs in (True, False):
        regions = hair_planes(hangs)
        sides = hanging_hair(MESH, 512, regions)
        assert sides[0] == 1 and (sides[1] > 0.9) == hangs
        found = hair_of_head(crop, MESH, regions, sides)
        assert found[10:36, 30:100].min() > 0.95
        assert (found[100:, 105:118].max() > 0.5) == hangs


def test_a_patch_of_another_colour_apart_is_no_hair() -> None:
    regions = hair_planes(True)
    regions[class_number("hair"), 40:84, 90:] = 0
    for level, kept in ((95, True), (230, False)):
        crop: Image = np.full((512, 512, 3), 90, np.uint8)
        crop[330:, 370:] = level
        found = hair_of_head(crop, MESH, regions, np.ones(2))
        assert (found[100:, 105:118].max() > 0.5) == kept
