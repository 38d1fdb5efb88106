"""Motion of the whole person by whole pixels, as a part of a frame's map."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.warp import WarpMap


def move_map(warp_map: WarpMap, by: tuple[int, int], size: tuple[int, int]) -> WarpMap:
    """Move a map with the whole person; it then covers a whole picture and a sample around it.

    Beyond its grid the displacement goes on as it is there.

    Args:
        warp_map: of a person at its place.
        by: (x, y) pixels by which the person moves.
        size: (width, height) of the picture.
    """
    grid = warp_map.grid.move(by)
    before = [max(0, -(-start // grid.step) + 1) for start in (grid.y0, grid.x0)]
    ends = grid.y0 + grid.rows * grid.step, grid.x0 + grid.columns * grid.step
    room = (size[1] - ends[0], size[0] - ends[1])
    after = [max(0, -(-left // grid.step) + 1) for left in room]

    def extend(values: Array32) -> Array32:
        sides = (before[0], after[0], before[1], after[1])
        return np.asarray(cv2.copyMakeBorder(values, *sides, cv2.BORDER_REPLICATE), np.float32)

    whole = SampleGrid(
        grid.x0 - before[1] * grid.step,
        grid.y0 - before[0] * grid.step,
        grid.step,
        grid.columns + before[1] + after[1],
        grid.rows + before[0] + after[0],
    )
    cut, overlap = warp_map.cut, warp_map.overlap
    beyond, drawn_out = warp_map.beyond, warp_map.drawn_out
    return replace(
        warp_map,
        grid=whole,
        displacement=extend(warp_map.displacement) - np.array(by, np.float32),
        face=warp_map.face.move(by),
        cut=None if cut is None else cut.move(by),
        overlap=None if overlap is None else overlap.move(by),
        beyond=None if beyond is None else extend(beyond),
        drawn_out=None if drawn_out is None else extend(drawn_out),
        move=by,
    )
