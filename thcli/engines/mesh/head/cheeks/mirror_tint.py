"""Colours of a source's mirror image, in the light of the source's other side.

They are a property of the source: the mirror image is tinted once, not in each frame.
"""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.imaging import smoothstep
from thcli.core.types import Array, Array32, Image
from thcli.engines.mesh import anatomy, raster, warp
from thcli.engines.mesh.background.windows import iterate_windows
from thcli.engines.mesh.head import overlay
from thcli.engines.mesh.head.outline import find_outline
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import box_mean, resize
from thcli.engines.mesh.warp import WarpMap
from thcli.faces.landmarks.topology import OVAL

BESIDE_BLEND = 0.12  # face heights over which outline points share what lies beside them


def tint(
    person: Image,
    mesh: Array,
    own_map: WarpMap,
    log_gains: Array,
    hair: tuple[Array32, Array32],
    kept: Array32,
) -> None:
    """Tint the person of a mirror image, in place.

    Args:
        person: (H, W, 4) uint8 premultiplied; its colours stay no brighter than its alpha.
        mesh: (468, 3) in its pixels.
        own_map: of this mesh to itself.
        log_gains: (468, 3) of the colours.
        hair: (rows, columns) 0..1 at the samples of `picture_grid`, and the logarithm of its own
            gains, (rows, columns, 3).
        kept: how much of the person is not cut off there.
    """
    size = person.shape[1], person.shape[0]
    grid = picture_grid(own_map, size)
    beside, _ = spread_beside(log_gains[OVAL], mesh, grid)
    logs = resize(beside, (grid.columns, grid.rows))
    lay_mesh_over(logs, log_gains, mesh, grid, own_map)
    opaque = np.ones((grid.rows, grid.columns), np.float32)
    shown, hair_gains = hair
    gains = np.exp(logs + shown[..., None] * (hair_gains - logs))
    samples = np.dstack([gains, opaque]) * kept[..., None]
    for region, values in iterate_windows(samples, opaque, grid, size):
        tinted = cv2.multiply(person[region], values, dtype=cv2.CV_8U)
        alpha = cv2.extractChannel(person[region], 3)
        person[region] = cv2.min(tinted, cv2.merge([alpha] * 4))


def picture_grid(own_map: WarpMap, size: tuple[int, int]) -> SampleGrid:
    """Return a grid of a map's step over a whole picture (width, height) and its face."""
    face = own_map.face
    left, top = min(face.x0, 0), min(face.y0, 0)
    right = max(face.x0 + face.columns * face.step, size[0])
    bottom = max(face.y0 + face.rows * face.step, size[1])
    columns, rows = (-(-length // face.step) for length in (right - left, bottom - top))
    return SampleGrid(left, top, face.step, columns, rows)


def spread_beside(values: Array, target: Array, grid: SampleGrid) -> tuple[Array32, Array32]:
    """Continue values of the outline of a mesh beside it.

    Args:
        values: (36, C) at the points of the outline.
        target: (468, 3) mesh.
        grid: every `warp.COARSE`th of its samples is computed.

    Returns:
        (rows, columns, C) float32, and face heights to the outline (rows, columns).
    """
    columns, rows = (-(-n // warp.COARSE) for n in (grid.columns, grid.rows))
    coarse = SampleGrid(grid.x0, grid.y0, warp.COARSE * grid.step, columns, rows)
    x, y = coarse.pixel_axes()
    outline = find_outline(target).points.astype(np.float32)[..., None, None]
    distance = np.hypot(x - outline[:, 0], y[:, None] - outline[:, 1])
    nearest = distance.min(0)
    face_size = anatomy.face_height(target)
    shares = np.exp((nearest - distance) / np.float32(BESIDE_BLEND * face_size))
    around = np.tensordot(shares / shares.sum(0), values.astype(np.float32), (0, 0))
    return np.asarray(around, np.float32), np.asarray(nearest / np.float32(face_size))


def lay_mesh_over(
    beside: Array32, values: Array, target: Array, grid: SampleGrid, warp_map: WarpMap
) -> Array32:
    """Lay values of a mesh's points over those beside it, in place.

    Args:
        beside: (rows, columns, C) at the samples of a grid.
        values: (468, C).
        target: (468, 3) mesh.
        grid: of `beside`.
        warp_map: of the mesh; its face lies on the grid.

    Returns:
        (rows, columns) float32 in 0..1, how much is mesh.
    """
    face = warp_map.face
    maps = raster.linear_maps(target, values, anatomy.TRIANGLES)
    covered = box_mean((warp_map.ids >= 0).astype(np.float32), 3)
    sums = box_mean(raster.sample_maps(warp_map.ids, maps, face), 3)
    inside = sums.reshape(*covered.shape, -1) / np.maximum(covered, np.float32(0.1))[..., None]
    part = face.within(grid)
    solid = np.zeros(beside.shape[:2], np.float32)
    solid[part] = smoothstep(0, overlay.SOLID, warp_map.mesh_weight)
    beside[part] += solid[part][..., None] * (inside - beside[part])
    return solid
