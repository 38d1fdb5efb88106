"""Lenses of the side of a head that turns away."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from tests.engines.mesh.synthetic_glasses import (
    FRAME,
    MESH,
    SIZE,
    lenses,
    source,
    turned,
    wearer,
)
from thcli.core.types import Image
from thcli.engines.mesh.frame import render_frame
from thcli.engines.mesh.head.glasses import turned_away
from thcli.engines.mesh.prepared_source import MeshSource
from thcli.motion.render_target import RenderTarget

LEFT_AWAY = 35.0


def render(own: MeshSource, degrees: float) -> Image:
    target = RenderTarget(turned(MESH, degrees), np.zeros((2, 2)), np.ones(2))
    return render_frame(own, target, None)


def like(image: Image, colour: tuple[int, int, int]) -> int:
    """Return how many pixels of a picture have a colour."""
    return int((np.abs(image.astype(int) - colour).max(-1) < 45).sum())


def without_rim() -> MeshSource:
    """Return a wearer of whose outer rims the hinges alone are told from the skin."""
    image, parsed = wearer(MESH)
    middle = int(MESH[168, 1])
    for side, (low, high) in zip(
        (-1, 1), sorted(lenses(MESH), key=lambda box: box[0, 0]), strict=True
    ):
        begin = int((low[0] + high[0]) / 2)
        outer = slice(0, begin) if side < 0 else slice(begin, None)
        dark = (image[:, outer].max(-1) < 60) & (np.abs(np.arange(len(image)) - middle) > 4)[
            :, None
        ]
        image[:, outer][dark] = faces.SKIN
    return source(image, parsed)


def test_an_end_piece_stays_on_the_near_side_and_goes_on_the_far_one() -> None:
    image, parsed = wearer(MESH, stub=0.04)
    own = source(image, parsed)
    left = slice(0, int(MESH[168, 0]))
    parts = (render(own, degrees)[:, left].astype(int) for degrees in (0, -12, LEFT_AWAY))
    # redder than green as the end piece, and darker than skin
    at_rest, near, far = (((p[..., 0] - p[..., 1] > 30) & (p[..., 1] < 60)).sum() for p in parts)
    assert at_rest > 8
    assert near > 0.6 * at_rest
    assert far < 0.4 * at_rest


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_a_head_that_is_near_or_far_is_not_turned_away(scale: float) -> None:
    image, parsed = wearer(MESH, stub=0.04)
    glasses = source(image, parsed).glasses
    assert glasses is not None
    lens = [piece.away for piece in glasses.pieces if piece.away is not None]
    shares = [turned_away.find(a, scale * np.eye(3), scale * MESH, SIZE).share for a in lens]
    assert shares == [1.0, 1.0]


@pytest.mark.parametrize("degrees", [-LEFT_AWAY, LEFT_AWAY])
def test_a_closed_rim_stays_beyond_the_far_outline(degrees: float) -> None:
    image, parsed = wearer(MESH)
    own = source(image, parsed)
    assert own.glasses is not None
    lens = [piece.away for piece in own.glasses.pieces if piece.away is not None]
    assert [away.is_closed for away in lens] == [True, True]
    assert like(render(own, degrees), FRAME) > 0.75 * like(image, FRAME)


@pytest.mark.parametrize("degrees", [-LEFT_AWAY, LEFT_AWAY])
def test_a_hinge_without_a_rim_does_not_stand_beside_the_far_cheek(degrees: float) -> None:
    own = without_rim()
    out = render(own, degrees)
    points = turned(MESH, degrees)
    hull = cv2.convexHull(points[:, :2].astype(np.float32))
    beyond = (
        cv2.fillConvexPoly(np.zeros(out.shape[:2], np.uint8), np.rint(hull).astype(int), 1) == 0
    )
    rows = np.abs(np.arange(len(out)) - MESH[168, 1]) < 0.1 * SIZE
    far = np.arange(out.shape[1]) < MESH[168, 0]
    if degrees < 0:
        far = ~far
    where = beyond & rows[:, None] & far
    assert where.any() and out[where].max(-1).min() > 90


def test_at_rest_nothing_is_cut() -> None:
    own = without_rim()
    image = render(own, 0)
    assert own.glasses is not None and own.glasses.pieces
    assert like(image, FRAME) > 0
    moved = RenderTarget(MESH + np.array([6.0, 0, 0]), np.zeros((2, 2)), np.ones(2))
    assert like(render_frame(own, moved, None), FRAME) == pytest.approx(
        like(image, FRAME), rel=0.05
    )
