"""Drawn inside of a mouth: a large one is drawn at half the size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.engines.mesh import synthetic_faces as faces
from thcli.core.types import Array32
from thcli.engines.mesh.mouth import drawn_inside
from thcli.engines.mesh.mouth.drawn_inside import Anchors
from thcli.engines.mesh.opening import COLUMNS, Opening, Region

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
