"""Drawn inside of a mouth: its size, the dark, and how much of the teeth shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import colours, drawn_inside, mouth_interior, teeth
from thcli.engines.mesh.mouth.drawn_inside import Anchors
from thcli.engines.mesh.mouth.mouth_interior import LOWER_LIP, UPPER_LIP
from thcli.engines.mesh.opening import COLUMNS, Opening, Region
from thcli.faces.landmarks import topology
from thcli.motion import canonical
from thcli.motion.sliders import load_slider_shapes

REGION: Region = slice(21, 222), slice(33, 440)


def geometry(pixels_per_mm: float) -> tuple[Opening, Anchors]:
    """Return an open mouth of 50 mm and its teeth."""
    arc = np.clip(COLUMNS * (1 - COLUMNS), 0, 1)
    width = 50 * pixels_per_mm
    lips = Opening(
        np.array([50.3, 90.6]), np.array([[width, 0], [0, width]]), -0.4 * arc, 0.9 * arc
    )
    middle = lips.corner + np.array([width / 2, 0])
    axes = pixels_per_mm * np.array([[1.0, 0], [0, 1], [0, 0]])
    return lips, Anchors(middle, middle + 8 * axes[1], axes)


@pytest.mark.parametrize("blur", [0.0, 3.0])
def test_a_large_mouth_is_drawn_at_half_the_size(blur: float) -> None:
    interior = replace(faces.astronaut().interior, blur=blur)
    mask: Array32 = np.ones((201, 407), np.float32)
    lips, anchors = geometry(drawn_inside.FINEST + 1)
    drawn = drawn_inside.draw(mask, REGION, lips, anchors, interior)
    pixels = drawn_inside._draw(mask, REGION, lips, anchors, interior)
    assert drawn.shape == pixels.shape
    assert not np.array_equal(drawn, pixels)
    difference = np.abs(drawn - pixels)[8:-8, 8:-8]
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 8
    assert pixels.std() > 20


def test_a_small_mouth_is_drawn_pixel_by_pixel() -> None:
    interior, mask = faces.astronaut().interior, np.ones((201, 407), np.float32)
    lips, anchors = geometry(drawn_inside.FINEST - 1)
    drawn = drawn_inside.draw(mask, REGION, lips, anchors, interior)
    assert np.array_equal(drawn, drawn_inside._draw(mask, REGION, lips, anchors, interior))


@pytest.mark.parametrize("with_teeth", [True, False])
def test_a_faded_picture_has_no_dark_that_is_blacker_than_its_face(with_teeth: bool) -> None:
    image = np.asarray(60 + 0.7 * faces.astronaut().image, np.uint8)
    darkest = colours.darkest_level(image, faces.astronaut().mesh, np.full(3, 170.0))
    assert 60 <= darkest < 90
    lips, anchors = geometry(drawn_inside.FINEST - 1)
    mask: Array32 = np.ones((201, 407), np.float32)
    uv = opening.local_coordinates(lips, REGION)
    rims = lips.rims(uv[0])
    levels = []
    for level in (0.0, 5.0, darkest):
        interior = replace(faces.astronaut().interior, tone=np.full(3, 170.0), darkest=level)
        drawn = drawn_inside.draw_part(REGION, uv, rims, lips, anchors, interior, teeth=False)
        if with_teeth:
            drawn = drawn_inside.draw(mask, REGION, lips, anchors, interior)
        levels.append(drawn.mean(-1))
    black, dark, faded = levels
    assert np.array_equal(black, dark)  # the cavity is no darker than that
    assert black.min() < 12
    assert faded.min() > 0.6 * darkest  # in the corners
    np.testing.assert_allclose(faded[black > 170], black[black > 170])


def test_a_source_knows_its_darkest_tone() -> None:
    source = faces.astronaut()
    assert source.interior.darkest == colours.darkest_level(source.image, source.mesh, source.tone)


def test_a_face_without_any_dark_does_not_tell_it() -> None:
    plain = np.full((256, 256, 3), 150, np.uint8)
    mesh = faces.centred_mesh(256, 256)
    assert colours.darkest_level(plain, mesh, np.full(3, 150.0)) == 0


def teeth_height(risen: float, width: float = 1.0, hidden: float = 0.0) -> float:
    """Return mm of upper teeth in the middle of an open mouth.

    Args:
        risen: mm by which its upper lip has risen.
        width: of the mouth over the source's.
        hidden: mm by which the teeth end higher than on average.
    """
    closed, tone = faces.centred_mesh(768, 768, 0.8), np.array([150.0, 110.0, 95.0])
    axes = mouth_interior.face_axes(closed)
    target = closed.copy()
    ring = np.array(LIPS)
    lower, upper = ring[1:10], ring[11:]
    target[lower, :2] += 22 * axes[1]
    target[upper, :2] -= risen * axes[1]
    out = np.full((768, 768, 3), tone, np.uint8)
    middle = closed[ring, 0].mean()
    lips = np.concatenate([ring, np.asarray(topology.LIPS_OUTER)])
    target[lips, 0] = middle + width * (target[lips, 0] - middle)
    interior = replace(mouth_interior.prepare(closed, tone), bite=-100.0)  # the jaw bares none
    interior = replace(interior, upper=interior.upper - (0, hidden))
    mouth_interior.render(out, out.copy(), interior, closed, target)
    top, low = (target[point, :2] for point in (UPPER_LIP, LOWER_LIP))
    count = int(2 * np.hypot(*(low - top)))
    x, y = np.rint(np.linspace(top, low, count)).astype(int).T
    pale = out[y, x, 2] / np.maximum(out[y, x, 0], 1.0) > 0.7
    return float(pale[: np.argmin(pale[20:]) + 20].sum() / 2 / np.hypot(*axes[1]))


def test_lips_that_rise_far_bare_no_more_than_teeth_are_long() -> None:
    heights = [teeth_height(risen) for risen in (0.0, 3.0, 6.0, 9.0, 18.0)]
    steps = np.diff(heights)
    assert steps[0] == pytest.approx(3, abs=0.7)
    assert steps.min() > -0.3
    most = drawn_inside.FREE_BARED + drawn_inside.MORE_BARED
    assert heights[-1] == pytest.approx(most, abs=0.7)


def test_lips_that_are_drawn_together_cover_the_upper_teeth() -> None:
    heights = [teeth_height(3.0, width) for width in (1.05, 1.0, 0.95, 0.9, 0.85, 0.5)]
    assert heights[0] > 5 and (np.diff(heights[:-1]) < 0).all()
    assert heights[-1] == pytest.approx(mouth_interior.COVERED_BARED, abs=0.5)


def test_lips_that_are_drawn_apart_bare_teeth_that_they_hid() -> None:
    heights = [teeth_height(2.0, width, hidden=6.0) for width in (1.0, 1.1, 1.2, 1.3, 1.4)]
    assert heights[0] < 1.5 and (np.diff(heights[:-1]) > 0).all()
    assert heights[-1] == pytest.approx(heights[-2], abs=0.5)
    assert heights[-1] == pytest.approx(mouth_interior.WIDE_BARED, abs=0.7)
    assert teeth_height(2.0, 1.4) == pytest.approx(teeth_height(2.0, 1.1), abs=0.5)  # bares anyway


@pytest.mark.parametrize("smile", [0.4, 0.8, 1.2])
def test_a_smile_does_not_widen_the_mouth_at_rest(smile: float) -> None:
    closed, tone = faces.centred_mesh(768, 768, 0.8), np.array([150.0, 110.0, 95.0])
    unit = np.exp(canonical.decompose(closed).log_scale)
    smiling = closed + smile * unit * load_slider_shapes().smile
    at_rest, fading = (mouth_interior.prepare(mesh, tone) for mesh in (closed, smiling))
    assert fading.rest_width == pytest.approx(at_rest.rest_width, rel=0.06)
    assert fading.lips.width > 1.1 * at_rest.lips.width


def test_the_lower_teeth_go_into_the_dark_aside_and_not_into_grey() -> None:
    lips, anchors = geometry(drawn_inside.FINEST - 1)
    tone = np.array([170.0, 110.0, 90.0])
    interior = replace(faces.astronaut().interior, tone=tone, enamel=np.full(3, 200.0), natural=1.0)
    uv = opening.local_coordinates(lips, REGION)
    rims = lips.rims(uv[0])
    with_teeth, without = (
        drawn_inside.draw_part(REGION, uv, rims, lips, anchors, interior, teeth=teeth)
        for teeth in (True, False)
    )
    x, y = drawn_inside.millimetre_grid(REGION, anchors.lower, anchors.axes)
    row = (y > 1) & (y < 4)
    middle, side = (row & (np.abs(np.abs(x) - at) < 1.5) for at in (2, 15))
    assert with_teeth[middle].mean() > 1.35 * without[middle].mean()
    changed = side & (np.abs(with_teeth - without).max(-1) > 2)
    assert changed.sum() > 50
    ratio = with_teeth[changed][:, 0] / with_teeth[changed][:, 2]
    assert np.median(ratio) > 1.3  # red as the cavity; as teeth in the dark it would be 1


def test_the_tongue_of_a_wide_mouth_is_pink_at_its_tip_and_dark_red_behind() -> None:
    """It was brick red and half as light, as if made of clay."""
    lips, anchors = geometry(drawn_inside.FINEST - 1)
    tone = np.array([170.0, 110.0, 90.0])
    interior = replace(faces.astronaut().interior, tone=tone, natural=1.0)
    uv = opening.local_coordinates(lips, REGION)
    rims = lips.rims(uv[0])
    flesh = drawn_inside.draw_part(REGION, uv, rims, lips, anchors, interior, teeth=False) / tone
    below = uv[1] - rims[0]  # of .325 widths in the middle
    middle = np.abs(uv[0] - 0.5) < 0.05
    tip, back = (flesh[middle & (np.abs(below - at) < 0.01)].mean(0) for at in (0.28, 0.13))
    assert 0.6 < tip.mean() < 0.9 and tip[0] < 1.1 * tip[2]
    assert back.mean() < 0.45 and back[0] > 1.25 * back[2]


@pytest.mark.parametrize("degrees", [0.0, 25.0, -35.0])
def test_a_turned_arch_shows_more_of_its_near_side(degrees: float) -> None:
    turn = np.radians(degrees)  # to the right: what lies behind moves to the left
    axes = 5 * np.array([[np.cos(turn), 0.0], [0.0, 1.0], [np.sin(turn), 0.0]])
    x = np.linspace(-20, 20, 81, dtype=np.float32)[None]
    seen = teeth.across_plane(x, axes)
    assert teeth.along_arch(seen, axes) == pytest.approx(x, abs=1e-3)
    left, right = -seen[0, 0], seen[0, -1]
    assert np.sign(np.round(left - right, 3)) == np.sign(degrees)
    beyond = teeth.along_arch(np.array([[-200, 200]], np.float32), axes)
    assert np.abs(beyond).min() > teeth.UPPER_TEETH[-1]
