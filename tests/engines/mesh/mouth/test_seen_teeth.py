"""Upper teeth that a source shows: where they end, and that they keep their height."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh.mouth.test_mouth import inside, opened
from tests.engines.mesh.synthetic_faces import centred_mesh, polygon_mask
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import mouth_interior, seen_teeth

TONE, ENAMEL, CAVITY, GUM = (205, 160, 140), (225, 220, 205), (60, 20, 20), (190, 90, 90)
SIDE = 768
CLOSED = centred_mesh(SIDE, SIDE, 0.8)
SMILE = opened(CLOSED, 0.16)


def smiling(share: float) -> Image:
    """Show teeth down to a share of the open mouth, and its dark below them."""
    image = np.full((SIDE, SIDE, 3), TONE, np.uint8)
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    rows = np.flatnonzero(mouth.any(1))
    image[mouth] = CAVITY
    end = rows[0] + share * (rows[-1] - rows[0])
    image[mouth & (np.arange(SIDE)[:, None] < end)] = ENAMEL
    return image


@pytest.mark.parametrize(("share", "ends"), [(0.5, True), (0.75, True), (1.0, False)])
def test_the_edge_and_the_enamel_of_the_teeth_are_found(share: float, ends: bool) -> None:
    lips = opening.fit_opening(SMILE, LIPS)
    seen = seen_teeth.find(smiling(share), lips, np.array(TONE, np.float64))
    rows = np.flatnonzero(polygon_mask(SMILE[LIPS, :2], SIDE, SIDE).any(1))
    assert seen is not None
    assert seen.edge[1] == pytest.approx(rows[0] + share * np.ptp(rows), abs=0.06 * np.ptp(rows))
    assert seen.ends is ends
    np.testing.assert_allclose(seen.enamel, ENAMEL, atol=1)


def test_upper_teeth_end_where_they_meet_the_lower_ones() -> None:
    image, lips = smiling(1.0), opening.fit_opening(SMILE, LIPS)
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    rows = np.flatnonzero(mouth.any(1))
    bite = rows[0] + 0.6 * np.ptp(rows)
    image[mouth & (np.abs(np.arange(SIDE) - bite) < 2)[:, None]] = (150, 140, 130)
    seen = seen_teeth.find(image, lips, np.array(TONE, np.float64))
    assert seen is not None
    assert seen.edge[1] == pytest.approx(bite, abs=0.06 * np.ptp(rows))


def test_teeth_are_found_below_gums_and_not_below_the_dark() -> None:
    lips, tone = opening.fit_opening(SMILE, LIPS), np.array(TONE, np.float64)
    rows = np.flatnonzero(polygon_mask(SMILE[LIPS, :2], SIDE, SIDE).any(1))
    upper = (np.arange(SIDE) < rows[0] + 0.45 * np.ptp(rows))[:, None]
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    found = []
    for colour in (GUM, CAVITY):
        image = smiling(0.8)
        image[mouth & upper] = colour
        found.append(seen_teeth.find(image, lips, tone))
    assert found[0] is not None and found[1] is None
    assert found[0].edge[1] == pytest.approx(rows[0] + 0.8 * np.ptp(rows), abs=0.06 * np.ptp(rows))


def test_a_dark_mouth_and_a_rim_of_light_are_no_teeth() -> None:
    lips, tone = opening.fit_opening(SMILE, LIPS), np.array(TONE, np.float64)
    assert seen_teeth.find(smiling(0.0), lips, tone) is None
    assert seen_teeth.find(smiling(0.12), lips, tone) is None


def test_teeth_may_be_redder_than_pale_skin_but_not_as_red_as_lips() -> None:
    lips, pale = opening.fit_opening(SMILE, LIPS), (215, 195, 190)
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    around = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE, grow=20) & ~mouth
    found = []
    for inside_colour in ((225, 190, 185), (225, 130, 130)):
        image = smiling(0.7)
        image[(image == TONE).all(-1)] = pale
        image[(image == ENAMEL).all(-1)] = inside_colour
        image[around] = GUM
        found.append(seen_teeth.find(image, lips, np.array(pale, np.float64)))
    assert found[0] is not None and found[1] is None
    image[around] = pale
    assert seen_teeth.find(image, lips, np.array(pale, np.float64)) is None


def test_a_narrow_row_in_a_wide_mouth_is_found() -> None:
    wide, tone = opened(CLOSED, 0.45), np.array(TONE, np.float64)
    image = np.full((SIDE, SIDE, 3), TONE, np.uint8)
    mouth = polygon_mask(wide[LIPS, :2], SIDE, SIDE)
    rows = np.flatnonzero(mouth.any(1))
    image[mouth] = CAVITY
    image[mouth & (np.arange(SIDE)[:, None] < rows[0] + 0.19 * np.ptp(rows))] = ENAMEL
    seen = seen_teeth.find(image, opening.fit_opening(wide, LIPS), tone)
    assert seen is not None and seen.ends
    assert np.isfinite(seen.columns).all()


def test_an_open_mouth_that_shows_its_dark_alone_keeps_it_while_it_moves() -> None:
    image, tone = smiling(0.0), np.array(TONE, np.float64)
    interior = mouth_interior.prepare(SMILE, tone)
    dark = mouth_interior.with_seen_teeth(interior, image, SMILE)
    assert dark.hides_teeth == 1
    lips_alone = replace(interior, shows=0.0)
    assert mouth_interior.with_seen_teeth(lips_alone, image, SMILE).hides_teeth == 0
    down = mouth_interior.face_axes(SMILE)[1]
    reach = SMILE[mouth_interior.UPPER_LIP, :2] - SMILE[mouth_interior.NOSE_BASE, :2]
    assert dark.upper[1] == pytest.approx(reach @ down / (down @ down), abs=0.1)
    for amount in (0.11, 0.22):
        target, shown = opened(CLOSED, amount), []
        for one in (interior, dark):
            out = image.copy()
            out[polygon_mask(target[LIPS, :2], SIDE, SIDE)] = CAVITY  # as the map stretches it
            mouth_interior.render(out, image, one, SMILE, target)
            column = inside(out, target)[5:-5].astype(float).mean(-1)
            shown.append(float(column.max()))
        assert shown[1] < 60 < shown[0], amount
    slit = opened(CLOSED, 0.04)
    narrow = mouth_interior.with_seen_teeth(mouth_interior.prepare(slit, tone), image, slit)
    assert narrow.hides_teeth == 0, "a slit is dark in the shade of lips"


def light_height(out: Image, mesh: Array) -> float:
    """Return mm of teeth in the middle of a rendered mouth."""
    column = inside(out, mesh).astype(float).mean(-1)
    lips = opening.fit_opening(mesh, LIPS)
    pixels = lips.gap * lips.width * (column > 120).mean()
    return float(pixels / np.linalg.norm(mouth_interior.face_axes(mesh)[1]))


def test_teeth_keep_the_height_that_the_source_shows() -> None:
    image, wide = smiling(0.9), opened(CLOSED, 0.4)
    interior = mouth_interior.prepare(SMILE, np.array(TONE, np.float64))
    heights = []
    for one in (interior, mouth_interior.with_seen_teeth(interior, image, SMILE)):
        out = image.copy()
        mouth_interior.render(out, image, one, SMILE, wide)
        heights.append(light_height(out, wide))
    shown = light_height(image, SMILE)
    assert heights[1] > max(0.9 * shown, 1.2 * heights[0])


def test_teeth_are_no_longer_than_the_source_shows() -> None:
    image = smiling(0.25)
    interior = mouth_interior.prepare(SMILE, np.array(TONE, np.float64))
    seen = mouth_interior.with_seen_teeth(interior, image, SMILE)
    assert interior.upper[1] - 4 <= seen.upper[1] < interior.upper[1] - 1


def test_one_row_of_teeth_reaches_up_to_a_lip_that_rises() -> None:
    """The stripes that the source's teeth have go on, and no drawn row lies above them."""
    image = smiling(1.0)
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    striped = mouth & (np.arange(SIDE) // 6 % 2 > 0)
    image[striped] = (205, 200, 185)
    tone = np.array(TONE, np.float64)
    interior = mouth_interior.with_seen_teeth(mouth_interior.prepare(SMILE, tone), image, SMILE)
    target = SMILE.copy()
    millimetre = mouth_interior.face_axes(SMILE)[1]
    upper = LIPS[11:]
    target[upper, :2] -= 4 * millimetre
    out = image.copy()
    mouth_interior.render(out, image, interior, SMILE, target)
    lips = opening.fit_opening(SMILE, LIPS)
    middle = lips.corner + [0.5, lips.rims(np.array([0.5]))[0][0]] @ lips.axes
    x, y = np.rint(middle).astype(int)
    rows, columns = (
        slice(y - int(2 * millimetre[1]), y + int(2 * millimetre[1])),
        slice(x - 30, x + 30),
    )
    shown = out[rows, columns].astype(float).mean(-1)
    assert shown.std(0).max() < 4  # the same from above the source's lip to below it
    assert np.abs(np.diff(shown.mean(0))).max() > 4  # and striped


def test_teeth_that_the_lip_hides_as_a_whole_are_sampled_at_their_edge() -> None:
    """A lip that ends where the teeth do made a division by nothing, and a row of no number."""
    image, tone = smiling(1.0), np.array(TONE, np.float64)
    own = mouth_interior.with_seen_teeth(mouth_interior.prepare(SMILE, tone), image, SMILE).own
    assert own is not None
    y = np.linspace(-4, 4, 9, dtype=np.float32)[:, None]
    at = np.zeros_like(y), y
    below = replace(own, edge=own.edge - 100 * own.axes[1])  # as if lips began below the edge
    texture, _ = below.sample(image, at, (-y, 9 - y), own.gap)
    assert np.isfinite(texture).all()


def test_lips_beside_the_teeth_are_not_taken_for_them() -> None:
    """As of a turned face, where a corner of the lips lies in the opening."""
    image = smiling(1.0)
    lips, tone = opening.fit_opening(SMILE, LIPS), np.array(TONE, np.float64)
    end = int(lips.corner[0] + 0.3 * lips.width)
    mouth = polygon_mask(SMILE[LIPS, :2], SIDE, SIDE)
    image[mouth & (np.arange(SIDE) < end)] = GUM
    seen = seen_teeth.find(image, lips, tone)
    assert seen is not None
    between = opening.COLUMNS
    assert seen.columns[(between > 0.05) & (between < 0.24)].max() == 0
    assert seen.columns[(between > 0.36) & (between < 0.9)].min() == 1


def test_the_enamel_of_a_narrow_row_is_that_of_an_average_head() -> None:
    """Its colours are the lips' shade and tint."""
    tone = np.array(TONE, np.float64)
    for gap, is_own in ((0.16, True), (0.02, False)):
        mesh = opened(CLOSED, gap)
        image = np.full((SIDE, SIDE, 3), TONE, np.uint8)
        image[polygon_mask(mesh[LIPS, :2], SIDE, SIDE)] = (170, 160, 150)
        interior = mouth_interior.prepare(mesh, tone)
        found = mouth_interior.with_seen_teeth(interior, image, mesh).enamel
        assert bool(found.mean() < 0.9 * interior.enamel.mean()) is is_own


def test_what_is_drawn_out_too_far_is_drawn() -> None:
    image = smiling(1.0)
    tone = np.array(TONE, np.float64)
    interior = mouth_interior.with_seen_teeth(mouth_interior.prepare(SMILE, tone), image, SMILE)
    assert interior.own is not None
    shares = [interior.own.share(-height) for height in (4.0, 12.0, 18.0, 40.0)]
    assert shares[0] == 1 and shares[-1] == 0
    assert all(first >= second for first, second in itertools.pairwise(shares))


def test_teeth_go_with_a_mouth_that_opens_far_beside_them() -> None:
    image, wide = smiling(0.9), opened(CLOSED, 0.4)
    tone = np.array(TONE, np.float64)
    interior = replace(mouth_interior.prepare(SMILE, tone), shows=0.0)
    millimetre = float(np.linalg.norm(mouth_interior.face_axes(wide)[0]))
    places = []
    for aside in (0.0, 4.0, 15.0):
        moved = wide.copy()
        moved[LIPS, 0] -= aside * millimetre
        out = image.copy()
        mouth_interior.render(out, image, interior, SMILE, moved)
        mouth = polygon_mask(moved[LIPS, :2], SIDE, SIDE, grow=-4)
        light = mouth & (out.mean(-1) > 150)
        places.append(float(np.nonzero(light)[1].mean()) / millimetre)
    assert places[1] == pytest.approx(places[0], abs=3)
    assert places[2] < places[0] - 6


@pytest.mark.parametrize("natural", [1.0, 0.0])
def test_less_light_falls_on_teeth_between_lips_that_close(natural: float) -> None:
    """Red fades least, unless the picture has no colours."""
    image, tone = smiling(1.0), np.array(TONE, np.float64)
    interior = mouth_interior.prepare(SMILE, tone, natural=natural)
    interior = mouth_interior.with_seen_teeth(interior, image, SMILE)
    shown = []
    for gap in (0.2, 0.065, 0.045):  # of the width, which is .16 open in the source
        out, target = image.copy(), opened(CLOSED, gap)
        mouth_interior.render(out, image, interior, SMILE, target)
        column = inside(out, target).astype(float)
        shown.append(column[len(column) // 2] / ENAMEL)
    assert np.all(shown[0] > 0.95)
    assert np.all(np.diff(np.array(shown), axis=0) < -0.05)
    red, green, _ = shown[2]
    assert (red > green + 0.08) if natural else red == pytest.approx(green, abs=0.02)


def test_drawn_teeth_beside_own_ones_rise_with_the_lip_no_further() -> None:
    image, tone = smiling(1.0), np.array(TONE, np.float64)
    interior = mouth_interior.with_seen_teeth(mouth_interior.prepare(SMILE, tone), image, SMILE)
    assert interior.own is not None
    hidden = replace(interior.own, columns=np.zeros_like(interior.own.columns))
    target = SMILE.copy()
    target[LIPS[11:], :2] -= 1.9 * mouth_interior.face_axes(SMILE)[1]  # more bares further teeth
    frames = []
    for own, free in ((hidden, 4.0), (None, 4.0), (None, 20.0)):
        out, one = image.copy(), replace(interior, own=own, free_bared=free)
        mouth_interior.render(out, image, one, SMILE, target)
        frames.append(out)
    assert np.array_equal(frames[0], frames[1])
    assert not np.array_equal(frames[1], frames[2])  # they do rise
