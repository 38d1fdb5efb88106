"""Rasterization of the mesh into a map of displacements on a sample grid.

Sample (i, j) of a `SampleGrid` stands for the image position (x0 + (i + 0.5) * step - 0.5,
y0 + (j + 0.5) * step - 0.5), as in cv2.resize. The map of triangle ids has hard edges, but the
displacements are continuous across every edge between two triangles, so that sub-pixel motion
does not flicker.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import Indices

# Change of a value per pixel above which a triangle counts as a sliver, which takes a constant.
MAX_GRADIENT = 6.0
MAX_SAMPLE = 1e5  # from the origin of a grid; points of damaged motion may lie anywhere
_SHIFT = 4  # fractional bits of cv2's polygon corners


@dataclass(frozen=True, slots=True)
class SampleGrid:
    """A regular sample grid over a part of an image.

    x0, y0: top-left pixel.  step: pixels per sample.  columns, rows: number of samples.
    """

    x0: int
    y0: int
    step: int
    columns: int
    rows: int

    @staticmethod
    def covering(low: Array, high: Array, step: int, margin: int) -> SampleGrid:
        """Create the grid, aligned to multiples of `step`, that covers a box.

        Args:
            low, high: (x, y) corners of the box in pixels.
            step: pixels per sample.
            margin: samples added on each side.
        """
        left, top = (int(np.floor(v / step)) - margin for v in low)
        right, bottom = (int(np.ceil((v + 1) / step)) + margin for v in high)
        return SampleGrid(left * step, top * step, step, right - left, bottom - top)

    def part(self, rows: slice, columns: slice) -> SampleGrid:
        """Return the grid of some rows and columns, given by slices with both ends."""
        left, top = int(columns.start), int(rows.start)
        width, height = int(columns.stop) - left, int(rows.stop) - top
        x0, y0 = self.x0 + left * self.step, self.y0 + top * self.step
        return SampleGrid(x0, y0, self.step, width, height)

    def within(self, whole: SampleGrid) -> tuple[slice, slice]:
        """Return the rows and columns of another grid of its step on which this one lies."""
        row, column = (self.y0 - whole.y0) // self.step, (self.x0 - whole.x0) // self.step
        return slice(row, row + self.rows), slice(column, column + self.columns)

    def move(self, by: tuple[int, int]) -> SampleGrid:
        """Return the grid, (x, y) pixels further to the right and down."""
        return SampleGrid(self.x0 + by[0], self.y0 + by[1], self.step, self.columns, self.rows)

    def to_samples(self, points: Array) -> Array:
        """Convert (N, 2) pixels to sample coordinates; sample centres are whole numbers."""
        return np.asarray((points - (self.x0, self.y0) + 0.5) / self.step - 0.5)

    def pixel_axes(self) -> tuple[Array32, Array32]:
        """Return the pixel x of every column and the pixel y of every row, float32."""
        x = self.x0 + (np.arange(self.columns, dtype=np.float32) + 0.5) * self.step - 0.5
        y = self.y0 + (np.arange(self.rows, dtype=np.float32) + 0.5) * self.step - 0.5
        return x.astype(np.float32), y.astype(np.float32)

    def pixel_positions(self) -> Array32:
        """Return the pixel (x, y) of every sample, (rows, columns, 2) float32."""
        positions = np.empty((self.rows, self.columns, 2), np.float32)
        x, y = self.pixel_axes()
        positions[..., 0], positions[..., 1] = x, y[:, None]
        return positions


def linear_maps(points: Array, values: Array, triangles: Indices) -> Array32:
    """Fit, for each triangle, the linear function of (x, y, 1) through its corners' values.

    Args:
        points: (N, 2+) pixels.
        values: (N, C) values at the points.
        triangles: (K, 3) point indices.

    Returns:
        (K, 3, C) float32 coefficients of x, y and 1. A sliver (see MAX_GRADIENT) is the constant
        mean of its corners.
    """
    # coordinate by coordinate: NumPy takes several times as long for short rows
    (xa, xb, xc), (ya, yb, yc) = points[:, :2].T.take(triangles.T, 1)
    va, vb, vc = values.T.take(triangles.T, 1).swapaxes(0, 1)
    ex, ey, fx, fy = xb - xa, yb - ya, xc - xa, yc - ya
    det = ex * fy - ey * fx
    flat = np.abs(det) < 1e-6
    inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, det))
    dx = (fy * (vb - va) - ey * (vc - va)) * inverse
    dy = (ex * (vc - va) - fx * (vb - va)) * inverse
    steep = np.maximum(np.abs(dx), np.abs(dy)).max(0) > MAX_GRADIENT
    flat |= steep
    dx[:, steep] = dy[:, steep] = 0
    base = np.where(flat, (va + vb + vc) / 3, va - dx * xa - dy * ya)
    return np.stack([dx, dy, base], 1).astype(np.float32).T


def rasterize(
    points: Array, triangles: Indices, order: npt.NDArray[np.intp], grid: SampleGrid
) -> Indices:
    """Draw triangles into a map of triangle ids.

    Args:
        points: (N, 2+) pixels.
        triangles: (K, 3) point indices.
        order: (K,) drawing order; later triangles lie on top.
        grid: samples of the map.

    Returns:
        (rows, columns) int32 index of the triangle that covers each sample, -1 where none does.
    """
    ids = np.full((grid.rows, grid.columns), -1, np.int32)
    samples = np.clip(grid.to_samples(points[:, :2]), -MAX_SAMPLE, MAX_SAMPLE)
    corners = np.rint(samples * (1 << _SHIFT)).astype(np.int32)[triangles[order]]
    fill = cv2.fillConvexPoly
    for index, corner in zip(order.tolist(), corners, strict=True):
        fill(ids, corner, index, cv2.LINE_8, _SHIFT)
    return ids


def sample_maps(ids: Indices, maps: Array32, grid: SampleGrid) -> Array32:
    """Evaluate the triangles' linear functions at the samples that they cover.

    Args:
        ids: (rows, columns) from `rasterize`.
        maps: (K, 3, C) from `linear_maps`.
        grid: the samples.

    Returns:
        (rows, columns, C) float32, 0 where no triangle lies.
    """
    x, y = grid.pixel_axes()
    chosen = ids.astype(np.intp)
    # the index -1 takes the zeros behind the last triangle
    channels = np.zeros((maps.shape[2], 3, len(maps) + 1), np.float32)
    channels[..., :-1] = maps.T
    planes = []
    for dx, dy, base in channels:  # NumPy takes several times as long for short rows
        plane = dx.take(chosen) * x
        plane += dy.take(chosen) * y[:, None]
        plane += base.take(chosen)
        planes.append(plane)
    return np.asarray(cv2.merge(planes), np.float32).reshape(*ids.shape, len(planes))
