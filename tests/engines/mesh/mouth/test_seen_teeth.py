"""Upper teeth that a source shows: where they end, and that they keep their height."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh.mouth.test_mouth import inside, opened
from tests.engines.mesh.synthetic_faces import centred_mesh, polygon_mask
from thcli.core.types import Array, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.mouth import mouth_interior, seen_teeth

TONE, ENAMEL, CAVITY = (205, 160, 140), (225, 220, 205), (60, 20, 20)
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


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_the_edge_of_the_teeth_is_found(share: float) -> None:
    lips = opening.fit_opening(SMILE, LIPS)
    edge = seen_teeth.find_edge(smiling(share), lips, np.array(TONE, np.float64))
    rows = np.flatnonzero(polygon_mask(SMILE[LIPS, :2], SIDE, SIDE).any(1))
    assert edge is not None
    assert edge[1] == pytest.approx(rows[0] + share * np.ptp(rows), abs=0.06 * np.ptp(rows))


def test_a_dark_mouth_and_a_rim_of_light_are_no_teeth() -> None:
    lips, tone = opening.fit_opening(SMILE, LIPS), np.array(TONE, np.float64)
    assert seen_teeth.find_edge(smiling(0.0), lips, tone) is None
    assert seen_teeth.find_edge(smiling(0.12), lips, tone) is None


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
    assert heights[0] < 0.9 * shown < heights[1]


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
