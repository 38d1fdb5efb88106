"""Backward warp map of one frame: the mesh inside, its surroundings outside.

The two are merged as displacements before anything is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.anatomy import Indices
from thcli.engines.mesh.head import overlaps
from thcli.engines.mesh.head.overlaps import Overlap
from thcli.engines.mesh.head.shoulders import Shoulders
from thcli.engines.mesh.head.silhouette import find_silhouette
from thcli.engines.mesh.picture_limits import keep_below_chin, keep_inside
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import box_mean, largest, resize
from thcli.engines.mesh.surrounding_field import surrounding_displacement
from thcli.engines.mesh.surroundings import Surroundings, motion_reach

SAMPLES_PER_FACE = 96  # samples of the map per face height
COARSE = 8  # samples of the map per sample of the surrounding displacement
MERGE_WIDTH = 0.027  # face heights over which mesh and surroundings are blended
LEAST_MERGE = 2  # samples of that: with fewer the outline of a small face has stairs
TEAR = 0.6  # steps between neighbouring samples above which the mesh counts as torn
# Face heights by which mesh and surroundings are apart: merged, and too far to be. A range, so that
# no cut comes and goes at once.
CUT_JUMP = (0.035, 0.065)
OUTLINE_WEIGHT = 0.5  # blend weight of the mesh up to which that is looked for
CUT_EDGE = (0.1, 0.6)  # blend weights of the mesh: its surroundings show, the mesh alone
MIRRORED = 0.005  # face heights beyond the picture's edges that may show, mirrored
STILL = 0.02  # pixels of displacement below which nothing is rendered again
Covered = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cut:
    """The face along an outline where the head's surface beside it has turned away.

    Face and surroundings show parts of the source there that are far from each other. They are
    blended as colours.

    grid: of the cut.  positions: (rows, columns, 2) float32, pixels of the source.
    opacity: (rows, columns) float32 in 0..1. They are apart, since to split three channels takes
    three times as long as to upsample them.
    """

    grid: SampleGrid
    positions: Array32
    opacity: Array32

    def move(self, by: tuple[int, int]) -> Cut:
        """Return the cut moved by whole pixels (x, y) of the target."""
        return replace(self, grid=self.grid.move(by))


@dataclass(frozen=True, slots=True)
class WarpMap:
    """A map from target to source.

    grid: of the whole map.  displacement: (rows, columns, 2) float32 pixels, target to source.
    face: grid of the mesh alone.  ids: (rows, columns) int32 triangles on `face`, -1 outside.
    mesh_weight: (rows, columns) float32 in 0..1 on `face`, blend weight of the mesh.
    cut: the face where it hides what is beside it; None where nothing is hidden.
    overlap: its parts where they hide other parts; None where none does.
    shoulders: their motion, which the map contains; None for still ones.
    beyond: (rows, columns) float32 in 0..1, how far samples lie beyond the top of a head that the
    picture cuts off; None where none does.
    drawn_out: (rows, columns) float32 in 0..1, how far samples below a chin all show the picture's
    last rows; None where none do.
    move: (x, y) pixels by which the whole person moves, which the displacement contains.
    """

    grid: SampleGrid
    displacement: Array32
    face: SampleGrid
    ids: Indices
    mesh_weight: Array32
    cut: Cut | None = None
    overlap: Cut | None = None
    shoulders: Shoulders | None = None
    beyond: Array32 | None = None
    drawn_out: Array32 | None = None
    move: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class TexturePositions:
    """Source pixels that the points of a target mesh show.

    face: (468, 2).  holes: (468, 2) for the triangles inside the eyes and the mouth.
    """

    face: Array
    holes: Array


def map_step(mesh: Array) -> int:
    """Return the source pixels per sample of the map, for about SAMPLES_PER_FACE samples."""
    return max(1, round(anatomy.face_height(mesh) / SAMPLES_PER_FACE))


def build_map(
    source: Array,
    surroundings: Surroundings,
    target: Array,
    texture: TexturePositions,
    size: tuple[int, int],
    step: int,
    shoulders: Shoulders | None = None,
) -> WarpMap | None:
    """Build the warp map of a target mesh.

    Args:
        source, target: (468, 3) meshes in pixels of the source image.
        surroundings: of the source.
        texture: source pixels of the points.
        size: (width, height) of the image.
        step: source pixels per sample.
        shoulders: their motion, which the target has followed; None for still ones.

    Returns:
        The map, or None when all of it lies outside of the image.
    """
    grid = _moving_region(source, target, size, step * COARSE, shoulders)
    if grid is None:
        return None
    coarse = surrounding_displacement(source, surroundings, target, texture.face, grid, shoulders)
    whole, crown, above = grid, surroundings.crown, None
    if surroundings.matte:
        above = None if crown is None else crown.distance_beyond(coarse, grid)
    mirrored = MIRRORED * anatomy.face_height(target)
    continued, ends_above = surroundings.continued, surroundings.ends_above
    coarse = keep_inside(coarse, grid, size[0], mirrored, source, continued, ends_above)
    drawn_out = keep_below_chin(coarse, grid, surroundings.lower_edge, source)
    grid, coarse = _trim_still(grid, coarse, np.concatenate([target, source]))
    fine = SampleGrid(grid.x0, grid.y0, step, grid.columns * COARSE, grid.rows * COARSE)
    kept = grid.within(whole)
    beyond = None
    if crown is not None and above is not None:
        beyond = crown.share_beyond(resize(above[kept], (fine.columns, fine.rows)))
    if drawn_out is not None:
        drawn_out = resize(drawn_out[kept], (fine.columns, fine.rows))
    displacement = resize(coarse, (fine.columns, fine.rows))
    box = SampleGrid.covering(target[:, :2].min(0), target[:, :2].max(0), step, 3)
    face = _intersection(box, fine)
    if face is None:
        shape = (fine.rows, fine.columns)
        no_triangles = np.full(shape, -1, np.int32)
        no_face = np.zeros(shape, np.float32)
        return WarpMap(
            fine,
            displacement,
            fine,
            no_triangles,
            no_face,
            shoulders=shoulders,
            beyond=beyond,
            drawn_out=drawn_out,
        )
    merge_samples = round(MERGE_WIDTH * anatomy.face_height(target) / step)
    # more samples than the grid has say the same, and OpenCV crashes from some thousands on
    merge_samples = max(LEAST_MERGE, min(merge_samples, max(face.rows, face.columns)))
    mesh = _map_mesh(target, texture, face, merge_samples)
    on_face = face.within(fine)
    view = displacement[on_face]
    apart, cut = None, None
    if surroundings.matte:
        jump = largest(mesh.displacement - view) * (mesh.ids >= 0)
        jump /= np.float32(anatomy.face_height(target))
        apart = _find_cut(jump, mesh.weight, merge_samples)
    if apart is None:
        view += mesh.weight[..., None] * (mesh.displacement - view)
    else:
        # the mesh is merged by colours wherever its displacement is left out
        opacity = np.maximum(mesh.weight, find_silhouette(source, target, mesh.ids, merge_samples))
        cut = _cut_face(mesh.displacement, opacity * np.minimum(2 * apart, 1), face)
        merged = mesh.weight * np.minimum(2 - 2 * apart, 1)
        view += merged[..., None] * (mesh.displacement - view)
    if drawn_out is not None:
        drawn_out[on_face] *= 1 - mesh.weight
    nearer, over = mesh.overlap, None
    if nearer is not None:
        weight = mesh.weight[nearer.grid.within(face)]
        over = _cut_face(nearer.displacement, nearer.opacity * weight, nearer.grid)
    return WarpMap(
        fine, displacement, face, mesh.ids, mesh.weight, cut, over, shoulders, beyond, drawn_out
    )


@dataclass(frozen=True, slots=True)
class _MappedMesh:
    """The mesh on its grid.

    ids: (rows, columns) int32 triangles, -1 outside.  displacement: (rows, columns, 2) float32.
    weight: (rows, columns) float32 in 0..1, its blend weight.
    overlap: parts that cover others; None without any.
    """

    ids: Indices
    displacement: Array32
    weight: Array32
    overlap: Overlap | None


def _map_mesh(
    target: Array, texture: TexturePositions, face: SampleGrid, merge_samples: int
) -> _MappedMesh:
    """Map a target mesh to the source; merge_samples: over which its outline is feathered."""
    order = drawing_order(target)
    ids = raster.rasterize(target, anatomy.TRIANGLES, order, face)
    maps = raster.linear_maps(target, texture.face - target[:, :2], anatomy.TRIANGLES)
    holes = anatomy.TRIANGLES[: anatomy.HOLE_TRIANGLE_COUNT]
    maps[: len(holes)] = raster.linear_maps(target, texture.holes - target[:, :2], holes)
    displacement = raster.sample_maps(ids, maps, face)
    covered = (ids >= 0).astype(np.uint8)
    around = np.ones((5, 5), np.uint8)
    closed = np.asarray(cv2.morphologyEx(covered, cv2.MORPH_CLOSE, around), np.uint8)
    _fill_holes(displacement, covered, closed)
    smooth = box_mean(displacement, 3)
    torn = largest(displacement - smooth) > TEAR * face.step
    overlap = overlaps.separate(displacement, torn, ids, target, face, order)
    displacement[torn] = smooth[torn]  # a ramp instead of stairs
    return _MappedMesh(ids, displacement, _feather(closed, merge_samples), overlap)


def _find_cut(jump: Array32, mesh_weight: Array32, reach: int) -> Array32 | None:
    """Find where mesh and surroundings are too far apart to be merged as displacements.

    Args:
        jump: (rows, columns) distance of their displacements in face heights, 0 beside the mesh.
        mesh_weight: (rows, columns) blend weight of the mesh.
        reach: samples over which it rises twice.

    Returns:
        (rows, columns) float32 in 0..1; None where there is nothing to cut.
    """
    outline = np.where(mesh_weight < OUTLINE_WEIGHT, smoothstep(*CUT_JUMP, jump), 0)
    if outline.max() <= 0:
        return None
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * reach + 1, 4 * reach + 1))
    wide = np.asarray(cv2.dilate(outline.astype(np.float32), disc), np.float32)
    return box_mean(wide, 4 * reach + 1)


def _cut_face(displacement: Array32, opacity: Array32, face: SampleGrid) -> Cut | None:
    """Return the cut of a face with a displacement and an opacity (rows, columns)."""
    rows, columns = np.flatnonzero(opacity.any(1)), np.flatnonzero(opacity.any(0))
    if not len(rows):
        return None
    kept = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part = face.part(*kept)
    positions = displacement[kept] + part.pixel_positions()
    shown = smoothstep(*CUT_EDGE, opacity[kept])
    return Cut(part, np.asarray(positions, np.float32), np.asarray(shown, np.float32))


def _moving_region(
    source: Array, target: Array, size: tuple[int, int], step: int, shoulders: Shoulders | None
) -> SampleGrid | None:
    """Return a grid over the part of the image that can move; None when it is empty."""
    both = np.concatenate([target[:, :2], source[:, :2]])
    middle = (target[anatomy.FOREHEAD, :2] + target[anatomy.CHIN, :2]) / 2
    length = motion_reach(source, target) * anatomy.face_height(target)
    corners = [both.min(0), both.max(0), middle - length, middle + length]
    if shoulders is not None:
        corners += shoulders.reach()
    low = np.maximum(np.min(corners, 0), 0)
    high = np.minimum(np.max(corners, 0), np.array(size) - 1)
    return SampleGrid.covering(low, high, step, 1) if (high > low).all() else None


def _trim_still(grid: SampleGrid, coarse: Array32, points: Array) -> tuple[SampleGrid, Array32]:
    """Trim the still samples at the border; the bounding box of the meshes' points stays."""
    moves = largest(coarse) > STILL
    samples = grid.to_samples(points[:, :2])
    low, high = np.floor(samples.min(0)).astype(int) - 1, np.ceil(samples.max(0)).astype(int) + 2
    moves[max(low[1], 0) : max(high[1], 0), max(low[0], 0) : max(high[0], 0)] = True
    rows, columns = np.flatnonzero(moves.any(1)), np.flatnonzero(moves.any(0))
    if not len(rows):
        return grid, coarse
    top, bottom = max(rows[0] - 1, 0), min(rows[-1] + 2, grid.rows)
    left, right = max(columns[0] - 1, 0), min(columns[-1] + 2, grid.columns)
    kept = slice(top, bottom), slice(left, right)
    return grid.part(*kept), np.ascontiguousarray(coarse[kept])


def _intersection(grid: SampleGrid, whole: SampleGrid) -> SampleGrid | None:
    """Return the part of a grid that lies on another one of the same step; None when empty."""
    step = grid.step
    x0, y0 = max(grid.x0, whole.x0), max(grid.y0, whole.y0)
    x1 = min(grid.x0 + grid.columns * step, whole.x0 + whole.columns * step)
    y1 = min(grid.y0 + grid.rows * step, whole.y0 + whole.rows * step)
    if x1 <= x0 or y1 <= y0:
        return None
    return SampleGrid(x0, y0, step, (x1 - x0) // step, (y1 - y0) // step)


def drawing_order(target: Array) -> npt.NDArray[np.intp]:
    """Sort the triangles of a target mesh for drawing.

    What is turned away comes first (it fills folds), then the holes, through which it would be seen
    otherwise, then the face from far to near, so that the nose covers the cheek.
    """
    away = anatomy.turned_away(target)
    depth, size = target[:, 2].take(anatomy.TRIANGLES).mean(1), anatomy.face_height(target)
    depth += np.where(away, 2e4, 0) * size
    holes = slice(anatomy.HOLE_TRIANGLE_COUNT)
    depth[holes] = np.where(away[holes], np.inf, 1e4 * size)
    return np.argsort(-depth, kind="stable")


def _fill_holes(displacement: Array32, covered: Covered, closed: Covered) -> None:
    """Fill small holes of the mesh's displacement (rows, columns, 2), in place.

    covered, closed: (rows, columns), 1 where the mesh lies, without and with its small holes.
    """
    holes = closed > covered
    if holes.any():
        near = box_mean(np.dstack([displacement, covered.astype(np.float32)]), 7)
        displacement[holes] = near[holes, :2] / np.maximum(near[holes, 2:], 1e-3)


def _feather(closed: Covered, reach: int) -> Array32:
    """Return the blend weight of the mesh, (rows, columns) float32 in 0..1.

    Args:
        closed: (rows, columns), 1 where the mesh lies.
        reach: samples; the weight is 0 at the outline and 1 from 2 * reach samples inwards.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    core = np.asarray(
        cv2.erode(closed.astype(np.float32), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1),
        np.float32,
    )
    return box_mean(core, 2 * reach - 1)
