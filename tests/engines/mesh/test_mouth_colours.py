"""Colours of the inside of the mouth in natural, grey and toned pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array, Image
from thcli.engines.mesh import mouth
from thcli.engines.mesh.anatomy import LIPS
from thcli.engines.mesh.engine import render_frame
from thcli.engines.mesh.prepared_source import prepare
from thcli.faces.landmarks.topology import LIPS_OUTER

TEAL = np.array([0.75, 1.05, 1.0])


def lips_on_skin(skin: tuple[int, int, int], lips: tuple[int, int, int]) -> tuple[Image, Array]:
    mesh = faces.centred_mesh(256, 256)
    image = np.full((256, 256, 3), skin, np.uint8)
    cv2.fillPoly(image, [np.rint(mesh[LIPS_OUTER, :2]).astype(np.int32)], lips)
    return image, mesh


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
    tone = mouth.skin_tone(image, mesh)
    assert mouth.natural_colour(image, mesh, tone) == pytest.approx(natural, abs=0.05)


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
    out = mouth.match_tone(teeth, np.array([190.0, 172, 168]), np.array([190.0, 140, 110]), 1.0)
    red, green, blue = out[0, 0]
    assert green <= red and blue <= (red + green) / 2
    cold = np.array([120.0, 140, 170])  # where the skin itself is cool, teeth may be
    assert mouth.warm_up(teeth * cold / 170, cold)[0, 0, 2] >= 180
