"""The map of one frame: the mesh inside, the surroundings outside, merged as displacements before anything is sampled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.anatomy import Indices
from thcli.engines.mesh.raster import Grid
from thcli.engines.mesh.sampling import mean, resized
from thcli.engines.mesh.surroundings import REACH, Surroundings, outer

COARSE = 8  # samples of the map to one of the outer field
MERGE = 0.027  # face heights over which mesh and surroundings mix
JUMP = 0.6  # steps between neighbouring samples beyond which the mesh counts as torn
STILL = 0.02  # pixels: what moves less is not drawn again


@dataclass(frozen=True, slots=True)
class Map:
    """grid: of the whole map.  displacement: (rows, columns, 2) float32 pixels, target to source.

    face: the grid of the mesh alone.  ids: its triangles (rows, columns) int32, -1 outside.  inside: (rows, columns) float32, how much
    of the mesh shows against its surroundings.
    """

    grid: Grid
    displacement: Array32
    face: Grid
    ids: Indices
    inside: Array32


def step_for(mesh: Array) -> int:
    """Source pixels a sample of the map: about a hundred samples to a face, however large the picture is."""
    return max(1, round(anatomy.height(mesh) / 96))


def build(
    source: Array,
    around: Surroundings,
    target: Array,
    eye_source: Array,
    size: tuple[int, int],
    step: int,
) -> Map | None:
    """The map of a target mesh (468, 3); None when all of it lies outside of a picture of `size`.

    eye_source: (468, 2) source pixels of the points as the strips in the eye holes see them.
    """
    grid = _region(source, target, size, step * COARSE)
    if grid is None:
        return None
    coarse = outer(source, around, target, grid)
    grid, coarse = _moving(grid, coarse, np.concatenate([target, source]))
    fine = Grid(grid.x0, grid.y0, step, grid.columns * COARSE, grid.rows * COARSE)
    displacement = resized(coarse, (fine.columns, fine.rows))
    face = _clipped(Grid.around(target[:, :2].min(0), target[:, :2].max(0), step, 3), fine)
    if face is None:
        return Map(
            fine,
            displacement,
            fine,
            np.full((fine.rows, fine.columns), -1, np.int32),
            np.zeros((fine.rows, fine.columns), np.float32),
        )
    ids = raster.paint(target, anatomy.TRIANGLES, _order(target), face)
    maps = raster.linear_maps(target, source[:, :2] - target[:, :2], anatomy.TRIANGLES)
    eyes = anatomy.TRIANGLES[: anatomy.EYE_TRIANGLES]
    maps[: len(eyes)] = raster.linear_maps(target, eye_source - target[:, :2], eyes)
    inner, inside = _closed(
        raster.sample(ids, maps, face),
        ids,
        max(1, round(MERGE * anatomy.height(target) / step)),
        JUMP * step,
    )
    row, column = (face.y0 - fine.y0) // step, (face.x0 - fine.x0) // step
    view = displacement[row : row + face.rows, column : column + face.columns]
    view += inside[..., None] * (inner - view)
    return Map(fine, displacement, face, ids, inside)


def _region(source: Array, target: Array, size: tuple[int, int], step: int) -> Grid | None:
    """The part of the picture that can move."""
    both = np.concatenate([target[:, :2], source[:, :2]])
    middle = (target[anatomy.FOREHEAD, :2] + target[anatomy.CHIN, :2]) / 2
    reach = REACH * anatomy.height(target)
    low = np.maximum(np.minimum(both.min(0), middle - reach), 0)
    high = np.minimum(np.maximum(both.max(0), middle + reach), np.array(size) - 1)
    return Grid.around(low, high, step, 1) if (high > low).all() else None


def _moving(grid: Grid, coarse: Array32, points: Array) -> tuple[Grid, Array32]:
    """The grid without the still samples around it; the mesh's own box stays."""
    moves = np.abs(coarse).max(-1) > STILL
    at = grid.to_samples(points[:, :2])
    low, high = np.floor(at.min(0)).astype(int) - 1, np.ceil(at.max(0)).astype(int) + 2
    moves[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = True
    rows, columns = np.flatnonzero(moves.any(1)), np.flatnonzero(moves.any(0))
    if not len(rows):
        return grid, coarse
    top, bottom = max(rows[0] - 1, 0), min(rows[-1] + 2, grid.rows)
    left, right = max(columns[0] - 1, 0), min(columns[-1] + 2, grid.columns)
    part = Grid(
        grid.x0 + left * grid.step,
        grid.y0 + top * grid.step,
        grid.step,
        int(right - left),
        int(bottom - top),
    )
    return part, np.ascontiguousarray(coarse[top:bottom, left:right])


def _clipped(grid: Grid, whole: Grid) -> Grid | None:
    """The part of a grid that lies on another of the same step."""
    step = grid.step
    x0, y0 = max(grid.x0, whole.x0), max(grid.y0, whole.y0)
    x1 = min(grid.x0 + grid.columns * step, whole.x0 + whole.columns * step)
    y1 = min(grid.y0 + grid.rows * step, whole.y0 + whole.rows * step)
    return Grid(x0, y0, step, (x1 - x0) // step, (y1 - y0) // step) if x1 > x0 and y1 > y0 else None


def _order(target: Array) -> npt.NDArray[np.intp]:
    """The holes first, then what is turned away (it fills folds), then the face from far to near, so that the nose covers the cheek."""
    away = anatomy.doubled_areas(target) * anatomy.SIGNS <= 0
    depth = target[anatomy.TRIANGLES, 2].mean(1)
    depth += np.where(away, 1e4, 0) * anatomy.height(target)
    depth[: anatomy.HOLES] = np.inf
    return np.argsort(-depth, kind="stable")


def _closed(inner: Array32, ids: Indices, reach: int, jump: float) -> tuple[Array32, Array32]:
    """The mesh's displacement with its small holes filled, and its weight: 0 at the outline, 1 from 2 * reach samples inwards."""
    covered = (ids >= 0).astype(np.uint8)
    closed = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    holes = closed > covered
    if holes.any():
        near = mean(np.dstack([inner, covered.astype(np.float32)]), 7)
        inner[holes] = near[holes, :2] / np.maximum(near[holes, 2:], 1e-3)
    # where one part covers another the displacement jumps: a ramp there instead of stairs
    smooth = mean(inner, 3)
    torn = np.abs(inner - smooth).max(-1) > jump
    inner[torn] = smooth[torn]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    core = np.asarray(
        cv2.erode(closed.astype(np.float32), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1),
        np.float32,
    )
    return inner, mean(core, 2 * reach - 1)
