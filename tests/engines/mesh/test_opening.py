"""Coordinates of openings: the edges of their masks."""

from __future__ import annotations

import numpy as np
import pytest

from thcli.engines.mesh import opening
from thcli.engines.mesh.opening import Opening


@pytest.mark.parametrize("height", [0.1, 0.5, 1.4])
@pytest.mark.parametrize("soft", [1.5, 4.0])
def test_the_edge_of_a_mask_is_as_wide_on_steep_rims_as_on_flat_ones(
    height: float, soft: float
) -> None:
    """The sides of a mouth that says o had steps of whole pixels."""
    across = height * np.sqrt(np.maximum(0.25 - (opening.COLUMNS - 0.5) ** 2, 0))
    ellipse = Opening(np.array([30.0, 100.0]), 80 * np.eye(2), -across, across)
    region = (slice(0, 200), slice(0, 140))
    u, v = opening.local_coordinates(ellipse, region)
    mask = opening.coverage(ellipse, u, v, ellipse.rims(u), soft)
    column, row = mask[:, 70], mask[100 - round(0.3 * height * 80)]
    for line in (column, row):
        assert line.max() == pytest.approx(1) and line.min() == 0
        assert np.abs(np.diff(line)).max() < 1.1 / soft
    assert np.abs(np.diff(column)).max() > 0.7 / soft
