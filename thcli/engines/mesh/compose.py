"""Sampling of the source through a warp map, in blocks, over the background plate if any."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from thcli.core.types import Array32, Image
from thcli.engines.mesh import opening
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.background.matte import MatteLayers
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import REFLECT, remap, resize
from thcli.engines.mesh.warp import WarpMap

OPAQUE = {blocks.PLATE: 0, blocks.PERSON: 255}  # alpha of blocks that are not sampled for it
STRIP = 128  # rows at a time: fits the cache, and bounds the memory at 4K


def render(image: Image, layers: MatteLayers | None, warp_map: WarpMap) -> Image:
    """Render the source image through a warp map.

    Args:
        image: (H, W, 3) uint8 source image.
        layers: person and plate of the source, or None to warp the whole image.
        warp_map: map of the frame.

    Returns:
        (H, W, 3) uint8. Pixels that do not move are copied from the source.
    """
    out = image.copy()
    grid, positions = warp_map.grid, source_positions(warp_map)
    coverage = None if layers is None else layers.coverage
    moving = list(blocks.iterate_blocks(warp_map.displacement, positions, grid, coverage))
    if layers is None:
        _render_whole(out, image, positions, grid, moving)
    else:
        _render_layers(out, layers, positions, grid, moving)
    _render_cut(out, image, warp_map)
    return out


def _render_layers(
    out: Image, layers: MatteLayers, positions: Array32, grid: SampleGrid, moving: Sequence[Block]
) -> None:
    """Render the moving blocks of a person over its plate into `out`."""
    for block in moving:
        region = pixels_of(grid.part(block.rows, block.columns), (out.shape[1], out.shape[0]))
        if region is None:
            continue
        if block.kind == blocks.PLATE:
            out[region] = layers.plate[region]
            continue
        coordinates = upsample_block(positions, block, grid, region)
        person = sample_block(layers.person, coordinates, block.kind)
        if block.kind == blocks.PERSON:
            out[region] = cv2.cvtColor(person, cv2.COLOR_RGBA2RGB)
        else:
            out[region] = lay_over(person, layers.plate[region])


def sample_block(person: Image, positions: Array32, kind: int) -> Image:
    """Sample a person's pixels, or their alpha, at positions (h, w, 2) of a block of a kind."""
    sample = sample_person if kind == blocks.LEAVES else _sample_mirrored
    return sample(person, positions)


def lay_over(person: Image, plate: Image) -> Image:
    """Return a person (h, w, 4) uint8 premultiplied over its plate (h, w, 3)."""
    behind = cv2.cvtColor(255 - cv2.extractChannel(person, 3), cv2.COLOR_GRAY2RGB)
    cv2.multiply(plate, behind, behind, 1 / 255)
    return np.asarray(cv2.add(behind, cv2.cvtColor(person, cv2.COLOR_RGBA2RGB)), np.uint8)


def _render_whole(
    out: Image, image: Image, positions: Array32, grid: SampleGrid, moving: Sequence[Block]
) -> None:
    """Render the moving blocks of an image without layers into `out`.

    Four channels are sampled three times as fast as three.
    """
    size = image.shape[1], image.shape[0]
    regions = [(block, pixels_of(grid.part(block.rows, block.columns), size)) for block in moving]
    shown = [(block, region) for block, region in regions if region is not None]
    if not shown:
        return
    box, offset = _box_of_positions(image, positions)
    padded = np.asarray(cv2.cvtColor(image[box], cv2.COLOR_RGB2RGBA), np.uint8)
    shifted = positions - offset
    for block, region in shown:
        coordinates = upsample_block(shifted, block, grid, region)
        out[region] = cv2.cvtColor(_sample_mirrored(padded, coordinates), cv2.COLOR_RGBA2RGB)


def pixels_of(grid: SampleGrid, size: tuple[int, int]) -> Region | None:
    """Return the pixels of a grid within a picture of a size; None without any."""
    x0, x1 = max(grid.x0, 0), min(grid.x0 + grid.columns * grid.step, size[0])
    y0, y1 = max(grid.y0, 0), min(grid.y0 + grid.rows * grid.step, size[1])
    return (slice(y0, y1), slice(x0, x1)) if y1 > y0 and x1 > x0 else None


def upsample_block(samples: Array32, block: Block, grid: SampleGrid, region: Region) -> Array32:
    """Upsample a block of samples (rows, columns, 2) to the pixels of its region."""
    low, high = max(block.columns.start - 1, 0), block.columns.stop + 1
    rows = upsample(samples[:, low:high], block.rows.start, block.rows.stop, grid.step)
    top = region[0].start - grid.y0 - block.rows.start * grid.step
    left = region[1].start - grid.x0 - low * grid.step
    height, width = (part.stop - part.start for part in region)
    return rows[top : top + height, left : left + width]


def _box_of_positions(image: Image, positions: Array32) -> tuple[Region, Array32]:
    """Return the region of an image that positions (..., 2) are sampled from, and its corner.

    The whole image where they leave it.
    """
    axes = cv2.split(positions)  # contiguous, which is ten times as fast
    low = np.floor([axis.min() for axis in axes]).astype(int) - 1
    high = np.ceil([axis.max() for axis in axes]).astype(int) + 2
    if (low < 0).any() or (high > (image.shape[1], image.shape[0])).any():
        return (slice(0, image.shape[0]), slice(0, image.shape[1])), np.zeros(2, np.float32)
    return (slice(low[1], high[1]), slice(low[0], high[0])), low.astype(np.float32)


def _render_cut(out: Image, image: Image, warp_map: WarpMap) -> None:
    """Render the face along the outlines where it is merged by colours, in place."""
    window = _cut_window(warp_map, (out.shape[1], out.shape[0]))
    if window is None:
        return
    region, values = window
    texture = remap(image, np.ascontiguousarray(values[..., :2]))
    opening.blend(out, region, values[..., 2], texture)


def _cut_window(warp_map: WarpMap, size: tuple[int, int]) -> tuple[Region, Array32] | None:
    """Upsample a map's cut to the pixels of an image of a size (width, height)."""
    cut = warp_map.cut
    return None if cut is None else upsample_window(cut.samples, cut.grid, size)


def render_alpha(layers: MatteLayers, warp_map: WarpMap) -> Image:
    """Render the person's alpha through a warp map, (H, W) uint8."""
    alpha = np.ascontiguousarray(layers.person[..., 3])
    out = alpha.copy()
    size = alpha.shape[1], alpha.shape[0]
    grid, positions = warp_map.grid, source_positions(warp_map)
    for block in blocks.iterate_blocks(warp_map.displacement, positions, grid, layers.coverage):
        region = pixels_of(grid.part(block.rows, block.columns), size)
        if region is None:
            continue
        if block.kind in OPAQUE:
            out[region] = OPAQUE[block.kind]
        else:
            coordinates = upsample_block(positions, block, grid, region)
            out[region] = sample_block(alpha, coordinates, block.kind)
    window = _cut_window(warp_map, size)
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


def _leaves(
    positions: Array32, size: tuple[int, int]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which positions (h, w, 2) lie left of, right of or else above a picture of a size."""
    x, y = cv2.split(positions)  # contiguous, which is twice as fast
    left, right = x < -blocks.SLACK, x > size[0] - 1 + blocks.SLACK
    return left, right, (y < -blocks.SLACK) & ~left & ~right


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
    region = pixels_of(grid, size)
    if region is None:
        return None
    rows, columns = region
    full = upsample(samples, 0, grid.rows, grid.step)
    top, bottom = rows.start - grid.y0, rows.stop - grid.y0
    return region, full[top:bottom, columns.start - grid.x0 : columns.stop - grid.x0]
