"""Values at the mesh's points, interpolated to the pixels of a frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32
from thcli.engines.mesh import anatomy, raster
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import box_mean, largest
from thcli.engines.mesh.warp import TEAR, WarpMap

SOLID = 0.4  # blend weight of the mesh from which the overlay is opaque
MARGIN = 3  # samples around the triangles that are rendered


def iterate_values(
    positions: Array,
    weight: Array,
    values: Array,
    target: Array,
    warp_map: WarpMap,
    size: tuple[int, int],
) -> Iterator[tuple[Region, Array32]]:
    """Interpolate values at the mesh's points where their weight is above 0.

    Args:
        positions: (468, 2) pixels of any image.
        weight: (468,) in 0..1; it ends softly at the outline of the mesh.
        values: (468, C).
        target: (468, 3) target mesh.
        warp_map: the frame's map.
        size: (width, height) of the frame.

    Yields:
        Parts of the frame, and (h, w, 3 + C) float32: positions, weight and values of their pixels.
    """
    near = _grid_around(target, weight, warp_map.face)
    if near is None:
        return
    face, (rows, columns) = near
    ids = np.ascontiguousarray(warp_map.ids[rows, columns])
    points = np.concatenate([positions - target[:, :2], weight[:, None], values], 1)
    maps = raster.linear_maps(target, points, anatomy.TRIANGLES)
    samples = raster.sample_maps(ids, maps, face)
    covered = box_mean((ids >= 0).astype(np.float32), 3)
    around = box_mean(samples, 3) / np.maximum(covered, np.float32(0.1))[..., None]
    # what is not covered is not interpolated with; where parts meet there is a ramp
    torn = (largest((samples - around)[..., :2]) > TEAR * face.step) | (ids < 0)
    samples[torn] = around[torn]
    mean = around[..., 2]
    solid = smoothstep(0, SOLID, warp_map.mesh_weight[rows, columns])
    samples[..., 2] = mean.clip(0, 1) * solid
    x, y = face.pixel_axes()
    samples[..., 0] += x
    samples[..., 1] += y[:, None]
    yield from iterate_windows(samples, samples[..., 2], face, size)


def _grid_around(
    target: Array, weight: Array, face: SampleGrid
) -> tuple[SampleGrid, tuple[slice, slice]] | None:
    """Return the part of a grid that the triangles with a weight cover, and its samples."""
    corners = anatomy.TRIANGLES[(weight[anatomy.TRIANGLES] > 0).any(1)]
    if not len(corners):
        return None
    points = face.to_samples(target[corners.ravel(), :2])
    low = np.floor(points.min(0)).clip(MARGIN, 1e6).astype(int) - MARGIN
    high = np.ceil(points.max(0)).clip(-1e6, 1e6).astype(int) + MARGIN + 1
    right, bottom = min(int(high[0]), face.columns), min(int(high[1]), face.rows)
    left, top = int(low[0]), int(low[1])
    if right - left < 2 or bottom - top < 2:
        return None
    rows, columns = slice(top, bottom), slice(left, right)
    return face.part(rows, columns), (rows, columns)
