"""Windows of a sample grid at the density of a picture's pixels."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from thcli.core.types import Array32
from thcli.engines.mesh.background import blocks
from thcli.engines.mesh.background.blocks import Block
from thcli.engines.mesh.opening import Region
from thcli.engines.mesh.raster import SampleGrid
from thcli.engines.mesh.sampling import resize


def iterate_windows(
    samples: Array32,
    share: Array32,
    grid: SampleGrid,
    size: tuple[int, int],
    within: Block | None = None,
) -> Iterator[tuple[Region, Array32]]:
    """Upsample the samples of a grid to the pixels of an image, in windows where they show.

    Args:
        samples: (rows, columns, C) float32.
        share, grid, size, within: as in `iterate_blocks_in`.

    Yields:
        A region of the image and its values (h, w, C).
    """
    for region, block in iterate_blocks_in(share, grid, size, within):
        yield region, upsample_block(samples, block, grid, region)


def iterate_blocks_in(
    share: Array32, grid: SampleGrid, size: tuple[int, int], within: Block | None = None
) -> Iterator[tuple[Region, Block]]:
    """Divide what shows of the samples of a grid in an image.

    A large grid is divided, so that a window fits the cache.

    Args:
        share: (rows, columns) of samples in the image; where it is 0 around a window nothing shows.
        grid: their grid.
        size: (width, height) of the image.
        within: block of the grid that the windows lie in; None for the whole grid.

    Yields:
        A region of the image and its block of the grid.
    """
    is_large = grid.rows * grid.columns * grid.step**2 >= blocks.LEAST_AREA
    count = max(1, blocks.SIDE // grid.step) if is_large else max(grid.rows, grid.columns)
    width = 2 * count
    top, bottom, left, right = 0, grid.rows, 0, grid.columns
    if within is not None:
        top, bottom = within.rows.start, within.rows.stop
        left, right = within.columns.start, within.columns.stop
    low = max(top - 1, 0), max(left - 1, 0)  # with the samples around it
    part = share[low[0] : bottom + 1, low[1] : right + 1]
    near = cv2.dilate((part != 0).view(np.uint8), np.ones((3, 3), np.uint8))
    shown = near[top - low[0] : bottom - low[0], left - low[1] : right - low[1]]
    for row in range(top, bottom, count):
        for column in range(left, right, width):
            rows = slice(row, min(row + count, bottom))
            columns = slice(column, min(column + width, right))
            x, y, wide, high = cv2.boundingRect(
                shown[row - top : rows.stop - top, column - left : columns.stop - left]
            )
            if not wide:
                continue
            block = Block(
                slice(row + y, row + y + high),
                slice(column + x, column + x + wide),
                blocks.MIXED,
            )
            region = pixels_of(grid.part(block.rows, block.columns), size)
            if region is not None:
                yield region, block


def pixels_of(grid: SampleGrid, size: tuple[int, int]) -> Region | None:
    """Return the pixels of a grid within a picture of a size; None without any."""
    x0, x1 = max(grid.x0, 0), min(grid.x0 + grid.columns * grid.step, size[0])
    y0, y1 = max(grid.y0, 0), min(grid.y0 + grid.rows * grid.step, size[1])
    return (slice(y0, y1), slice(x0, x1)) if y1 > y0 and x1 > x0 else None


def upsample_block(samples: Array32, block: Block, grid: SampleGrid, region: Region) -> Array32:
    """Upsample a block of samples (rows, columns, C) to the pixels of its region."""
    low, high = max(block.columns.start - 1, 0), block.columns.stop + 1
    rows = upsample(samples[:, low:high], block.rows.start, block.rows.stop, grid.step)
    top = region[0].start - grid.y0 - block.rows.start * grid.step
    left = region[1].start - grid.x0 - low * grid.step
    height, width = (part.stop - part.start for part in region)
    return rows[top : top + height, left : left + width]


def upsample(samples: Array32, first: int, last: int, step: int) -> Array32:
    """Upsample the rows first..last to `step` times their density, bilinearly.

    The rows before and after them are used for interpolation.
    """
    low, high = max(first - 1, 0), min(last + 1, len(samples))
    part = samples[low:high]
    if step > 1:
        part = resize(part, (part.shape[1] * step, part.shape[0] * step))
    return np.asarray(part[(first - low) * step : (last - low) * step])
