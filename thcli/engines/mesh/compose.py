"""Sampling of the source through a warp map, in strips, over the background plate if any."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import REFLECT, remap, resize
from thcli.engines.mesh.warp import WarpMap

STRIP = 128  # rows at a time: fits the cache, and bounds the memory at 4K


def render(image: Image, layers: MatteLayers | None, warp_map: WarpMap) -> Image:
    """Render the source image through a warp map.

    Args:
        image: (H, W, 3) uint8 source image.
        layers: person and plate of the source, or None to warp the whole image.
        warp_map: map of the frame.

    Returns:
        (H, W, 3) uint8. Pixels that the map does not cover are copied from the source.
    """
    out = image.copy()
    height, width = image.shape[:2]
    grid, positions = warp_map.grid, source_positions(warp_map)
    step = grid.step
    # The outermost sample has no neighbour to interpolate with. It is still, or outside.
    x0, x1 = max(grid.x0 + step, 0), min(grid.x0 + (grid.columns - 1) * step, width)
    first, last = 1, grid.rows - 1
    count = max(1, STRIP // step)
    for row in range(first, last, count):
        end = min(row + count, last)
        y0, y1 = max(grid.y0 + row * step, 0), min(grid.y0 + end * step, height)
        if y1 <= y0 or x1 <= x0:
            continue
        strip = upsample(positions, row, end, step)
        top, left = y0 - grid.y0 - row * step, x0 - grid.x0
        coordinates = strip[top : top + y1 - y0, left : left + x1 - x0]
        view = out[y0:y1, x0:x1]
        if layers is None:
            view[:] = remap(image, coordinates, REFLECT)
            continue
        near = positions[max(row - 1, 0) : end + 1]
        leaves = any(side.any() for side in _leaves(near, (width, height)))
        sample = sample_person if leaves else _sample_inside
        person = sample(layers.person, coordinates)
        behind = cv2.cvtColor(255 - cv2.extractChannel(person, 3), cv2.COLOR_GRAY2RGB)
        cv2.multiply(layers.plate[y0:y1, x0:x1], behind, behind, 1 / 255)
        view[:] = cv2.add(behind, cv2.cvtColor(person, cv2.COLOR_RGBA2RGB))
    return out


def render_alpha(layers: MatteLayers, warp_map: WarpMap) -> Image:
    """Render the person's alpha through a warp map, (H, W) uint8."""
    alpha = np.ascontiguousarray(layers.person[..., 3])
    out = alpha.copy()
    height, width = alpha.shape
    found = upsample_window(source_positions(warp_map), warp_map.grid, (width, height))
    if found is not None:
        region, positions = found
        out[region] = sample_person(alpha, positions)
    return out


def sample_person(person: Image, positions: Array32) -> Image:
    """Sample a person's pixels, and mirrored ones beyond the picture's edges.

    The person goes on only where the edge cuts it off. Beside and above, what is mirrored lies over
    the edge's repeated pixels, so that the person keeps its width.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha, or (H, W) alpha.
        positions: (h, w, 2) float32 pixels.
    """
    sampled = _sample_inside(person, positions)
    for outside in _leaves(positions, (person.shape[1], person.shape[0])):
        rows, columns = np.flatnonzero(outside.any(1)), np.flatnonzero(outside.any(0))
        if not len(rows):
            continue
        block = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        beyond, mirrored = outside[block], sampled[block]
        here = remap(person, np.ascontiguousarray(positions[block]))
        if person.ndim == 2:
            np.copyto(mirrored, here, where=beyond)
            continue
        through = cv2.merge([255 - cv2.extractChannel(mirrored, 3)] * 4)
        over = cv2.add(mirrored, cv2.multiply(here, through, scale=1 / 255))
        reach = cv2.merge([cv2.extractChannel(here, 3)] * 4)
        np.copyto(mirrored, cv2.multiply(over, reach, scale=1 / 255), where=beyond[..., None])
    return sampled


def _sample_inside(person: Image, positions: Array32) -> Image:
    """Sample a person's pixels, mirrored beyond the lower edge, where shoulders go on."""
    return remap(person, positions, REFLECT)


def _leaves(
    positions: Array32, size: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which positions (h, w, 2) lie left of, right of or else above a picture of a size."""
    x, y = cv2.split(positions)  # contiguous, which is twice as fast
    left, right = x < 0, x > size[0] - 1
    return left, right, (y < 0) & ~left & ~right


def source_positions(warp_map: WarpMap) -> Array32:
    """Compute the source position of each sample, (rows, columns, 2) float32 pixels."""
    x, y = warp_map.grid.pixel_axes()
    positions = warp_map.displacement.copy()
    positions[..., 0] += x
    positions[..., 1] += y[:, None]
    return positions


def upsample(samples: Array32, first: int, last: int, step: int) -> Array32:
    """Upsample the rows first..last to `step` times their density, bilinearly.

    The rows before and after them are used for interpolation.
    """
    low, high = max(first - 1, 0), min(last + 1, len(samples))
    part = samples[low:high]
    if step > 1:
        part = resize(part, (part.shape[1] * step, part.shape[0] * step))
    return np.asarray(part[(first - low) * step : (last - low) * step])


def upsample_window(
    samples: Array32, grid: SampleGrid, size: tuple[int, int]
) -> tuple[Region, Array32] | None:
    """Upsample the samples of a grid to the pixels of an image.

    Args:
        samples: (rows, columns, C) float32.
        grid: their grid.
        size: (width, height) of the image.

    Returns:
        The region of the image and its values (h, w, C); None when it is empty.
    """
    step = grid.step
    y0, y1 = max(grid.y0, 0), min(grid.y0 + grid.rows * step, size[1])
    x0, x1 = max(grid.x0, 0), min(grid.x0 + grid.columns * step, size[0])
    if y1 <= y0 or x1 <= x0:
        return None
    full = upsample(samples, 0, grid.rows, step)
    values = full[y0 - grid.y0 : y1 - grid.y0, x0 - grid.x0 : x1 - grid.x0]
    return (slice(y0, y1), slice(x0, x1)), values
