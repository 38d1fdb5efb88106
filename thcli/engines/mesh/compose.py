"""From the map to pixels: one sampling of the source, in strips, over the plate where there is one."""

from __future__ import annotations

import cv2
import numpy as np

from thcli.core.types import Array32, Image
from thcli.engines.mesh.matte import Cut
from thcli.engines.mesh.raster import Grid
from thcli.engines.mesh.sampling import REFLECT, look_up, resized
from thcli.engines.mesh.warp import Map

STRIP = 128  # rows at a time: small enough for the cache, and for the memory at 4K


def draw(picture: Image, cut: Cut | None, way: Map) -> Image:
    """The picture seen through a map, (H, W, 3) uint8; what the map does not cover is copied."""
    out = picture.copy()
    height, width = picture.shape[:2]
    grid, places = way.grid, sources(way)
    step = grid.step
    # the outermost sample has no neighbour to interpolate with; it is still, or outside of the picture
    x0, x1 = max(grid.x0 + step, 0), min(grid.x0 + (grid.columns - 1) * step, width)
    first, last = 1, grid.rows - 1
    count = max(1, STRIP // step)
    for row in range(first, last, count):
        end = min(row + count, last)
        y0, y1 = max(grid.y0 + row * step, 0), min(grid.y0 + end * step, height)
        if y1 <= y0 or x1 <= x0:
            continue
        strip = upsampled(places, row, end, step)
        top, left = y0 - grid.y0 - row * step, x0 - grid.x0
        coordinates = strip[top : top + y1 - y0, left : left + x1 - x0]
        view = out[y0:y1, x0:x1]
        if cut is None:
            view[:] = look_up(picture, coordinates, REFLECT)
            continue
        person = look_up(cut.person, _folded(coordinates, height))
        behind = cv2.cvtColor(255 - cv2.extractChannel(person, 3), cv2.COLOR_GRAY2RGB)
        cv2.multiply(cut.plate[y0:y1, x0:x1], behind, behind, 1 / 255)
        view[:] = cv2.add(behind, cv2.cvtColor(person, cv2.COLOR_RGBA2RGB))
    return out


def _folded(places: Array32, height: int) -> Array32:
    """Places below the picture mirrored into it; what is above and beside stays outside, for nobody may show twice."""
    y, bottom = places[..., 1], np.float32(height - 1)
    if y.max() <= bottom:
        return places
    return np.stack([places[..., 0], np.where(y > bottom, 2 * bottom - y, y)], -1)


def sources(way: Map) -> Array32:
    """Where each sample of the map comes from, (rows, columns, 2) float32 source pixels."""
    x, y = way.grid.axes()
    places = way.displacement.copy()
    places[..., 0] += x
    places[..., 1] += y[:, None]
    return places


def upsampled(samples: Array32, first: int, last: int, step: int) -> Array32:
    """The rows first..last of samples at `step` times their density, bilinear, with their neighbours' help."""
    low, high = max(first - 1, 0), min(last + 1, len(samples))
    part = samples[low:high]
    if step > 1:
        part = resized(part, (part.shape[1] * step, part.shape[0] * step))
    return np.asarray(part[(first - low) * step : (last - low) * step])


def window(
    samples: Array32, grid: Grid, size: tuple[int, int]
) -> tuple[tuple[slice, slice], Array32] | None:
    """Samples of a grid at full density inside of a picture of `size`: (rows and columns of the picture, values); None outside."""
    step = grid.step
    y0, y1 = max(grid.y0, 0), min(grid.y0 + grid.rows * step, size[1])
    x0, x1 = max(grid.x0, 0), min(grid.x0 + grid.columns * step, size[0])
    if y1 <= y0 or x1 <= x0:
        return None
    full = upsampled(samples, 0, grid.rows, step)
    return (slice(y0, y1), slice(x0, x1)), full[
        y0 - grid.y0 : y1 - grid.y0, x0 - grid.x0 : x1 - grid.x0
    ]
