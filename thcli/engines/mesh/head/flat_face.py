"""The mean face, laid flat in a field of pixels, over which what lies on a source is unwrapped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thcli.core.types import Array, Array32
from thcli.engines.mesh import raster
from thcli.engines.mesh.anatomy import Indices
from thcli.engines.mesh.raster import SampleGrid


@dataclass(frozen=True, slots=True)
class FlatFace:
    """A mean face in a field.

    mesh: (468, 3) pixels.  triangles: (N, 3) its points.  ids: (h, w) triangle at each pixel, -1
    for none.  grid: pixels of the field.
    """

    mesh: Array
    triangles: Indices
    ids: Indices
    grid: SampleGrid

    @classmethod
    def of(cls, places: Array, size: tuple[int, int], triangles: Indices) -> FlatFace:
        """Lay the face flat.

        Args:
            places: (468, 2) pixels of the mesh points.
            size: (width, height) of the field.
            triangles: (N, 3) of the mesh.
        """
        grid = SampleGrid(0, 0, 1, *size)
        flat = np.asarray(np.c_[places, np.zeros(len(places))])
        ids = raster.rasterize(flat, triangles, np.arange(len(triangles)), grid)
        return cls(flat, triangles, ids, grid)

    def unwrap(self, values: Array) -> Array32:
        """Return values at the mesh points (468, C) over the field, (h, w, C)."""
        maps = raster.linear_maps(self.mesh, values, self.triangles)
        return raster.sample_maps(self.ids, maps, self.grid)
