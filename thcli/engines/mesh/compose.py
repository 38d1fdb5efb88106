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
SLACK = 1 / 64  # pixels beyond an edge that are sampled as the edge: OpenCV's half step


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
    step, (x, y) = grid.step, grid.pixel_axes()
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
        rows, columns = (
            slice(np.searchsorted(axis, start), np.searchsorted(axis, stop - 1, "right"))
            for axis, start, stop in ((y, y0, y1), (x, x0, x1))
        )
        leaves = _any_leaves(positions[rows, columns], coordinates, (width, height))
        sample = sample_person if leaves else _sample_mirrored
        person = sample(layers.person, coordinates)
        behind = cv2.cvtColor(255 - cv2.extractChannel(person, 3), cv2.COLOR_GRAY2RGB)
        cv2.multiply(layers.plate[y0:y1, x0:x1], behind, behind, 1 / 255)
        view[:] = cv2.add(behind, cv2.cvtColor(person, cv2.COLOR_RGBA2RGB))
    _render_cut(out, image, warp_map)
    return out


def _render_cut(out: Image, image: Image, warp_map: WarpMap) -> None:
    """Render the face along the outlines where it is merged by colours, in place."""
    window = _cut_window(warp_map, (out.shape[1], out.shape[0]))
    if window is None:
        return
    region, values = window
    texture = remap(image, np.ascontiguousarray(values[..., :2]))
    shown = out[region]
    shown[:] = (shown + values[..., 2:] * (texture.astype(np.float32) - shown) + 0.5).astype(
        np.uint8
    )


def _cut_window(warp_map: WarpMap, size: tuple[int, int]) -> tuple[Region, Array32] | None:
    """Upsample a map's cut to the pixels of an image of a size (width, height)."""
    cut = warp_map.cut
    return None if cut is None else upsample_window(cut.samples, cut.grid, size)


def render_alpha(layers: MatteLayers, warp_map: WarpMap) -> Image:
    """Render the person's alpha through a warp map, (H, W) uint8."""
    alpha = np.ascontiguousarray(layers.person[..., 3])
    out = alpha.copy()
    height, width = alpha.shape
    found = upsample_window(source_positions(warp_map), warp_map.grid, (width, height))
    if found is not None:
        region, positions = found
        out[region] = sample_person(alpha, positions)
    window = _cut_window(warp_map, (width, height))
    if window is not None:
        region, values = window
        opaque = (255 * values[..., 2] + np.float32(0.5)).astype(np.uint8)
        np.maximum(out[region], opaque, out=out[region])
    return out


def sample_person(
    person: Image, positions: Array32, interpolation: int = cv2.INTER_LINEAR
) -> Image:
    """Sample a person's pixels, and mirrored ones beyond the picture's edges.

    The person goes on only where the edge cuts it off. Beside and above, what is mirrored lies over
    the edge's repeated pixels and takes their alpha, so that the person keeps its width.

    Args:
        person: (H, W, 4) uint8, premultiplied colour and alpha, or (H, W) alpha.
        positions: (h, w, 2) float32 pixels.
        interpolation: OpenCV interpolation.
    """
    sampled = _sample_mirrored(person, positions, interpolation)
    size = person.shape[1], person.shape[0]
    for first in range(0, len(positions), STRIP):
        strip = positions[first : first + STRIP]
        for outside in _leaves(strip, size):
            rows, columns = np.flatnonzero(outside.any(1)), np.flatnonzero(outside.any(0))
            if not len(rows):
                continue
            block = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            beyond, mirrored = outside[block], sampled[first : first + STRIP][block]
            here = remap(person, np.ascontiguousarray(strip[block]), interpolation=interpolation)
            if person.ndim == 2:
                np.copyto(mirrored, here, where=beyond)
            else:
                np.copyto(mirrored, _over_edge(mirrored, here), where=beyond[..., None])
    return sampled


def _over_edge(mirrored: Image, edge: Image) -> Image:
    """Lay mirrored pixels (h, w, 4) over those of the edge, with the alpha of the edge."""
    through = cv2.merge([255 - cv2.extractChannel(mirrored, 3)] * 4)
    over = np.asarray(cv2.add(mirrored, cv2.multiply(edge, through, scale=1 / 255)), np.uint8)
    share = edge[..., 3:] / np.maximum(over[..., 3:], 1).astype(np.float32)
    out = np.minimum(over * share + np.float32(0.5), 255).astype(np.uint8)
    out[..., 3] = edge[..., 3]
    return out


def _sample_mirrored(
    person: Image, positions: Array32, interpolation: int = cv2.INTER_LINEAR
) -> Image:
    """Sample a person's pixels, mirrored beyond every edge."""
    return remap(person, positions, REFLECT, interpolation)


def _any_leaves(inside: Array32, coordinates: Array32, size: tuple[int, int]) -> bool:
    """Return whether positions leave a picture of a size beside or above.

    Those between samples lie between the samples inside and the strip's border.

    Args:
        inside: (rows, columns, 2) samples within the strip.
        coordinates: (h, w, 2) positions of the strip's pixels.
        size: (width, height).
    """
    borders = coordinates[[0, -1]], coordinates[:, [0, -1]]
    parts = [part for part in (inside, *borders) if part.size]
    return any(side.any() for part in parts for side in _leaves(part, size))


def _leaves(
    positions: Array32, size: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which positions (h, w, 2) lie left of, right of or else above a picture of a size."""
    x, y = cv2.split(positions)  # contiguous, which is twice as fast
    left, right = x < -SLACK, x > size[0] - 1 + SLACK
    return left, right, (y < -SLACK) & ~left & ~right


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
