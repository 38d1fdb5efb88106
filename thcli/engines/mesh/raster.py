"""The mesh as a map: for every pixel of a small grid, which way to the source.

A grid sample (i, j) of a `Grid` stands for the picture's pixel (x0 + (i + .5) * step - .5, y0 + ...), as with cv2.resize. The id picture
has hard edges, but displacements continue evenly over every edge between two triangles, so that sub-pixel motion does not flicker.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.engines.mesh.anatomy import Indices

STEEPEST = 6.0  # change of a value a pixel beyond which a triangle is a sliver that only its neighbours should speak for
_SHIFT = 4  # fractional bits of cv2's polygon corners


@dataclass(frozen=True, slots=True)
class Grid:
    """A regular grid over a part of a picture. x0, y0: its top-left pixel.  step: pixels a sample.  columns, rows: how many samples."""

    x0: int
    y0: int
    step: int
    columns: int
    rows: int

    @staticmethod
    def around(low: Array, high: Array, step: int, margin: int) -> Grid:
        """The grid that covers the box from low to high (x, y), on multiples of the step, with `margin` samples more on each side."""
        left, top = (int(np.floor(v / step)) - margin for v in low)
        right, bottom = (int(np.ceil((v + 1) / step)) + margin for v in high)
        return Grid(left * step, top * step, step, right - left, bottom - top)

    def to_samples(self, points: Array) -> Array:
        """(N, 2) pixels -> (N, 2) sample coordinates, whole numbers at sample centres."""
        return np.asarray((points - (self.x0, self.y0) + 0.5) / self.step - 0.5)

    def axes(self) -> tuple[Array32, Array32]:
        """The pixel x of every column and the pixel y of every row, float32."""
        x = self.x0 + (np.arange(self.columns, dtype=np.float32) + 0.5) * self.step - 0.5
        y = self.y0 + (np.arange(self.rows, dtype=np.float32) + 0.5) * self.step - 0.5
        return x.astype(np.float32), y.astype(np.float32)


def linear_maps(points: Array, values: Array, triangles: Indices) -> Array32:
    """Per triangle the linear function of (x, y, 1) that takes the corners' values: (K, 3, C) float32.

    points: (N, 2+) pixels.  values: (N, C).  A sliver (see STEEPEST) takes the mean of its corners.
    """
    a, b, c = points[triangles[:, 0], :2], points[triangles[:, 1], :2], points[triangles[:, 2], :2]
    va, vb, vc = values[triangles[:, 0]], values[triangles[:, 1]], values[triangles[:, 2]]
    e, f = b - a, c - a
    det = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
    flat = np.abs(det) < 1e-6
    inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, det))[:, None]
    dx = (f[:, 1:] * (vb - va) - e[:, 1:] * (vc - va)) * inverse
    dy = (e[:, :1] * (vc - va) - f[:, :1] * (vb - va)) * inverse
    steep = np.maximum(np.abs(dx), np.abs(dy)).max(1) > STEEPEST
    flat |= steep
    dx[steep] = dy[steep] = 0
    base = np.where(flat[:, None], (va + vb + vc) / 3, va - dx * a[:, :1] - dy * a[:, 1:])
    return np.stack([dx, dy, base], 1).astype(np.float32)


def paint(points: Array, triangles: Indices, order: npt.NDArray[np.intp], grid: Grid) -> Indices:
    """Which triangle covers each sample, -1 where none does: (rows, columns) int32. Later triangles of `order` lie on top."""
    ids = np.full((grid.rows, grid.columns), -1, np.int32)
    corners = np.rint(grid.to_samples(points[:, :2]) * (1 << _SHIFT)).astype(np.int32)[triangles]
    fill = cv2.fillConvexPoly
    for index in order.tolist():
        fill(ids, corners[index], index, cv2.LINE_8, _SHIFT)
    return ids


def sample(ids: Indices, maps: Array32, grid: Grid) -> Array32:
    """The triangles' linear functions at the samples they cover, 0 elsewhere: (rows, columns, C) float32."""
    covered = np.flatnonzero(ids.ravel() >= 0)
    x, y = grid.axes()
    rows, columns = np.divmod(covered, grid.columns)
    chosen = maps[ids.ravel()[covered]]
    out = np.zeros((ids.size, maps.shape[2]), np.float32)
    out[covered] = chosen[:, 0] * x[columns, None] + chosen[:, 1] * y[rows, None] + chosen[:, 2]
    return out.reshape(*ids.shape, maps.shape[2])
