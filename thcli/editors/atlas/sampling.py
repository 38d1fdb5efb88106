"""Sampling between an image and the atlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array, Array32
from thcli.editors.atlas import layout
from thcli.engines.mesh import raster
from thcli.engines.mesh.sampling import remap, resize

STEP = 4  # pixels of a crop to a sample of the map


def sample_positions(points: Array, fine: float = 1.0) -> Array32:
    """Return the image position of each atlas sample, (ROWS, COLUMNS, 2) float32, pixels.

    Samples outside of all triangles are at -10,000.

    Args:
        points: extended mesh (COUNT, 3), pixels of the image.
        fine: factor of the rows and columns, see `layout.build_layout`.
    """
    known = layout.build_layout(fine)
    size = round(layout.ROWS * fine), round(layout.COLUMNS * fine)
    out = np.full((*size, 2), -1e4, np.float32)
    flat = np.asarray(points[:, :2], np.float32)
    out[known.rows, known.columns] = np.einsum("nk,nkc->nc", known.barycentric, flat[known.corners])
    return out


def unroll_image(image: npt.NDArray[Any], where: Array32) -> npt.NDArray[Any]:
    """Sample an image (H, W, ...) into the atlas, (ROWS, COLUMNS, ...) of its dtype.

    Args:
        image: image to sample; 0 outside of it.
        where: positions as `sample_positions` returns them.
    """
    return remap(image, where, cv2.BORDER_CONSTANT)


def unroll_plane(plane: Array32, where: Array32, side: int) -> Array32:
    """Sample a plane of an image into the atlas, (ROWS, COLUMNS) float32.

    Args:
        plane: (S', S'), of a lower resolution or of the image's own.
        where: positions as `sample_positions` returns them, pixels of the image.
        side: side of the image, pixels.
    """
    shrink, half = np.float32(plane.shape[0] / side), np.float32(0.5)
    sampled: Array32 = unroll_image(plane, (where + half) * shrink - half)
    return sampled


@dataclass(frozen=True, slots=True)
class AtlasProjection:
    """Projection of the atlas into a crop, on a grid of one sample every STEP pixels.

    grid: of the samples.
    ids: (rows, columns) index of the visible triangle, -1 for none.
    positions: (rows, columns, 2) float32 atlas coordinates, in atlas samples.
    visibility: (rows, columns) 0..1, how far the surface faces the camera.
    coverage: (rows, columns) 1 within the mesh, else 0.
    """

    grid: raster.SampleGrid
    ids: npt.NDArray[np.int32]
    positions: Array32
    visibility: Array32
    coverage: Array32

    def sample_atlas(self, atlas: Array32) -> Array32:
        """Sample an atlas (ROWS', COLUMNS', C) of any size at the grid: (rows, columns, C)."""
        scale = np.float32(atlas.shape[0] / layout.ROWS)
        at = (self.positions + np.float32(0.5)) * scale - np.float32(0.5)
        return remap(atlas, at)

    def interpolate(self, points: Array, values: Array) -> Array32:
        """Interpolate values of mesh points at the grid: (rows, columns, C), 0 outside.

        Args:
            points: extended mesh (COUNT, 3), pixels.
            values: (COUNT, C).
        """
        return raster.sample_maps(
            self.ids, raster.linear_maps(points, values, layout.TRIANGLES), self.grid
        )


def project(mesh: Array, points: Array, size: int, step: int = STEP) -> AtlasProjection:
    """Project the atlas into a crop.

    Args:
        mesh: (468, 3), pixels of the crop.
        points: `layout.extend_mesh` of it.
        size: side of the crop, pixels.
        step: pixels between samples.
    """
    grid = raster.SampleGrid(0, 0, step, size // step, size // step)
    ids = raster.rasterize(points, layout.TRIANGLES, layout.painter_order(points), grid)
    visibility = layout.facing_weights(mesh) * layout.FADES
    values = np.concatenate([layout.build_layout().points, visibility[:, None]], 1)
    found = raster.sample_maps(ids, raster.linear_maps(points, values, layout.TRIANGLES), grid)
    positions = np.ascontiguousarray(found[..., :2])
    coverage = (ids >= 0).astype(np.float32)
    return AtlasProjection(grid, ids, positions, np.clip(found[..., 2], 0, 1), coverage)


def upsample(samples: Array32, step: int) -> Array32:
    """Resize grid samples to the pixels of the crop."""
    return resize(samples, (samples.shape[1] * step, samples.shape[0] * step))
