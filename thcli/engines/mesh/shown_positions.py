"""Source pixels that a warp map shows, where the face is merged by colours, too."""

from __future__ import annotations

import numpy as np

from thcli.core.types import Array32
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.warp import Cut, WarpMap


def positions_on(grid: SampleGrid, warp_map: WarpMap) -> Array32:
    """Return the source pixels that a map shows at the samples (rows, columns, 2) of a grid.

    grid: of the map's step.
    """
    positions = grid.pixel_positions()
    whole, step = warp_map.grid, grid.step
    column, row = (grid.x0 - whole.x0) // step, (grid.y0 - whole.y0) // step
    left, right = max(column, 0), min(column + grid.columns, whole.columns)
    top, bottom = max(row, 0), min(row + grid.rows, whole.rows)
    if right > left and bottom > top:
        shared = positions[top - row : bottom - row, left - column : right - column]
        shared += warp_map.displacement[top:bottom, left:right]
    return with_cut(positions, cut_on(grid, warp_map.cut))


def with_cut(positions: Array32, cut: Cut | None) -> Array32:
    """Return positions (rows, columns, 2) with those of a cut on their grid where that covers."""
    if cut is None:
        return positions
    return np.where(cut.opacity[..., None] > 0.5, cut.positions, positions)


def cut_on(grid: SampleGrid, cut: Cut | None) -> Cut | None:
    """Return a cut on another grid of its step."""
    if cut is None:
        return None
    row, column = (grid.y0 - cut.grid.y0) // grid.step, (grid.x0 - cut.grid.x0) // grid.step
    rows, columns = row + np.arange(grid.rows), column + np.arange(grid.columns)
    nearest = rows.clip(0, cut.grid.rows - 1), columns.clip(0, cut.grid.columns - 1)
    opacity, positions = (
        values.take(nearest[0], 0).take(nearest[1], 1) for values in (cut.opacity, cut.positions)
    )
    opacity[nearest[0] != rows] = 0
    opacity[:, nearest[1] != columns] = 0
    return Cut(grid, positions, opacity)
